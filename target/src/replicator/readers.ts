import { BLOCK_BYTES, EXTENT_BYTES } from '@openebs/replica/protocol';
import { REPLICATOR_LIMITS } from '../limits.ts';
import { VolumeError } from '../volume.ts';
import type { ReadLease } from './lease.ts';
import type { ByteRange, RequestFailure } from './link.ts';
import { MemberError } from './member-error.ts';
import type { Member } from './member.ts';
import { notReady, type ReadOperation } from './operations.ts';
import type { Repairs } from './repair.ts';
import type { ResyncContext } from './resync.ts';
import { readVerified } from './verified-read.ts';

/** A read whose answer was damaged on its way is asked again this often. */
const MAX_DAMAGED_ANSWERS = 3;

/**
 * Short reads stay with one member for a while, as long as it has no more than this many more
 * outstanding than another one: reads that arrive together wake one process and leave in one write,
 * and a single reader finds that process's caches warm and its own readahead.
 */
const SHORT_BYTES = 16 * 1024;
const LEAD_READS = 8;
/** So many reads, lest a slow member be all that somebody sees. */
const STAY_READS = 64;

/** Spreads reads over the members that are in sync, and turns to another one when a copy is bad. */
export class Readers {
  readonly #context: ResyncContext;
  readonly #members: () => readonly Member[];
  readonly #repairs: Repairs;
  readonly #lease: ReadLease;
  #next = 0;
  /** Where short reads stay, and for how many of them. */
  #favourite: Member | null = null;
  #stay = 0;

  constructor(options: {
    readonly context: ResyncContext;
    readonly members: () => readonly Member[];
    readonly repairs: Repairs;
    readonly lease: ReadLease;
  }) {
    this.#context = options.context;
    this.#members = options.members;
    this.#repairs = options.repairs;
    this.#lease = options.lease;
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

  /** Which blocks of the range are allocated; under the lease, as every read. */
  async allocation(
    { offsetBytes, lengthBytes }: ByteRange,
    whenOpen: () => Promise<void>,
  ): Promise<Uint8Array> {
    const blocks = Math.ceil(lengthBytes / BLOCK_BYTES);
    const bitmap = new Uint8Array(Math.ceil(blocks / 8));
    let at = 0;
    while (at < lengthBytes) {
      await whenOpen();
      const members = this.#members();
      const member = members[this.#next++ % members.length];
      if (member === undefined) throw notReady('no replica is in sync');
      const startedMs = this.#context.environment.now();
      const pieceBytes = Math.min(REPLICATOR_LIMITS.allocationBytes, lengthBytes - at);
      const part = await member.allocation(offsetBytes + at, pieceBytes);
      // Suspended meanwhile: asked again when the volume is open.
      if (!(await this.#lease.covered(startedMs))) continue;
      bitmap.set(part.subarray(0, bitmap.length - at / BLOCK_BYTES / 8), at / BLOCK_BYTES / 8);
      at += pieceBytes;
    }
    return bitmap;
  }

  /** Least outstanding reads; the turn goes round among equals, slowly where they are short. */
  #choose({ badMembers, damaged, lengthBytes }: ReadOperation): Member | null {
    const members = this.#members();
    if (damaged > MAX_DAMAGED_ANSWERS) return null;
    const isShort = lengthBytes <= SHORT_BYTES;
    const favourite = isShort ? this.#favourite : null;
    let best: Member | null = null;
    let least = Infinity;
    const count = members.length;
    const first = this.#next++;
    for (let step = 0; step < count; step++) {
      const member = members[(first + step) % count] as Member;
      if ((badMembers & (1 << member.index)) !== 0) continue;
      const reads = member === favourite ? member.reads - LEAD_READS : member.reads;
      if (reads >= least) continue;
      best = member;
      least = reads;
    }
    if (!isShort || best === null) return best;
    if (best !== favourite) {
      this.#favourite = best;
      this.#stay = STAY_READS;
    } else if (--this.#stay === 0) this.#favourite = null;
    return best;
  }

  /** Every copy has a bad block; perhaps not the same one. */
  #piece(operation: ReadOperation): void {
    const { offsetBytes, lengthBytes } = operation;
    readVerified(this.#members, offsetBytes, lengthBytes).then(
      ({ data, loan }) => operation.readDone(data, loan),
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
