import { REPLICATOR_LIMITS } from '../limits.ts';
import type { Member } from './member.ts';
import { MemberError } from './member-error.ts';
import { decides } from './membership.ts';

/**
 * Small named blobs, kept by every voter. Each copy carries (epoch, count) of its writing, so that
 * of several copies the newest is known:
 *
 *     version u32 = 1 | epoch u64 | count u64 | content
 *
 * A write is done when a majority of the voters has it durably; a read asks a majority, takes the
 * newest and, where somebody has an older one, writes it back before it answers: what was read once
 * is read again.
 */
const DOCUMENT_VERSION = 1;
const AT_EPOCH = 4;
const AT_COUNT = 12;
const ENVELOPE_BYTES = 20;
const U32 = 0x1_0000_0000;

export interface Stamped {
  readonly epoch: number;
  readonly count: number;
  readonly content: Uint8Array;
}

export const sealDocument = ({ epoch, count, content }: Stamped): Buffer => {
  const sealed = Buffer.allocUnsafe(ENVELOPE_BYTES + content.length);
  sealed.writeUInt32LE(DOCUMENT_VERSION, 0);
  sealed.writeUInt32LE(epoch >>> 0, AT_EPOCH);
  sealed.writeUInt32LE(Math.floor(epoch / U32), AT_EPOCH + 4);
  sealed.writeUInt32LE(count >>> 0, AT_COUNT);
  sealed.writeUInt32LE(Math.floor(count / U32), AT_COUNT + 4);
  sealed.set(content, ENVELOPE_BYTES);
  return sealed;
};

/** Null where the bytes are no document of this version. */
export const openDocument = (sealed: Uint8Array): Stamped | null => {
  const view = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength);
  if (view.length < ENVELOPE_BYTES || view.readUInt32LE(0) !== DOCUMENT_VERSION) return null;
  return {
    epoch: view.readUInt32LE(AT_EPOCH) + view.readUInt32LE(AT_EPOCH + 4) * U32,
    count: view.readUInt32LE(AT_COUNT) + view.readUInt32LE(AT_COUNT + 4) * U32,
    content: view.subarray(ENVELOPE_BYTES),
  };
};

const isNewer = (a: Stamped, b: Stamped | null): boolean =>
  b === null || a.epoch > b.epoch || (a.epoch === b.epoch && a.count > b.count);

export interface DocumentQuorum {
  /** Ids of all voters, and those of them that are there. */
  readonly voters: readonly string[];
  readonly present: readonly Member[];
  /** Voters whose voice does not count, because they have lost what they knew. */
  readonly forgetful: ReadonlySet<string>;
}

export class DocumentError extends Error {
  override readonly name = 'DocumentError';
}

export const readDocument = async (
  name: string,
  quorum: DocumentQuorum,
): Promise<Stamped | null> => {
  const answers = await fromMajority(name, quorum, async (member) => {
    const sealed = await member.getDocument(name);
    return sealed === null ? null : openDocument(sealed);
  });
  let newest: Stamped | null = null;
  for (const answer of answers) if (answer !== null && isNewer(answer, newest)) newest = answer;
  const found = newest;
  if (found !== null && answers.some((answer) => answer === null || isNewer(found, answer))) {
    await writeDocument(name, found, quorum);
  }
  return found;
};

export const writeDocument = async (
  name: string,
  document: Stamped,
  quorum: DocumentQuorum,
): Promise<void> => {
  if (document.content.length > REPLICATOR_LIMITS.documentBytes) {
    throw new DocumentError(
      `document ${name} has ${document.content.length} bytes; at most ${REPLICATOR_LIMITS.documentBytes} are kept`,
    );
  }
  const sealed = sealDocument(document);
  await fromMajority(name, quorum, (member) => member.putDocument(name, sealed));
};

/** Asks all that are there; the answers of a majority of the voters, or an error. */
const fromMajority = async <T>(
  name: string,
  { voters, present, forgetful }: DocumentQuorum,
  ask: (member: Member) => Promise<T>,
): Promise<T[]> => {
  const asked = present.filter((member) => voters.includes(member.id));
  const results = await Promise.allSettled(asked.map(ask));
  const answered = new Set<string>();
  const answers: T[] = [];
  let failure: unknown = null;
  results.forEach((result, index) => {
    if (result.status === 'fulfilled') {
      answers.push(result.value);
      answered.add(asked[index]?.id ?? '');
    } else {
      failure = result.reason;
    }
  });
  if (decides(voters, answered, forgetful)) return answers;
  if (failure !== null && !(failure instanceof MemberError)) throw failure as Error;
  throw new DocumentError(`document ${name}: no majority of the replicas answered`, {
    cause: failure,
  });
};
