import { BLOCK_BYTES, EXTENT_BYTES } from '@openebs/replica/protocol';
import { REPLICATOR_LIMITS } from '../limits.ts';
import type { Member } from './member.ts';

const VERSION_BYTES = 16;
const BITMAP_BYTES_PER_EXTENT = EXTENT_BYTES / BLOCK_BYTES / 8;
const NEVER_WRITTEN = Buffer.alloc(VERSION_BYTES);
const UNKNOWN = Buffer.alloc(VERSION_BYTES, 0xff);

/** Extents by their numbers: one bit for each of the volume. */
export class ExtentSet {
  readonly #bits: Uint8Array;
  #size = 0;

  constructor(extents: number) {
    this.#bits = new Uint8Array(Math.ceil(extents / 8));
  }

  get size(): number {
    return this.#size;
  }

  has(extent: number): boolean {
    return ((this.#bits[extent >>> 3] ?? 0) & (1 << (extent & 7))) !== 0;
  }

  add(extent: number): void {
    if (this.has(extent)) return;
    this.#bits[extent >>> 3] = (this.#bits[extent >>> 3] ?? 0) | (1 << (extent & 7));
    this.#size++;
  }

  /** In order. */
  *[Symbol.iterator](): Generator<number> {
    for (let at = 0; at < this.#bits.length; at++) {
      const bits = this.#bits[at] ?? 0;
      if (bits === 0) continue;
      for (let bit = 0; bit < 8; bit++) if ((bits & (1 << bit)) !== 0) yield at * 8 + bit;
    }
  }
}

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
  const told = Buffer.from(first.buffer, first.byteOffset, count * VERSION_BYTES);
  const allSame = others.every((other) => told.compare(other, 0, told.length) === 0);
  // Mostly there are none, and two calls for the whole range tell.
  if (allSame && !told.includes(UNKNOWN)) return suspects;
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

/** One range of the volume, with the extents in it that have to be compared. */
export interface SuspectRange {
  readonly suspects: readonly number[];
  /** Of each member, in the order of the members. */
  readonly versions: readonly Uint8Array[];
  readonly firstExtent: number;
  readonly endExtent: number;
}

/** All members in all ranges, in order; the next range is asked for while one is looked at. */
export const suspectRanges = async function* (
  members: readonly Member[],
  sizeBytes: number,
): AsyncGenerator<SuspectRange> {
  const total = Math.ceil(sizeBytes / EXTENT_BYTES);
  const ask = (firstExtent: number): Promise<SuspectRange> => {
    const endExtent = Math.min(total, firstExtent + REPLICATOR_LIMITS.versionExtents);
    const asked = askRange(members, { firstExtent, endExtent, sizeBytes });
    // Whoever looks at it later sees the error.
    asked.catch(() => undefined);
    return asked;
  };
  const ahead: Promise<SuspectRange>[] = [];
  let next = 0;
  for (;;) {
    while (next < total && ahead.length < REPLICATOR_LIMITS.versionRequests) {
      ahead.push(ask(next));
      next += REPLICATOR_LIMITS.versionExtents;
    }
    const range = ahead.shift();
    if (range === undefined) return;
    yield await range;
  }
};

const askRange = async (
  members: readonly Member[],
  range: {
    readonly firstExtent: number;
    readonly endExtent: number;
    readonly sizeBytes: number;
  },
): Promise<SuspectRange> => {
  const { firstExtent, endExtent, sizeBytes } = range;
  const offset = firstExtent * EXTENT_BYTES;
  const length = Math.min(endExtent * EXTENT_BYTES, sizeBytes) - offset;
  const versions = await Promise.all(
    members.map((member) => member.extentVersions(offset, length)),
  );
  const suspects = suspectExtents(versions, endExtent - firstExtent).map(
    (extent) => firstExtent + extent,
  );
  return { suspects, versions, firstExtent, endExtent };
};

export interface ToCompare {
  readonly suspects: ExtentSet;
  /** Of these, the ones in which the member has nothing. */
  readonly empty: ExtentSet;
}

/**
 * What a member that takes the stream already may lack of what a source has. What is the same at
 * the time of the question stays so, since both apply the same from then on.
 */
export const findSuspects = async (
  source: Member,
  member: Member,
  sizeBytes: number,
  /** Throws when this is over. */
  check: () => void,
): Promise<ToCompare> => {
  const total = Math.ceil(sizeBytes / EXTENT_BYTES);
  const found = { suspects: new ExtentSet(total), empty: new ExtentSet(total) };
  for await (const range of suspectRanges([source, member], sizeBytes)) {
    check();
    for (const extent of range.suspects) found.suspects.add(extent);
    for (const extent of await emptyOf(member, range, sizeBytes)) found.empty.add(extent);
    check();
  }
  return found;
};

/** The version is a hint that there is nothing; the allocation proves it. */
const emptyOf = async (
  member: Member,
  { suspects, versions, firstExtent, endExtent }: SuspectRange,
  sizeBytes: number,
): Promise<number[]> => {
  const mine = Buffer.from(versions[1] ?? new Uint8Array(0));
  const candidates = suspects.filter((extent) => {
    const at = (extent - firstExtent) * VERSION_BYTES;
    return mine.compare(NEVER_WRITTEN, 0, VERSION_BYTES, at, at + VERSION_BYTES) === 0;
  });
  if (candidates.length === 0) return [];
  const offset = firstExtent * EXTENT_BYTES;
  const end = Math.min(endExtent * EXTENT_BYTES, sizeBytes);
  const pieces: Uint8Array[] = [];
  for (let at = offset; at < end; at += REPLICATOR_LIMITS.allocationBytes) {
    const length = Math.min(REPLICATOR_LIMITS.allocationBytes, end - at);
    pieces.push(await member.allocation(at, length));
  }
  const bitmap = Buffer.concat(pieces);
  return candidates.filter((extent) => {
    const at = (extent - firstExtent) * BITMAP_BYTES_PER_EXTENT;
    return bitmap.subarray(at, at + BITMAP_BYTES_PER_EXTENT).every((byte) => byte === 0);
  });
};
