import assert from 'node:assert';
import type { RangeLock } from '../volume.ts';

/**
 * Byte-range locks, shared or exclusive. First come, first served among ranges that conflict;
 * ranges that do not are never in each other's way.
 *
 * Each entry counts the older entries that conflict with it and is granted when none is left.
 * Entries stand in BUCKETS lists by their 1 MiB extent, so that an acquisition looks only at its
 * neighbours; an entry that spans several extents stands in several lists, and a pair that meets in
 * k lists is counted k times, both when it is blocked and when it is freed.
 */
const BUCKETS = 64;
const BUCKET_BYTES = 1024 * 1024;

/** One acquisition. Operations extend it, so that a lock costs no object of its own. */
export abstract class LockEntry implements RangeLock {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly mode: 'shared' | 'exclusive';
  /** Older conflicting entries, and whether younger ones wait for this one. Owned by RangeLocks. */
  blockers = 0;
  blocksOthers = false;
  ticket = 0;
  lockState: 'idle' | 'waiting' | 'held' = 'idle';

  constructor(offsetBytes: number, lengthBytes: number, mode: 'shared' | 'exclusive') {
    this.offsetBytes = offsetBytes;
    this.lengthBytes = lengthBytes;
    this.mode = mode;
  }

  /** Called when the range is held and acquire() had returned false. */
  abstract granted(): void;
}

export class RangeLocks {
  readonly #buckets: LockEntry[][] = Array.from({ length: BUCKETS }, () => []);
  #ticket = 0;
  #held = 0;
  #waiting = 0;
  /**
   * Entries that became free while granted() callbacks run: no recursion, however long the queue
   * was.
   */
  readonly #free: LockEntry[] = [];
  #granting = false;

  get held(): number {
    return this.#held;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** True: held at once. False: entry.granted() follows. */
  acquire(entry: LockEntry): boolean {
    assert(entry.lockState === 'idle' && entry.lengthBytes > 0, 'a lock entry is used once');
    entry.ticket = ++this.#ticket;
    const first = Math.floor(entry.offsetBytes / BUCKET_BYTES);
    const last = lastBucket(entry, first);
    for (let index = first; index <= last; index++) {
      const bucket = this.#buckets[index % BUCKETS] as LockEntry[];
      for (const older of bucket) {
        if (!conflict(older, entry)) continue;
        entry.blockers++;
        older.blocksOthers = true;
      }
      bucket.push(entry);
    }
    if (entry.blockers === 0) {
      entry.lockState = 'held';
      this.#held++;
      return true;
    }
    entry.lockState = 'waiting';
    this.#waiting++;
    return false;
  }

  release(entry: LockEntry): void {
    assert(entry.lockState === 'held', 'a lock is released once, by its holder');
    this.#held--;
    this.#remove(entry);
  }

  /** Who waits gives up: granted() is not called any more. */
  withdraw(entry: LockEntry): void {
    assert(entry.lockState === 'waiting', 'who gives up a lock waits for it');
    this.#waiting--;
    this.#remove(entry);
  }

  #remove(entry: LockEntry): void {
    entry.lockState = 'idle';
    const first = Math.floor(entry.offsetBytes / BUCKET_BYTES);
    const last = lastBucket(entry, first);
    for (let index = first; index <= last; index++) {
      const bucket = this.#buckets[index % BUCKETS] as LockEntry[];
      const at = bucket.indexOf(entry);
      // The order in a list does not matter: tickets tell who came first.
      const moved = bucket.pop() as LockEntry;
      if (moved !== entry) bucket[at] = moved;
      if (entry.blocksOthers) this.#unblock(bucket, entry);
    }
    if (this.#free.length > 0 && !this.#granting) this.#grantAll();
  }

  #unblock(bucket: LockEntry[], released: LockEntry): void {
    for (const younger of bucket) {
      if (younger.ticket < released.ticket || !conflict(younger, released)) continue;
      if (--younger.blockers === 0) this.#free.push(younger);
    }
  }

  #grantAll(): void {
    this.#granting = true;
    try {
      for (let at = 0; at < this.#free.length; at++) {
        const entry = this.#free[at] as LockEntry;
        entry.lockState = 'held';
        this.#waiting--;
        this.#held++;
        entry.granted();
      }
    } finally {
      this.#free.length = 0;
      this.#granting = false;
    }
  }
}

/** An entry of BUCKETS extents or more stands once in every list. */
const lastBucket = (entry: LockEntry, first: number): number =>
  Math.min(
    Math.floor((entry.offsetBytes + entry.lengthBytes - 1) / BUCKET_BYTES),
    first + BUCKETS - 1,
  );

const conflict = (a: LockEntry, b: LockEntry): boolean =>
  (a.mode === 'exclusive' || b.mode === 'exclusive') &&
  a.offsetBytes < b.offsetBytes + b.lengthBytes &&
  b.offsetBytes < a.offsetBytes + a.lengthBytes;

/** Whether who holds the lock may change the range. */
export const covers = (
  lock: RangeLock,
  { offsetBytes, lengthBytes }: { readonly offsetBytes: number; readonly lengthBytes: number },
): boolean =>
  offsetBytes >= lock.offsetBytes &&
  offsetBytes + lengthBytes <= lock.offsetBytes + lock.lengthBytes;

/** A lock that a caller of Volume.acquire holds. */
export class CallerLock extends LockEntry {
  readonly #granted: (lock: RangeLock) => void;

  constructor(
    range: { offsetBytes: number; lengthBytes: number; mode: 'shared' | 'exclusive' },
    granted: (lock: RangeLock) => void,
  ) {
    super(range.offsetBytes, range.lengthBytes, range.mode);
    this.#granted = granted;
  }

  override granted(): void {
    this.#granted(this);
  }
}
