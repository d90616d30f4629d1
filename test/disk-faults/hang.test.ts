/**
 * Goal: a disk that hangs holds initiators up for a bounded time, and no longer: a replica that
 * makes no progress for 10 s leaves the set, and the volume goes on without it.
 *
 * Method: one of three replica processes is stopped (SIGSTOP) under a checking load for 5, 15 and
 * 60 s, and then goes on. The longest that any operation took is measured at the initiator and
 * printed. Three volumes side by side, so that the test is no longer than its longest pause.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { firstDifference } from '../crash/images.ts';
import { CheckingLoad } from '../crash/checking-load.ts';
import { openDisk } from '../initiator/disk.ts';
import { temporaryDirectory } from '../support/daemons.ts';
import { Random } from '../support/random.ts';
import { ReplicatedVolume } from '../support/replicated-volume.ts';
import { until } from '../support/until.ts';

const SIZE_BYTES = 16 * 1024 * 1024;
const STALL_CAP_MS = 12_000;

interface Stall {
  readonly longestMs: number;
  readonly refused: number;
  readonly difference: string | null;
}

describe('a replica whose disk hangs', function () {
  this.timeout(150_000);
  const directory = temporaryDirectory();
  const stalls = new Map<number, Promise<Stall>>();

  before(() => {
    for (const seconds of [5, 15, 60]) {
      const stall = hang(`${directory.path}/${seconds}`, seconds);
      stall.catch(() => undefined);
      stalls.set(seconds, stall);
    }
  });
  after(async () => {
    await Promise.allSettled(stalls.values());
    directory.remove();
  });

  for (const seconds of [5, 15, 60]) {
    it(`for ${seconds} s holds initiators up for at most ${STALL_CAP_MS / 1000} s, and comes back`, async () => {
      const { longestMs, refused, difference } = await stalls.get(seconds)!;
      console.log(`      ${seconds} s: the longest operation took ${longestMs.toFixed(0)} ms`);
      expect(longestMs).to.be.at.most(STALL_CAP_MS);
      expect(refused).to.equal(0);
      expect(difference).to.equal(null);
    });
  }
});

async function hang(directory: string, seconds: number): Promise<Stall> {
  const volume = await ReplicatedVolume.start({
    directory,
    sizeBytes: SIZE_BYTES,
    replicas: 3,
    kind: 'unix',
  });
  const load = new CheckingLoad({ sizeBytes: SIZE_BYTES, random: new Random(seconds) });
  try {
    load.calm = true;
    const disk = await openDisk(volume.portal);
    load.start(disk);
    await until('a load that is answered', () => load.answered > 100);
    const { child } = volume.replicas[1]!.daemon;
    child.kill('SIGSTOP');
    await sleep(seconds * 1000);
    child.kill('SIGCONT');
    const before = load.answered;
    await until('a load that is answered', () => load.answered > before + 100);
    await volume.untilHealthy();
    await load.stop();
    await load.verify(disk);
    await disk.flush();
    disk.session.destroy();
    const difference = await firstDifference(volume.imagePaths(), SIZE_BYTES);
    return { longestMs: load.longestMs, refused: load.refused, difference };
  } finally {
    await volume.stop();
  }
}
