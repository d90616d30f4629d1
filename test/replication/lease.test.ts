/**
 * Goal: a target that is cut off answers nothing from before its successor's first write, neither
 * reads nor writes. Method: two target processes at once, replicas on TCP behind wires that are cut
 * in silence; every answer of the old target is compared with when the new one began to serve.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { openDisk, type Disk } from '../initiator/disk.ts';
import type { Daemon } from '../support/daemons.ts';
import { startTarget, temporaryDirectory } from '../support/daemons.ts';
import { ReplicatedVolume } from '../support/replicated-volume.ts';
import { TcpRelay } from '../support/tcp-relay.ts';

const SIZE = 16 * 1024 * 1024;
const OLD = Buffer.alloc(4096, 1);
const NEW = Buffer.alloc(4096, 2);

interface Answer {
  readonly startedMs: number;
  readonly byte: number;
}

describe('two targets of one volume at once', function () {
  this.timeout(60_000);
  const directory = temporaryDirectory();
  let volume: ReplicatedVolume;
  let relays: TcpRelay[];
  const targets: Daemon[] = [];
  let runs = 0;

  beforeEach(async () => {
    volume = new ReplicatedVolume({
      directory: `${directory.path}/${runs++}`,
      sizeBytes: SIZE,
      replicas: 3,
      kind: 'tcp',
    });
    await Promise.all([0, 1, 2].map((index) => volume.startReplica(index)));
    relays = await Promise.all(
      volume.replicas.map((replica) => TcpRelay.to(replica!.ready.listen!)),
    );
  });

  afterEach(async () => {
    for (const relay of relays) relay.close();
    for (const target of targets.splice(0)) {
      target.child.kill('SIGCONT');
      await target.kill9();
    }
    await volume.stop();
  });
  after(() => directory.remove());

  const begin = (replicas: readonly string[], holdSeconds = '30'): Daemon => {
    const target = startTarget({
      volume: 'test',
      'volume-id': volume.volumeId,
      size: String(SIZE),
      iqn: volume.iqn,
      replica: [...replicas],
      'grace-seconds': '0',
      'hold-seconds': holdSeconds,
    });
    targets.push(target);
    return target;
  };

  const login = async (target: Daemon): Promise<Disk> => {
    const [host = '', port = ''] = ((await target.ready).portal ?? '').split(':');
    return openDisk({ targetName: volume.iqn, host, port: Number(port) });
  };

  /** Reads the first block as fast as it goes, until an error ends it. */
  const readOn = (disk: Disk, answers: Answer[]): Promise<unknown> =>
    (async () => {
      for (;;) {
        const startedMs = performance.now();
        const block = await disk.read(0, 4096);
        answers.push({ startedMs, byte: block[0]! });
      }
    })().catch((error: unknown) => error);

  it('a read of the old one, which still reaches one replica, is never older than a write of the new one', async () => {
    const listens = volume.replicas.map((replica) => replica!.ready.listen!);
    const old = begin([listens[0]!, relays[1]!.address, relays[2]!.address], '1');
    const before = await login(old);
    await before.write(0, OLD);
    const answers: Answer[] = [];
    // As many as hang at the replicas that are cut off, and some more.
    const reading = Promise.all(Array.from({ length: 6 }, () => readOn(before, answers)));
    await sleep(300);
    relays[0]!.cut();
    relays[1]!.cut();
    relays[2]!.cut();
    const successor = begin([relays[0]!.address, listens[1]!, listens[2]!]);
    const after = await login(successor);
    expect((await after.read(0, 4096)).equals(OLD)).to.equal(true);
    await after.write(0, NEW);
    const writtenMs = performance.now();
    for (const end of await reading) expect(end).to.be.instanceOf(Error);
    expect(answers.length).to.be.greaterThan(10);
    for (const { startedMs, byte } of answers) {
      expect(byte).to.equal(1);
      expect(startedMs).to.be.lessThan(writtenMs);
    }
    await after.session.logout();
  });

  it('the old one, stopped for longer than its lease, answers nothing when it goes on', async () => {
    const listens = volume.replicas.map((replica) => replica!.ready.listen!);
    const old = begin(listens);
    const before = await login(old);
    await before.write(0, OLD);
    old.child.kill('SIGSTOP');
    const reads = Array.from({ length: 8 }, () => before.read(0, 4096).catch(() => null));
    const write = before.write(4096, OLD).catch(() => null);
    const after = await login(begin(listens));
    await after.write(0, NEW);
    old.child.kill('SIGCONT');
    expect(await Promise.all(reads)).to.deep.equal(Array(8).fill(null));
    expect(await write).to.equal(null);
    expect((await old.exited).code).to.equal(4);
    expect((await after.read(0, 8192)).subarray(4096).every((byte) => byte === 0)).to.equal(true);
    await after.session.logout();
  });
});
