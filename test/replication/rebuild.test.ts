/**
 * Goal: what coming back, and a flush, cost. Method: real daemons, whose own counters are compared;
 * bytes and calls are counted, not seconds. `npm run bench:rebuild` measures the same on volumes of
 * a size that matters.
 */
import { expect } from 'chai';
import { firstDifference } from '../crash/images.ts';
import { openDisk, type Disk } from '../initiator/disk.ts';
import { temporaryDirectory } from '../support/daemons.ts';
import { Random } from '../support/random.ts';
import { RebuiltVolume } from '../support/rebuilt-volume.ts';

const MIB = 1024 * 1024;
const BLOCK = 4096;
const SIZE_BYTES = 64 * MIB;
/** In pieces, so that a copy meets holes: the first half of every second MiB. */
const WRITTEN_BYTES = 16 * MIB;
const WITHIN_MS = 60_000;

describe('what coming back and flushing cost', function () {
  this.timeout(120_000);
  const directory = temporaryDirectory();
  const running: RebuiltVolume[] = [];
  let runs = 0;

  const begin = async (replicas: number, kind: 'unix' | 'in-process' = 'unix') => {
    const rebuilt = new RebuiltVolume({
      directory: `${directory.path}/${runs++}`,
      sizeBytes: SIZE_BYTES,
      replicas,
      kind,
    });
    running.push(rebuilt);
    await rebuilt.start();
    const disk = await openDisk(rebuilt.volume.portal);
    return { rebuilt, disk };
  };

  const fill = async (disk: Disk): Promise<void> => {
    const random = new Random(5);
    const data = Buffer.alloc(MIB / 2);
    for (let at = 0; at < 2 * WRITTEN_BYTES * 2; at += 2 * MIB) {
      random.fill(data);
      await disk.write(at, data);
    }
  };

  afterEach(async () => {
    for (const rebuilt of running.splice(0)) await rebuilt.stop();
  });
  after(() => directory.remove());

  it('an emptied replica gets what was written, once, while initiators write, and is the same then', async () => {
    const { rebuilt, disk } = await begin(2);
    await fill(disk);
    await rebuilt.stopReplica(1);
    await rebuilt.startEmpty(1);
    const during = 200;
    for (let index = 0; index < during; index++) {
      await disk.write((index % 100) * BLOCK, Buffer.alloc(BLOCK, index + 1));
    }
    await rebuilt.untilRebuilt(WITHIN_MS);
    const copied = await rebuilt.copiedBytes();
    // What initiators write meanwhile may be in the copy, or come with the stream, or both.
    expect(copied).to.be.within(WRITTEN_BYTES - MIB, WRITTEN_BYTES + MIB);
    await disk.flush();
    await disk.session.logout();
    const paths = [0, 1].map((index) => rebuilt.volume.imagePath(index));
    expect(await firstDifference(paths, SIZE_BYTES)).to.equal(null);
  });

  it('a replica that was away gets the blocks that were written meanwhile, and no more', async () => {
    const { rebuilt, disk } = await begin(2);
    await fill(disk);
    await rebuilt.stopReplica(1);
    const blocks = 40;
    // Each in an extent of its own that was written before.
    for (let index = 0; index < blocks; index++) {
      await disk.write((index % 32) * 2 * MIB + index * BLOCK, Buffer.alloc(BLOCK, index + 1));
    }
    const before = await rebuilt.copiedBytes();
    await rebuilt.volume.startReplica(1);
    await rebuilt.untilRebuilt(WITHIN_MS);
    expect((await rebuilt.copiedBytes()) - before).to.equal(blocks * BLOCK);
    await disk.session.logout();
  });

  it('a limit of the rate holds from the moment in which it is given, for the next target too', async () => {
    const { rebuilt, disk } = await begin(2);
    await fill(disk);
    await disk.session.logout();
    const rebuildBytesPerSecond = 8 * MIB;
    const answer = await rebuilt.order('/v1/settings', { rebuildBytesPerSecond });
    expect(await answer.json()).to.deep.include({ rebuildBytesPerSecond });
    // The replicas keep it: a target that knows nothing but their addresses has it.
    await rebuilt.volume.target.daemon.kill9();
    await rebuilt.volume.startTarget();
    await rebuilt.stopReplica(1);
    const startedMs = performance.now();
    await rebuilt.startEmpty(1);
    await rebuilt.untilRebuilt(WITHIN_MS);
    // One extent may go at once.
    const leastMs = (1000 * (WRITTEN_BYTES - MIB)) / rebuildBytesPerSecond;
    expect(performance.now() - startedMs).to.be.greaterThan(leastMs);
    for (const wrong of [0, -1, 1.5, 'fast']) {
      const refused = await rebuilt.order('/v1/settings', { rebuildBytesPerSecond: wrong });
      expect(refused.status).to.equal(400);
    }
  });

  it('32 SYNCHRONIZE CACHE at once take at most 3 fdatasync on each replica', async () => {
    const { rebuilt, disk } = await begin(3);
    const counts = (): Promise<number[]> =>
      Promise.all([0, 1, 2].map((index) => rebuilt.counter(index, 'fdatasync_total')));
    await disk.write(0, Buffer.alloc(MIB, 1));
    await disk.flush();
    for (let block = 0; block < 32; block++) {
      await disk.write(block * BLOCK, Buffer.alloc(BLOCK, block + 1));
    }
    const before = await counts();
    // The target is stopped until all of them are there: they come at once, however busy the
    // machine is.
    const { child } = rebuilt.volume.target.daemon;
    child.kill('SIGSTOP');
    const flushes = Promise.all(Array.from({ length: 32 }, () => disk.flush()));
    await new Promise((resolve) => setImmediate(resolve));
    child.kill('SIGCONT');
    await flushes;
    const after = await counts();
    after.forEach((count, index) => {
      expect(count - before[index]!).to.be.within(1, 3);
    });
    await disk.session.logout();
  });

  it('with one replica a write is one operation there, a flush one fdatasync, and nothing else is made durable', async () => {
    const { rebuilt, disk } = await begin(1);
    const COUNTERS = [
      'write_ops_total',
      'read_ops_total',
      'unmap_ops_total',
      'flush_requests_total',
      'fdatasync_total',
      'region_marks_total',
    ];
    const counts = (): Promise<number[]> =>
      Promise.all(COUNTERS.map((name) => rebuilt.counter(0, name)));
    // The region is marked, once; from then on writes to it cost no more than themselves.
    await disk.write(0, Buffer.alloc(MIB, 1));
    await disk.flush();
    const before = await counts();
    const rounds = 50;
    for (let round = 0; round < rounds; round++) {
      await disk.write(round * BLOCK, Buffer.alloc(BLOCK, round + 1));
      await disk.flush();
    }
    const used = (await counts()).map((count, index) => count - before[index]!);
    // Cleaning, which comes by the clock, may sync once besides.
    expect(used.slice(0, 4)).to.deep.equal([rounds, 0, 0, rounds]);
    expect(used[4]).to.be.within(rounds, rounds + 2);
    expect(used[5]).to.equal(0);
    await disk.session.logout();
  });
});
