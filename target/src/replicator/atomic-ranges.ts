import { MAX_ATOMIC_BYTES } from '@openebs/replica/protocol';
import { caughtUp } from './equalise.ts';
import type { ByteRange } from './link.ts';
import { MemberError } from './member-error.ts';
import type { Member } from './member.ts';
import type { Stream } from './stream.ts';
import { readFrom } from './verified-read.ts';

const LOST = { code: 'LINK_CLOSED', message: 'lost before it was made equal', offsetBytes: null };

/** The largest atomic write that all members can take; 0 where one of an older release cannot. */
export const atomicBytesOf = (members: readonly Member[]): number => {
  let bytes: number = MAX_ATOMIC_BYTES;
  for (const { identity, known } of members) {
    if (identity?.role === 'data') bytes = Math.min(bytes, known?.atomic?.maxBytes ?? 0);
  }
  return bytes;
};

/**
 * Before members are made equal block by block: an atomic write that only some of them have is one
 * change there too. Otherwise a member that is lost as a source in the middle would leave another
 * one with a half of it, and that one may be all that the next activation finds.
 *
 * At most one atomic write can be on some members and not on others, and it is the last that those
 * remember which have it (see AtomicTurns). Whose copy wins is the same as for everything else, but
 * where that copy has a bad block in the range another one's is taken, whole.
 */
export const equaliseAtomicRanges = async (
  stream: Stream,
  members: readonly Member[],
  sources: readonly Member[],
): Promise<void> => {
  for (const range of rangesOf(members)) {
    const copies = new Map<Member, Buffer | null>();
    for (const member of new Set([...sources, ...members])) {
      copies.set(member, await copyOf(member, range));
    }
    const source = sources.find((member) => copies.get(member) !== null);
    const data = source === undefined ? null : (copies.get(source) ?? null);
    // Bad everywhere: block by block, or not at all.
    if (data === null) continue;
    const others = members.filter((member) => copies.get(member)?.equals(data) !== true);
    for (const member of others) {
      // While the others were read.
      if (!member.streaming) throw new MemberError(LOST, member.address);
      const isAble = member.known?.atomic !== null;
      const kind = isAble ? 'write-atomic' : 'write';
      stream.sendTo(member, range.offsetBytes, data, kind);
    }
    await caughtUp(others);
  }
};

const rangesOf = (members: readonly Member[]): Iterable<ByteRange> => {
  const ranges = new Map<string, ByteRange>();
  for (const { known } of members) {
    const last = known?.atomic?.last ?? null;
    if (last !== null) ranges.set(`${last.offsetBytes} ${last.lengthBytes}`, last);
  }
  return ranges.values();
};

/** Null where a block of it is bad. */
const copyOf = async (
  member: Member,
  { offsetBytes, lengthBytes }: ByteRange,
): Promise<Buffer | null> => {
  try {
    const { data, loan } = await readFrom(member, offsetBytes, lengthBytes);
    if (loan === null) return data;
    const copy = Buffer.from(data);
    loan.release();
    return copy;
  } catch (error) {
    if (error instanceof MemberError && error.code !== 'LINK_CLOSED') return null;
    throw error;
  }
};
