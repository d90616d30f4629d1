import { EXTENT_BYTES } from '@openebs/replica/protocol';
import { VolumeError } from '../volume.ts';
import type { RequestFailure } from './link.ts';
import { MemberError } from './member-error.ts';
import type { Member } from './member.ts';
import type { ReadOperation } from './operations.ts';
import type { Repairs } from './repair.ts';
import type { ResyncContext } from './resync.ts';
import { readVerified } from './verified-read.ts';

/** A read whose answer was damaged on its way is asked again this often. */
const MAX_DAMAGED_ANSWERS = 3;

/** Spreads reads over the members that are in sync, and turns to another one when a copy is bad. */
export class Readers {
  readonly #context: ResyncContext;
  readonly #members: () => readonly Member[];
  readonly #repairs: Repairs;
  #next = 0;

  constructor(context: ResyncContext, members: () => readonly Member[], repairs: Repairs) {
    this.#context = context;
    this.#members = members;
    this.#repairs = repairs;
  }

  read(operation: ReadOperation): void {
    const member = this.#choose(operation);
    if (member === null) {
      if (operation.badMembers !== 0 && this.#members().length > 1) this.#piece(operation);
      else operation.finish(readError(operation));
      return;
    }
    operation.member = member;
    member.read(operation);
    this.#context.stream.scheduleTurn();
  }

  /** Takes note; the read then begins anew. */
  failed(operation: ReadOperation, failure: RequestFailure): void {
    const { member } = operation;
    member?.readEnded();
    operation.member = null;
    switch (failure.code) {
      case 'LINK_CLOSED':
      case 'CLOSED':
        return;
      case 'DAMAGED':
        operation.damaged++;
        operation.failure = failure;
        return;
      default:
        operation.failure = failure;
        if (member !== null) this.#badCopy(operation, member, failure);
    }
  }

  /** Any member in sync, for what is no read; undefined when there is none. */
  any(): Member | undefined {
    const members = this.#members();
    return members[this.#next++ % members.length];
  }

  /** Least outstanding reads; the turn goes round among equals. */
  #choose({ badMembers, damaged }: ReadOperation): Member | null {
    const members = this.#members();
    if (damaged > MAX_DAMAGED_ANSWERS) return null;
    let best: Member | null = null;
    const count = members.length;
    const first = this.#next++;
    for (let step = 0; step < count; step++) {
      const member = members[(first + step) % count] as Member;
      if ((badMembers & (1 << member.index)) !== 0) continue;
      if (best === null || member.reads < best.reads) best = member;
    }
    return best;
  }

  /** Every copy has a bad block; perhaps not the same one. */
  #piece(operation: ReadOperation): void {
    const { offsetBytes, lengthBytes } = operation;
    readVerified(this.#members(), offsetBytes, lengthBytes).then(
      ({ data }) => operation.readDone(data, null),
      (error: unknown) => {
        if (!(error instanceof MemberError)) {
          // A programming error: end the process rather than go on in an unknown state.
          queueMicrotask(() => {
            throw error;
          });
        } else if (isAway(error)) {
          operation.badMembers = 0;
          operation.readFailed(error);
        } else {
          operation.failure = error;
          operation.finish(readError(operation));
        }
      },
    );
  }

  #badCopy(operation: ReadOperation, member: Member, failure: RequestFailure): void {
    operation.badMembers |= 1 << member.index;
    const at = failure.offsetBytes ?? operation.offsetBytes;
    this.#repairs.found(member, failure, Math.floor(at / EXTENT_BYTES));
  }
}

const isAway = ({ code }: RequestFailure): boolean => code === 'LINK_CLOSED' || code === 'CLOSED';

const readError = ({ failure, offsetBytes }: ReadOperation): VolumeError =>
  new VolumeError('MEDIUM_ERROR', failure?.message ?? 'no replica could read the range', {
    offsetBytes: failure?.offsetBytes ?? offsetBytes,
  });
