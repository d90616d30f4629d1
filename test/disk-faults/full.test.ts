/**
 * Goal: disks that run full take no more than themselves out of service. While one copy has space,
 * initiators notice nothing; when none has, writes are refused with the error that says so, reads
 * go on, and everything is as before once there is space.
 *
 * Method: each of three replicas on a small file system in memory, which is filled to the last page
 * under a checking load and emptied again.
 */
import { expect } from 'chai';
import { firstDifference } from '../crash/images.ts';
import { CheckingLoad } from '../crash/checking-load.ts';
import { type Disk, openDisk, ScsiError } from '../initiator/disk.ts';
import { temporaryDirectory } from '../support/daemons.ts';
import { Random } from '../support/random.ts';
import { ReplicatedVolume } from '../support/replicated-volume.ts';
import { until } from '../support/until.ts';
import { SmallDisk } from './small-disk.ts';

const SIZE_BYTES = 24 * 1024 * 1024;
/** Room for the whole volume and its metadata. */
const DISK_BYTES = 32 * 1024 * 1024;
const PIECE_BYTES = 256 * 1024;
const DATA_PROTECT = 0x7;

describe('disks that run full', function () {
  this.timeout(90_000);
  const directory = temporaryDirectory();
  let disks: SmallDisk[] = [];
  let volume: ReplicatedVolume;
  let load: CheckingLoad;
  let disk: Disk;

  before(function () {
    // Mounting needs root.
    if (process.getuid?.() !== 0) this.skip();
  });
  beforeEach(async () => {
    const own = `${directory.path}/${Math.random().toString(36).slice(2, 8)}`;
    disks = [0, 1, 2].map((index) => new SmallDisk(`${own}/disk-${index}`, DISK_BYTES));
    volume = await ReplicatedVolume.start({
      directory: own,
      sizeBytes: SIZE_BYTES,
      replicas: 3,
      kind: 'unix',
      replicaSettings: (index) => ({ directory: `${own}/disk-${index}/replica` }),
    });
    load = new CheckingLoad({ sizeBytes: SIZE_BYTES, random: new Random(23) });
    load.calm = true;
    disk = await openDisk(volume.portal);
    load.start(disk);
    await until('a load that is answered', () => load.answered > 100);
  });
  afterEach(async function () {
    if (this.currentTest?.state === 'failed') console.log(volume.target.daemon.log.join('\n'));
    disk.session.destroy();
    await volume.stop();
    for (const each of disks) each.unmount();
  });
  after(() => directory.remove());

  const inSync = async (): Promise<boolean[]> =>
    (await volume.status()).replicas.map(({ mode }) => mode === 'in-sync');

  const expectAsBefore = async (): Promise<void> => {
    const before = load.answered;
    await volume.untilHealthy(60_000);
    await until('a load that is answered', () => load.answered > before + 100);
    await load.stop();
    await load.verify(disk);
    await disk.flush();
    expect(await firstDifference(volume.imagePaths(), SIZE_BYTES)).to.equal(null);
  };

  for (const full of [1, 2]) {
    it(`${full} of three: no initiator sees an error, and all are in sync again with space`, async () => {
      for (const each of disks.slice(0, full)) each.fill();
      await until(`${full} replicas out of the set`, async () => {
        return (await inSync()).filter((is) => !is).length === full;
      });
      // Those that have no space vote on.
      await until('a majority', async () => (await volume.status()).state === 'degraded');
      const before = load.answered;
      await until('a load that is answered', () => load.answered > before + 500);
      expect((await volume.status()).state).to.equal('degraded');
      expect(load.longestMs).to.be.below(2_000);
      for (const each of disks.slice(0, full)) each.makeSpace();
      await expectAsBefore();
      expect(load.refused).to.equal(0);
    });
  }

  it('all three: writes are refused as SPACE ALLOCATION FAILED WRITE PROTECT, and reads go on', async () => {
    for (const each of disks) each.fill();
    await until('writes that are refused', () => load.refused > 0, 60_000);
    await load.stop();
    const refusal = await writeEverywhere(disk);
    expect([refusal?.senseKey, refusal?.asc, refusal?.ascq]).to.deep.equal([
      DATA_PROTECT,
      0x27,
      0x07,
    ]);
    await load.verify(disk);
    for (const each of disks) each.makeSpace();
    await until('writes that are taken', async () => (await writeEverywhere(disk)) === null);
    load = new CheckingLoad({ sizeBytes: SIZE_BYTES, random: new Random(24) });
    await disk.unmap(0, SIZE_BYTES);
    load.start(disk);
    await expectAsBefore();
    expect(load.refused).to.equal(0);
  });
});

/** Over the whole volume, so that every block needs its place. The first refusal, or null. */
async function writeEverywhere(disk: Disk): Promise<ScsiError | null> {
  const piece = Buffer.alloc(PIECE_BYTES, 0x5a);
  for (let offset = 0; offset < SIZE_BYTES; offset += PIECE_BYTES) {
    try {
      await disk.write(offset, piece);
    } catch (error) {
      if (error instanceof ScsiError) return error;
      throw error;
    }
  }
  return null;
}
