/**
 * Goal: a disk that fails takes one replica out of service and no initiator sees it. A failed
 * fdatasync is never tried again on the same process: the replica ends with code 3, and is
 * resynchronised after its next start.
 *
 * Method: one of three replica processes runs on a layer (../machine) that answers its writes, or
 * its fdatasyncs, with EIO from some moment of a checking load on.
 */
import { expect } from 'chai';
import { CheckingLoad } from '../crash/checking-load.ts';
import { firstDifference } from '../crash/images.ts';
import { type Disk, openDisk } from '../initiator/disk.ts';
import { compileMachine, ReplicaMachine } from '../machine/machine.ts';
import { temporaryDirectory } from '../support/daemons.ts';
import { Random } from '../support/random.ts';
import { ReplicatedVolume } from '../support/replicated-volume.ts';
import { until } from '../support/until.ts';

const SIZE_BYTES = 16 * 1024 * 1024;
const EXIT_OUT_OF_SERVICE = 3;

describe('a disk that fails', function () {
  this.timeout(90_000);
  const directory = temporaryDirectory();
  let machine: ReplicaMachine;
  let volume: ReplicatedVolume;
  let load: CheckingLoad;
  let disk: Disk;

  before(() => compileMachine());
  beforeEach(async () => {
    const own = `${directory.path}/${Math.random().toString(36).slice(2, 8)}`;
    machine = new ReplicaMachine(`${own}/machine`);
    volume = await ReplicatedVolume.start({
      directory: own,
      sizeBytes: SIZE_BYTES,
      replicas: 3,
      kind: 'unix',
      replicaSettings: (index) => (index === 1 ? machine.settings() : {}),
    });
    load = new CheckingLoad({ sizeBytes: SIZE_BYTES, random: new Random(31) });
    load.calm = true;
    disk = await openDisk(volume.portal);
    load.start(disk);
    await until('a load that is answered', () => load.answered > 100);
  });
  afterEach(async function () {
    if (this.currentTest?.state === 'failed') console.log(volume.target.daemon.log.join('\n'));
    disk.session.destroy();
    await volume.stop();
  });
  after(() => directory.remove());

  for (const [operation, code] of [
    ['sync', 'FLUSH_FAILED'],
    ['write', 'IO_ERROR'],
  ] as const) {
    it(`on ${operation}: its replica ends with ${code}, and comes back when the disk is well`, async () => {
      const { daemon } = volume.replicas[1]!;
      machine.failOn(operation);
      const exit = await daemon.exited;
      expect(exit.code, daemon.log.join('\n')).to.equal(EXIT_OUT_OF_SERVICE);
      expect(daemon.log.join('\n')).to.contain(code);
      const before = load.answered;
      await until('a load that is answered', () => load.answered > before + 200);
      expect((await volume.status()).state).to.equal('degraded');
      machine.repairDisk();
      await volume.startReplica(1);
      await volume.untilHealthy();
      await load.stop();
      expect(load.refused).to.equal(0);
      await load.verify(disk);
      await disk.flush();
      expect(await firstDifference(volume.imagePaths(), SIZE_BYTES)).to.equal(null);
    });
  }
});
