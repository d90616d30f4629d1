import { EXTENT_BYTES } from '@openebs/replica/protocol';
import { REPLICATOR_LIMITS } from '../limits.ts';
import type { Environment } from './environment.ts';
import { equalise } from './equalise.ts';
import type { Member } from './member.ts';
import { CallerLock, type RangeLocks } from './range-lock.ts';
import type { VolumeStatistics } from './statistics.ts';
import type { Stream } from './stream.ts';

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
}

/** How far the resynchronisation of one member is. */
export class ResyncProgress {
  readonly startedMs: number;
  readonly totalExtents: number;
  doneExtents = 0;
  copiedBytes = 0;

  constructor(startedMs: number, totalExtents: number) {
    this.startedMs = startedMs;
    this.totalExtents = totalExtents;
  }

  get percent(): number {
    return Math.floor((100 * this.doneExtents) / Math.max(1, this.totalExtents));
  }

  bytesPerSecond(nowMs: number): number {
    return Math.round((1000 * this.copiedBytes) / Math.max(1, nowMs - this.startedMs));
  }

  etaSeconds(nowMs: number): number | null {
    if (this.doneExtents === 0) return null;
    const left = this.totalExtents - this.doneExtents;
    return Math.ceil(((nowMs - this.startedMs) * left) / this.doneExtents / 1000);
  }
}

const VERSION_BYTES = 16;

/**
 * Which of the extents have to be compared block by block: those whose versions are not the same on
 * all members, or not known on one (all ones). Two members that tell the same known version hold
 * the same bytes.
 */
export const suspectExtents = (versions: readonly Uint8Array[], count: number): number[] => {
  const [first, ...others] = versions;
  if (first === undefined || versions.some((each) => each.length < count * VERSION_BYTES)) {
    throw new RangeError('a replica told fewer versions than it was asked for');
  }
  const suspects: number[] = [];
  for (let extent = 0; extent < count; extent++) {
    const start = extent * VERSION_BYTES;
    const mine = first.subarray(start, start + VERSION_BYTES);
    const known = mine.some((byte) => byte !== 0xff);
    const same = others.every((other) => {
      for (let at = 0; at < VERSION_BYTES; at++) if (other[start + at] !== mine[at]) return false;
      return true;
    });
    if (!known || !same) suspects.push(extent);
  }
  return suspects;
};

/** Calls back for each range of extents with those that are suspect, in order. */
const forEachSuspectRange = async (
  { sizeBytes }: ResyncContext,
  members: readonly Member[],
  visit: (suspects: readonly number[], lastExtent: number) => Promise<void>,
): Promise<void> => {
  const total = Math.ceil(sizeBytes / EXTENT_BYTES);
  for (let first = 0; first < total; first += REPLICATOR_LIMITS.versionExtents) {
    const count = Math.min(REPLICATOR_LIMITS.versionExtents, total - first);
    const offset = first * EXTENT_BYTES;
    const length = Math.min(count * EXTENT_BYTES, sizeBytes - offset);
    const versions = await Promise.all(
      members.map((member) => member.extentVersions(offset, length)),
    );
    const suspects = suspectExtents(versions, count).map((extent) => first + extent);
    await visit(suspects, first + count);
  }
};

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
  await forEachSuspectRange(context, members, async (suspects) => {
    const queue = [...suspects];
    const worker = async (): Promise<void> => {
      for (let extent = queue.shift(); extent !== undefined; extent = queue.shift()) {
        const offsetBytes = extent * EXTENT_BYTES;
        const lengthBytes = Math.min(EXTENT_BYTES, sizeBytes - offsetBytes);
        const work = { stream, offsetBytes, lengthBytes, members, sources };
        statistics.resyncedBytes += await equalise(work);
        compared++;
      }
    };
    await Promise.all(Array.from({ length: REPLICATOR_LIMITS.reconcileWidth }, worker));
  });
  return compared;
};

/**
 * While I/O goes on: the member, which takes the stream already, gets whatever it missed. Each
 * extent that may differ is compared and copied under its exclusive lock, so that no write can
 * overtake the copy.
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
  const { environment, statistics } = context;
  const first = sources()[0];
  if (first === undefined) throw new RangeError('no in-sync member to copy from');
  await forEachSuspectRange(context, [first, member], async (suspects, lastExtent) => {
    for (const extent of suspects) {
      progress.doneExtents = extent;
      const startedMs = environment.now();
      const initiatorOperations = operationsOf(statistics);
      const copiedBytes = await bringExtent(context, member, sources, extent);
      progress.copiedBytes += copiedBytes;
      statistics.resyncedBytes += copiedBytes;
      // Initiators come first: where they had something to do in this time, they get as much again
      // without us.
      if (operationsOf(statistics) !== initiatorOperations) {
        await pause(environment, Math.min(100, environment.now() - startedMs));
      }
    }
    progress.doneExtents = lastExtent;
  });
};

export const bringExtent = async (
  context: ResyncContext,
  member: Member,
  sources: () => readonly Member[],
  extent: number,
): Promise<number> => {
  const { stream, locks, sizeBytes } = context;
  const offsetBytes = extent * EXTENT_BYTES;
  const lengthBytes = Math.min(EXTENT_BYTES, sizeBytes - offsetBytes);
  const lock = await lockRange(locks, { offsetBytes, lengthBytes, mode: 'exclusive' });
  try {
    const live = sources().filter((source) => source.inSync);
    const first = live[0];
    if (first === undefined) throw new RangeError('no in-sync member to copy from');
    const members = [first, member];
    return await equalise({ stream, offsetBytes, lengthBytes, members, sources: live });
  } finally {
    locks.release(lock);
  }
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

export const operationsOf = ({ read, write, unmap }: VolumeStatistics): number =>
  read.operations + write.operations + unmap.operations;

export const pause = (environment: Environment, delayMs: number): Promise<void> =>
  delayMs <= 0
    ? Promise.resolve()
    : new Promise((resolve) => {
        environment.after(delayMs, resolve);
      });
