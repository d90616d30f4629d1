import { BLOCK_BYTES } from '@openebs/replica/protocol';
import { Slab } from '@openebs/replica/runtime';
import type { Loan } from '../volume.ts';
import type { ReadRequest } from './link.ts';
import { MemberError } from './member-error.ts';
import type { Member } from './member.ts';
import type { Stream } from './stream.ts';

/** Bytes that passed their checksums. */
export interface Copy {
  readonly data: Buffer;
  /** The checksums, where they came along. */
  readonly table: Uint8Array | null;
  /** The memory behind both, the caller's to release; null where they belong to the caller. */
  readonly loan: Loan | null;
}

export interface VerifiedRead extends Copy {
  /** Null: no copy was whole, so the blocks are of several. */
  readonly from: Member | null;
}

/** Who may be read just now. Throws when nobody shall be any more. */
export type Sources = () => readonly Member[];

/** These, each until it leaves the stream: when it is back it lacks what was written meanwhile. */
export const whileThere = (members: readonly Member[]): Sources => {
  const incarnations = members.map(({ incarnation }) => incarnation);
  return () => members.filter(({ incarnation }, index) => incarnation === incarnations[index]);
};

/**
 * From the first source whose copy of the range passes its checksums; where there is none, block by
 * block, so that copies with different bad blocks make a good one together. Rejects with the
 * MemberError of the first block that nobody has.
 */
export const readVerified = async (
  sources: Sources,
  offsetBytes: number,
  lengthBytes: number,
): Promise<VerifiedRead> => {
  try {
    return await readWhole(sources, offsetBytes, lengthBytes);
  } catch (error) {
    if (!(error instanceof MemberError) || sources().length < 2 || lengthBytes <= BLOCK_BYTES) {
      throw error;
    }
  }
  const data = Buffer.allocUnsafe(lengthBytes);
  for (const { at, bytes } of blocksOf(offsetBytes, lengthBytes)) {
    const block = await readWhole(sources, at, bytes);
    data.set(block.data, at - offsetBytes);
    block.loan?.release();
  }
  return { data, table: null, loan: null, from: null };
};

/** The range cut at multiples of the block size. */
export const blocksOf = function* (
  offsetBytes: number,
  lengthBytes: number,
): Generator<{ readonly at: number; readonly bytes: number }> {
  const end = offsetBytes + lengthBytes;
  for (let at = offsetBytes; at < end;) {
    const bytes = Math.min(BLOCK_BYTES - (at % BLOCK_BYTES), end - at);
    yield { at, bytes };
    at += bytes;
  }
};

const readWhole = async (
  sources: Sources,
  offsetBytes: number,
  lengthBytes: number,
): Promise<VerifiedRead> => {
  let last = new MemberError(GONE, 'no replica');
  for (const from of sources()) {
    // The answers of those before took their time.
    if (!sources().includes(from)) {
      last = new MemberError(GONE, from.address);
      continue;
    }
    try {
      return { ...(await readFrom(from, offsetBytes, lengthBytes)), from };
    } catch (error) {
      if (!(error instanceof MemberError)) throw error;
      last = error;
    }
  }
  throw last;
};

/**
 * `layer` 0: of the volume; else what that layer itself holds, also of one that is not in sync:
 * whoever asks knows by a checksum what it wants.
 */
export const readFrom = (
  member: Member,
  offsetBytes: number,
  lengthBytes: number,
  layer = 0,
): Promise<Copy> => {
  const isThere = (): boolean => (layer === 0 ? member.streaming : member.voting);
  if (!isThere()) return Promise.reject(new MemberError(GONE, member.address));
  return new Promise((resolve, reject) => {
    const request: ReadRequest = {
      offsetBytes,
      lengthBytes,
      readDone: (data, loan, table) => {
        member.readEnded();
        resolve({ data, table, loan });
      },
      readFailed: (failure) => {
        member.readEnded();
        reject(new MemberError(failure, member.address));
      },
    };
    if (layer === 0) member.read(request);
    else member.readLayer(layer, request);
    if (isThere()) member.link.endTurn();
  });
};

/** The copy stays the caller's. */
export const sendCopy = (
  stream: Stream,
  member: Member,
  offsetBytes: number,
  { data, table, loan }: Copy,
): void => {
  if (table !== null && loan instanceof Slab) {
    stream.forwardTo(member, offsetBytes, { data, table, slab: loan });
  } else {
    stream.sendTo(member, offsetBytes, data);
  }
};

export const GONE = { code: 'LINK_CLOSED', message: 'the replica is offline', offsetBytes: null };
