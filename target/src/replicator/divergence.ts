import { BLOCK_BYTES, EXTENT_BYTES } from '@openebs/replica/protocol';
import { blockSums, caughtUp, equalise, isAllocated, type BlockSums } from './equalise.ts';
import type { ByteRange } from './link.ts';
import type { Member } from './member.ts';
import type { Stream } from './stream.ts';
import { whileThere } from './verified-read.ts';

/** crc32 of 4 KiB of zeroes: what a block that is not allocated reads as. */
const ZERO_BLOCK_SUM = Buffer.from([0x11, 0x00, 0x1c, 0xc7]);

/** How in-sync members differ in a range of one extent. */
export interface Difference {
  readonly blocks: number;
  /** Whose data shall win. */
  readonly source: Member;
  readonly members: readonly Member[];
}

/** The caller holds a lock of the range, so that no write is under way in it. */
export const differentBlocks = async (
  members: readonly Member[],
  range: ByteRange,
): Promise<Difference> => {
  const sums = await Promise.all(members.map((member) => blockSums(member, range)));
  const count = Math.ceil(range.lengthBytes / BLOCK_BYTES);
  let blocks = 0;
  if (sums.every((each) => identical(each, sums[0])))
    return { blocks, source: firstOf(members), members };
  for (let block = 0; block < count; block++) {
    const [first, ...others] = sums.map((each) => sumOf(each, block));
    if (first !== undefined && others.some((other) => !other.equals(first))) blocks++;
  }
  const source = blocks === 0 ? firstOf(members) : await newestOf(members, sums, range);
  return { blocks, source, members };
};

export const healDivergence = async (
  stream: Stream,
  { source, members }: Difference,
  range: ByteRange,
): Promise<void> => {
  const ordered = [source, ...members.filter((member) => member !== source)];
  await equalise({ stream, ...range, members: ordered, sources: whileThere(ordered) });
  await caughtUp(ordered);
};

const firstOf = ([first]: readonly Member[]): Member => {
  if (first === undefined) throw new RangeError('no replica is in sync');
  return first;
};

const identical = (one: BlockSums, other: BlockSums | undefined): boolean =>
  other !== undefined &&
  Buffer.compare(one.sums, other.sums) === 0 &&
  Buffer.compare(one.allocated, other.allocated) === 0;

const sumOf = (sums: BlockSums, block: number): Buffer =>
  isAllocated(sums, block)
    ? Buffer.from(sums.sums.buffer, sums.sums.byteOffset + 4 * block, 4)
    : ZERO_BLOCK_SUM;

/**
 * Whoever tells the latest known version of the extent has seen the most; among equals whoever has
 * the most company, then the first.
 */
const newestOf = async (
  members: readonly Member[],
  sums: readonly BlockSums[],
  range: ByteRange,
): Promise<Member> => {
  const versions = await Promise.all(
    members.map((member) => member.extentVersions(range.offsetBytes, range.lengthBytes)),
  );
  const ranks = members.map((member, index) => ({
    member,
    version: versionOf(versions[index]),
    company: sums.filter((each) => sameSums(each, sums[index])).length,
  }));
  ranks.sort(
    (a, b) =>
      b.version.epoch - a.version.epoch || b.version.seq - a.version.seq || b.company - a.company,
  );
  return ranks[0]?.member ?? firstOf(members);
};

const versionOf = (bytes: Uint8Array | undefined): { epoch: number; seq: number } => {
  if (bytes === undefined || bytes.every((byte) => byte === 0xff)) return { epoch: -1, seq: -1 };
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return { epoch: Number(view.readBigUInt64LE(0)), seq: Number(view.readBigUInt64LE(8)) };
};

const sameSums = (one: BlockSums, other: BlockSums | undefined): boolean => {
  if (other === undefined) return false;
  for (let block = 0; block < EXTENT_BYTES / BLOCK_BYTES && 4 * block < one.sums.length; block++) {
    if (!sumOf(one, block).equals(sumOf(other, block))) return false;
  }
  return true;
};
