import { BLOCK_BYTES, hasBit } from '@openebs/replica/protocol';
import { REPLICATOR_LIMITS } from '../limits.ts';
import type { ByteRange } from './link.ts';
import { MemberError } from './member-error.ts';
import type { Member } from './member.ts';
import type { Stream } from './stream.ts';
import {
  blocksOf,
  GONE,
  readVerified,
  sendCopy,
  type Sources,
  type VerifiedRead,
} from './verified-read.ts';

/**
 * Makes a range of at most one extent the same on several members and gives it one new version on
 * them and on all that are in sync. Nobody else may change the range meanwhile: the caller holds an
 * exclusive lock, or no initiator is served yet.
 */

/** crc32 and allocation of each block, as one member tells them. */
export interface BlockSums {
  /** Four bytes for each block. */
  readonly sums: Uint8Array;
  /** One bit for each block, LSB first. */
  readonly allocated: Uint8Array;
}

export interface Run {
  readonly firstBlock: number;
  readonly blocks: number;
  /** Whether the source has the blocks allocated; where not, they are unmapped on the others. */
  readonly allocated: boolean;
}

export const isAllocated = ({ allocated }: BlockSums, block: number): boolean =>
  hasBit(allocated, block);

/**
 * A checksum alone is not enough: a block that is not allocated tells 0, and so does an allocated
 * one whose checksum happens to be 0.
 */
export const sameBlock = (a: BlockSums, b: BlockSums, block: number): boolean => {
  const at = block * 4;
  return (
    isAllocated(a, block) === isAllocated(b, block) &&
    a.sums[at] === b.sums[at] &&
    a.sums[at + 1] === b.sums[at + 1] &&
    a.sums[at + 2] === b.sums[at + 2] &&
    a.sums[at + 3] === b.sums[at + 3]
  );
};

/**
 * Blocks in which any of the others differs from the source, in runs that can be copied in one
 * piece.
 */
export const differingRuns = (
  source: BlockSums,
  others: readonly BlockSums[],
  blocks: number,
  maxRunBlocks: number,
): Run[] => {
  const runs: { firstBlock: number; blocks: number; allocated: boolean }[] = [];
  for (let block = 0; block < blocks; block++) {
    if (others.every((other) => sameBlock(source, other, block))) continue;
    const allocated = isAllocated(source, block);
    const last = runs.at(-1);
    if (
      last?.allocated === allocated &&
      last.firstBlock + last.blocks === block &&
      last.blocks < maxRunBlocks
    ) {
      last.blocks++;
    } else {
      runs.push({ firstBlock: block, blocks: 1, allocated });
    }
  }
  return runs;
};

export interface Equalisation {
  readonly stream: Stream;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** All that shall be equal, in the stream already. The first one's data win. */
  readonly members: readonly Member[];
  /**
   * Whose blocks may be copied: the first of the members, then who may stand in for a damaged
   * block.
   */
  readonly sources: Sources;
  /**
   * One that had nothing in the range when it was in the stream already. Whatever it has now came
   * with the stream, so the first one has all of that: it gets everything that the first one has,
   * and is not asked.
   */
  readonly empty?: Member | null;
}

/**
 * Returns how many bytes were copied, when all is on its way: what is sent to the members from then
 * on comes behind it. Rejects with MemberError when a member is lost or no source has a good copy.
 */
export const equalise = async (work: Equalisation): Promise<number> => {
  const { stream, offsetBytes, lengthBytes, members, empty = null } = work;
  const check = sameStream(members);
  stream.endTurn();
  const asked = members.filter((member) => member !== empty);
  await caughtUp(asked);
  const sums = await Promise.all(members.map((member) => sumsOf(member, work)));
  check();
  const [source, ...others] = sums;
  if (source === undefined) throw new RangeError('no member to make equal');
  const runs = differingRuns(
    source,
    others,
    Math.ceil(lengthBytes / BLOCK_BYTES),
    REPLICATOR_LIMITS.copyBytes / BLOCK_BYTES,
  );
  // To the end also when one fails: nothing may be sent once the caller has let go of the range.
  const copies = await Promise.allSettled(runs.map((run) => copyRun(work, sums, run, check)));
  let copiedBytes = 0;
  for (const copy of copies) {
    if (copy.status === 'rejected') throw copy.reason;
    copiedBytes += copy.value;
  }
  check();
  // Nothing was awaited since the check: these are equal, and so is whoever is in sync.
  stream.stamp(members, offsetBytes, lengthBytes);
  return copiedBytes;
};

/** Resolves when all of them have applied what was sent to them. */
export const caughtUp = async (members: readonly Member[]): Promise<void> => {
  await Promise.all(members.map((member) => member.caughtUp()));
};

/** Throws when one of the members has left the stream since, even if it is back. */
const sameStream = (members: readonly Member[]): (() => void) => {
  const incarnations = members.map(({ incarnation }) => incarnation);
  return () => {
    members.forEach((member, index) => {
      if (member.streaming && member.incarnation === incarnations[index]) return;
      throw new MemberError(GONE, member.address);
    });
  };
};

export const blockSums = async (
  member: Member,
  { offsetBytes, lengthBytes }: ByteRange,
): Promise<BlockSums> => {
  const [sums, allocated] = await Promise.all([
    member.extentChecksums(offsetBytes, lengthBytes),
    member.allocation(offsetBytes, lengthBytes),
  ]);
  return { sums, allocated };
};

/** Who has nothing is sent everything, so of the first one its allocation says enough. */
const sumsOf = async (member: Member, work: Equalisation): Promise<BlockSums> => {
  const { offsetBytes, lengthBytes, empty = null } = work;
  if (empty === null) return blockSums(member, work);
  const blocks = Math.ceil(lengthBytes / BLOCK_BYTES);
  const sums = new Uint8Array(4 * blocks);
  if (member === empty) return { sums, allocated: new Uint8Array(Math.ceil(blocks / 8)) };
  return { sums, allocated: await member.allocation(offsetBytes, lengthBytes) };
};

const copyRun = async (
  { stream, offsetBytes, lengthBytes, members, sources }: Equalisation,
  sums: readonly BlockSums[],
  run: Run,
  check: () => void,
): Promise<number> => {
  const at = offsetBytes + run.firstBlock * BLOCK_BYTES;
  const bytes = Math.min(run.blocks * BLOCK_BYTES, offsetBytes + lengthBytes - at);
  const good = await copyOf(members[0], sources, run, at, bytes);
  try {
    check();
    return good !== null && good.from !== members[0]
      ? replaceRun(stream, members, at, good)
      : followSource(stream, members, { sums, run, at, bytes, good });
  } finally {
    good?.loan?.release();
  }
};

/** The others get what the first one has; `good` null: nothing. */
const followSource = (
  stream: Stream,
  members: readonly Member[],
  work: {
    readonly sums: readonly BlockSums[];
    readonly run: Run;
    readonly at: number;
    readonly bytes: number;
    readonly good: VerifiedRead | null;
  },
): number => {
  const { sums, run, at, bytes, good } = work;
  let copiedBytes = 0;
  members.forEach((member, index) => {
    const mine = sums[index];
    const first = sums[0];
    if (index === 0) return;
    if (mine !== undefined && first !== undefined && sameRun(first, mine, run)) return;
    if (good === null) {
      stream.unmapAt(member, at, bytes);
    } else {
      sendCopy(stream, member, at, good);
      copiedBytes += bytes;
    }
  });
  return copiedBytes;
};

/**
 * The first one's own copy is bad, so what it told of it says nothing. Whether a block of zeroes is
 * allocated may differ among those that have it; it is unmapped on all that take the stream, so
 * that the stamp that follows tells the truth of each.
 */
const replaceRun = (
  stream: Stream,
  members: readonly Member[],
  at: number,
  good: VerifiedRead,
): number => {
  let copiedBytes = 0;
  for (const block of blocksOf(at, good.data.length)) {
    const data = good.data.subarray(block.at - at, block.at - at + block.bytes);
    const isZero = data.every((byte) => byte === 0);
    for (const member of isZero ? stream.members : members) {
      if (!isZero && member === good.from) continue;
      if (isZero) {
        stream.unmapAt(member, block.at, block.bytes);
      } else {
        stream.sendTo(member, block.at, data);
        copiedBytes += block.bytes;
      }
    }
  }
  return copiedBytes;
};

/**
 * The source's data, or another's where its copy is bad; null where it has nothing there. What is
 * not allocated is believed only after one block of it was read: a source that has lost its page
 * does not know what it had.
 */
const copyOf = async (
  source: Member | undefined,
  sources: Sources,
  { allocated }: Run,
  at: number,
  bytes: number,
): Promise<VerifiedRead | null> => {
  if (!allocated) {
    const probe = await readVerified(sources, at, Math.min(bytes, BLOCK_BYTES));
    probe.loan?.release();
    if (probe.from === source) return null;
  }
  return readVerified(sources, at, bytes);
};

const sameRun = (a: BlockSums, b: BlockSums, { firstBlock, blocks }: Run): boolean => {
  for (let block = firstBlock; block < firstBlock + blocks; block++) {
    if (!sameBlock(a, b, block)) return false;
  }
  return true;
};
