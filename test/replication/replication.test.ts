/**
 * Goal: what a user is promised when replicas and targets die, seen from outside of the processes.
 * Method: real daemons on unix sockets, killed with SIGKILL under a load that checks every answer;
 * then the images are compared.
 */
import { expect } from 'chai';
import { firstDifference } from '../crash/images.ts';
import { CheckingLoad } from '../crash/checking-load.ts';
import type { Disk } from '../initiator/disk.ts';
import { openDisk } from '../initiator/disk.ts';
import { startTarget, temporaryDirectory } from '../support/daemons.ts';
import { Random } from '../support/random.ts';
import { ReplicatedVolume } from '../support/replicated-volume.ts';

const SIZE_BYTES = 32 * 1024 * 1024;

describe('a volume on three replica processes', function () {
  this.timeout(90_000);
  const directory = temporaryDirectory();
  let volume: ReplicatedVolume;
  let load: CheckingLoad;

  beforeEach(async () => {
    volume = await ReplicatedVolume.start({
      directory: `${directory.path}/${Math.random().toString(36).slice(2, 8)}`,
      sizeBytes: SIZE_BYTES,
      replicas: 3,
      kind: 'unix',
      targetFlags: { 'hold-seconds': '20' },
    });
    load = new CheckingLoad({ sizeBytes: SIZE_BYTES, random: new Random(11) });
  });
  afterEach(() => volume.stop());
  after(() => directory.remove());

  const until = async (
    condition: () => Promise<boolean> | boolean,
    what: string,
  ): Promise<void> => {
    const deadline = performance.now() + 30_000;
    while (!(await condition())) {
      if (performance.now() > deadline) throw new Error(`${what} did not happen within 30 s`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };

  const moreAnswers = async (count: number): Promise<void> => {
    const before = load.answered;
    await until(() => load.answered >= before + count, `${count} more answers`);
  };

  const modes = async (): Promise<string[]> =>
    (await volume.status()).replicas.map(({ mode }) => mode);

  const expectIdentical = async (): Promise<void> => {
    const paths = [0, 1, 2].map((index) => volume.imagePath(index));
    expect(await firstDifference(paths, SIZE_BYTES)).to.equal(null);
  };

  const login = (): Promise<Disk> => openDisk(volume.portal);

  it('goes on without a replica that dies, and takes it back when all that it missed is copied', async () => {
    const disk = await login();
    load.start(disk);
    await moreAnswers(500);
    await volume.replicas[1]!.daemon.kill9();
    await until(async () => (await modes())[1] === 'offline', 'the loss of the replica');
    expect((await volume.status()).state).to.equal('degraded');
    await moreAnswers(500);
    await volume.startReplica(1);
    await volume.untilHealthy();
    await moreAnswers(200);
    await load.stop();
    expect(load.refused).to.equal(0);
    await load.verify(disk);
    await disk.session.logout();
    await expectIdentical();
  });

  it('holds I/O below a majority and answers all of it when a replica is back', async () => {
    const disk = await login();
    load.start(disk);
    await moreAnswers(300);
    await Promise.all([volume.replicas[0]!.daemon.kill9(), volume.replicas[2]!.daemon.kill9()]);
    await until(
      async () => (await volume.status()).state === 'unavailable',
      'the loss of a majority',
    );
    const held = load.answered;
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(load.answered).to.equal(held);
    await volume.startReplica(0);
    await moreAnswers(300);
    await volume.startReplica(2);
    await volume.untilHealthy();
    await load.stop();
    expect(load.refused).to.equal(0);
    await load.verify(disk);
    await disk.session.logout();
    await expectIdentical();
  });

  it('has every acknowledged write after all its processes were killed at once', async () => {
    let disk = await login();
    load.start(disk);
    await moreAnswers(1000);
    await Promise.all([
      volume.target.daemon.kill9(),
      ...volume.replicas.map((replica) => replica!.daemon.kill9()),
    ]);
    await load.stop();
    await volume.start();
    await volume.untilHealthy();
    disk = await login();
    await load.verify(disk);
    await disk.session.logout();
    await expectIdentical();
  });

  it('belongs to the target that was activated last: the one before drops its initiators and ends', async () => {
    const disk = await login();
    await disk.write(0, Buffer.alloc(4096, 7));
    const { volumeId, replicas } = (await volume.status()) as unknown as {
      volumeId: string;
      replicas: { address: string }[];
    };
    const second = startTarget({
      volume: 'test',
      'volume-id': volumeId,
      size: String(SIZE_BYTES),
      iqn: volume.iqn,
      replica: replicas.map(({ address }) => address),
    });
    try {
      const { portal } = await second.ready;
      const exit = await volume.target.daemon.exited;
      expect(exit.code).to.equal(4);
      const [host = '', port = ''] = (portal ?? '').split(':');
      const again = await openDisk({ ...volume.portal, host, port: Number(port) });
      expect((await again.read(0, 4096)).equals(Buffer.alloc(4096, 7))).to.equal(true);
      await again.session.logout();
    } finally {
      await second.stop();
    }
  });
});
