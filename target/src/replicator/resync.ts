import { EXTENT_BYTES } from '@openebs/replica/protocol';
import { REPLICATOR_LIMITS } from '../limits.ts';
import type { Environment } from './environment.ts';
import { caughtUp, equalise } from './equalise.ts';
import { MemberFlushes } from './member-flushes.ts';
import type { Member } from './member.ts';
import type { Pace } from './pace.ts';
import { CallerLock, type RangeLocks } from './range-lock.ts';
import type { VolumeStatistics } from './statistics.ts';
import type { ResyncProgress } from './resync-progress.ts';
import type { Stream } from './stream.ts';
import { findSuspects, suspectRanges } from './suspects.ts';
import { whileThere } from './verified-read.ts';

/**
 * What both uses of the engine share: reconciling before the first login, and bringing back one
 * member while I/O goes on.
 */
export interface ResyncContext {
  readonly environment: Environment;
  readonly stream: Stream;
  readonly locks: RangeLocks;
  /** Of the volume; it grows. */
  sizeBytes: number;
  readonly statistics: VolumeStatistics;
  readonly pace: Pace;
}

/**
 * Before the first login: all members get the source's data wherever they differ. No lock is
 * needed, since nobody is served. Returns how many extents were compared block by block.
 */
export const reconcile = async (
  context: ResyncContext,
  members: readonly Member[],
  sources: readonly Member[],
): Promise<number> => {
  if (members.length < 2) return 0;
  const { stream, sizeBytes, statistics } = context;
  let compared = 0;
  const chosen = whileThere(sources);
  for await (const { suspects } of suspectRanges(members, sizeBytes)) {
    const queue = [...suspects];
    const worker = async (): Promise<void> => {
      for (let extent = queue.shift(); extent !== undefined; extent = queue.shift()) {
        const offsetBytes = extent * EXTENT_BYTES;
        const lengthBytes = Math.min(EXTENT_BYTES, sizeBytes - offsetBytes);
        const work = { stream, offsetBytes, lengthBytes, members, sources: chosen };
        statistics.resyncedBytes += await equalise(work);
        await caughtUp(members);
        compared++;
      }
    };
    await Promise.all(Array.from({ length: REPLICATOR_LIMITS.reconcileWidth }, worker));
  }
  return compared;
};

/**
 * While I/O goes on: the member, which takes the stream already, gets whatever it missed. Each
 * extent that may differ is compared and copied under its exclusive lock, so that no write can
 * overtake the copy. Several are under way at a time, as many as the pace allows.
 */
export const bringUpToDate = async (
  context: ResyncContext,
  member: Member,
  /**
   * Asked for each extent anew: in-sync members come and go. Throws when this resynchronisation is
   * over.
   */
  sources: () => readonly Member[],
  progress: ResyncProgress,
): Promise<void> => {
  const { environment, statistics, pace, sizeBytes } = context;
  const first = sources()[0];
  if (first === undefined) throw new RangeError('no in-sync member to copy from');
  const { suspects, empty } = await findSuspects(first, member, sizeBytes, () => void sources());
  progress.expect(suspects.size, environment.now());
  const durability = new MemberFlushes(member);
  const left = suspects[Symbol.iterator]();
  const run = pace.begin();
  let failed = false;
  const worker = async (): Promise<void> => {
    for (;;) {
      await run.turn();
      const next = left.next();
      if (next.done === true || failed) {
        run.finished(0);
        return;
      }
      let copiedBytes = 0;
      try {
        copiedBytes = await bringExtent(
          context,
          member,
          sources,
          next.value,
          empty.has(next.value),
        );
        await durability.copied(copiedBytes);
      } catch (error) {
        failed = true;
        throw error;
      } finally {
        run.finished(copiedBytes);
      }
      statistics.resyncedBytes += copiedBytes;
      progress.extentDone(copiedBytes, environment.now());
    }
  };
  try {
    await Promise.all(Array.from({ length: REPLICATOR_LIMITS.rebuildWidth }, worker));
  } finally {
    run.end();
  }
  await durability.end();
};

export const bringExtent = async (
  context: ResyncContext,
  member: Member,
  sources: () => readonly Member[],
  extent: number,
  /** See Equalisation. */
  memberIsEmpty = false,
): Promise<number> => {
  const { stream, locks, sizeBytes } = context;
  const offsetBytes = extent * EXTENT_BYTES;
  const lengthBytes = Math.min(EXTENT_BYTES, sizeBytes - offsetBytes);
  const send = async () => {
    const live = (): readonly Member[] => sources().filter((source) => source.inSync);
    const first = live()[0];
    if (first === undefined) throw new RangeError('no in-sync member to copy from');
    const members = [first, member];
    const empty = memberIsEmpty ? member : null;
    const range = { offsetBytes, lengthBytes };
    const copiedBytes = await equalise({ stream, ...range, members, empty, sources: live });
    return { members, copiedBytes };
  };
  const lock = await lockRange(locks, { offsetBytes, lengthBytes, mode: 'exclusive' });
  // Initiators need not wait until it is applied: what they write comes behind it.
  const { members, copiedBytes } = await send().finally(() => locks.release(lock));
  await caughtUp(members);
  return copiedBytes;
};

export const lockRange = (
  locks: RangeLocks,
  range: {
    readonly offsetBytes: number;
    readonly lengthBytes: number;
    readonly mode: 'shared' | 'exclusive';
  },
): Promise<CallerLock> =>
  new Promise((resolve) => {
    const lock = new CallerLock(range, () => resolve(lock));
    if (locks.acquire(lock)) resolve(lock);
  });

export const pause = (environment: Environment, delayMs: number): Promise<void> =>
  delayMs <= 0
    ? Promise.resolve()
    : new Promise((resolve) => {
        environment.after(delayMs, resolve);
      });
