import assert from 'node:assert';
import type { Epoch, Seq, Session } from '@openebs/replica/protocol';
import {
  BLOCK_BYTES,
  computeSegmentChecksums,
  segmentTableBytes,
  seq,
} from '@openebs/replica/protocol';
import { REPLICATOR_LIMITS } from '../limits.ts';
import { VolumeError } from '../volume.ts';
import { Batch, type ForwardedPayload, type KeptPayload } from './batch.ts';
import type { RequestFailure, StreamOperation } from './link.ts';
import type { Member } from './member.ts';
import type { WriteOperation } from './operations.ts';
import type { SlabPool } from '@openebs/replica/runtime';

/**
 * Room for the checksum table of the largest write, used again and again where no frame is made.
 */
const MAX_TABLE_BYTES = segmentTableBytes(511, REPLICATOR_LIMITS.writeBytes);
const NO_CHUNKS: readonly Uint8Array[] = [];
const NO_TABLE = new Uint8Array(0);

interface OutgoingOperation extends StreamOperation {
  kind: 'write' | 'write-atomic' | 'unmap' | 'stamp';
  seq: Seq;
  offsetBytes: number;
  lengthBytes: number;
  chunks: readonly Uint8Array[];
  table: Uint8Array;
}

/**
 * The one order of all modifying operations. Gives each its sequence number, hands it to every
 * member that takes the stream, and completes operations, in their order, when all members that
 * they have to wait for have acknowledged them.
 */
export class Stream {
  readonly #batch: Batch;
  /** Frames for a single member. */
  readonly #single: Batch;
  readonly #defer: (callback: () => void) => void;
  readonly #complete: (operation: WriteOperation) => void;
  readonly #endOfTurn = (): void => {
    this.#turnScheduled = false;
    this.endTurn();
  };
  #members: readonly Member[] = [];
  #anyFrames = false;
  #anyLocal = false;
  /** Members that completions wait for; null: nothing completes now. */
  #required: readonly Member[] | null = null;
  /** Take the stream, are not waited for, but may not fall behind without limit. */
  #followers: readonly Member[] = [];
  #lastSeq: Seq = seq(0);
  /** The last one that went to all members. */
  #sharedSeq: Seq = seq(0);
  #completedSeq: Seq = seq(0);
  #turnScheduled = false;
  #pending: WriteOperation[] = [];
  #head = 0;
  readonly #scratch = Buffer.allocUnsafeSlow(MAX_TABLE_BYTES);
  /** One object for all: whoever is given it reads it before returning. */
  readonly #outgoing: OutgoingOperation = {
    kind: 'write',
    seq: seq(0),
    offsetBytes: 0,
    lengthBytes: 0,
    chunks: NO_CHUNKS,
    table: NO_TABLE,
  };

  constructor({
    volumeId,
    pool,
    defer,
    complete,
  }: {
    readonly volumeId: string;
    readonly pool: SlabPool;
    readonly defer: (callback: () => void) => void;
    readonly complete: (operation: WriteOperation) => void;
  }) {
    this.#batch = new Batch(volumeId, pool);
    this.#single = new Batch(volumeId, pool);
    this.#defer = defer;
    this.#complete = complete;
  }

  get lastSeq(): Seq {
    return this.#lastSeq;
  }

  /** Everything up to here was answered to the initiators. */
  get completedSeq(): Seq {
    return this.#completedSeq;
  }

  get members(): readonly Member[] {
    return this.#members;
  }

  /** Whether acknowledgements count at present. */
  get completes(): boolean {
    return this.#required !== null;
  }

  get pendingOperations(): number {
    return this.#pending.length - this.#head;
  }

  /**
   * A new epoch: numbers begin at 1. Returns the operations that the one before has left, in their
   * order.
   */
  start(epoch: Epoch, session: Session): WriteOperation[] {
    const left = this.#pending.slice(this.#head);
    this.#pending = [];
    this.#head = 0;
    this.#batch.clear();
    this.#members = [];
    this.#required = null;
    this.#lastSeq = seq(0);
    this.#sharedSeq = seq(0);
    this.#completedSeq = seq(0);
    this.#batch.setSession(epoch, session);
    this.#single.setSession(epoch, session);
    this.#classify();
    return left;
  }

  /**
   * From the next operation on the member gets all; what came before it must get in another way.
   */
  add(member: Member): void {
    this.endTurn();
    member.enterStream(this.#lastSeq);
    this.#members = [...this.#members, member];
    this.#classify();
  }

  remove(member: Member): void {
    this.#members = this.#members.filter((each) => each !== member);
    this.#classify();
  }

  /** Null: nothing completes until further notice. */
  setRequired(required: readonly Member[] | null): void {
    this.#required = required;
    this.#classify();
    this.complete();
  }

  /** A write or an unmap of an initiator. The payload is taken before this returns. */
  send(operation: WriteOperation): void {
    const { offsetBytes, lengthBytes } = operation;
    operation.seq = this.#next();
    this.#sharedSeq = operation.seq;
    this.#pending.push(operation);
    const outgoing = this.#outgoing;
    outgoing.seq = operation.seq;
    outgoing.offsetBytes = offsetBytes;
    outgoing.lengthBytes = lengthBytes;
    if (operation.io.kind === 'unmap') {
      outgoing.kind = 'unmap';
      if (this.#anyFrames) this.#batch.unmap(operation.seq, offsetBytes, lengthBytes);
    } else {
      outgoing.kind = operation.kind;
      this.#sendWrite(operation, outgoing);
    }
    if (this.#anyLocal) this.#applyLocally(outgoing);
    this.#scheduleTurn();
  }

  /**
   * The extents of this range get one new version on the members that are equal in it: these, and
   * all that are in sync. Who is still being resynchronised may take the stream and lack older
   * writes; with the version of the others it would pass for their equal when this target ends.
   */
  stamp(equal: readonly Member[], offsetBytes: number, lengthBytes: number): void {
    this.endTurn();
    const number = this.#next();
    const members = this.#members;
    for (const member of members) {
      if (!member.inSync && !equal.includes(member)) continue;
      member.sentSeq = number;
      if (member.wantsFrames) {
        this.#single.stamp(number, offsetBytes, lengthBytes);
        this.#sendSingle(member);
      } else {
        this.#applyAt(member, 'stamp', number, offsetBytes, lengthBytes, null);
      }
      if (this.#members !== members) break;
    }
  }

  /** To one member only: resynchronisation. */
  sendTo(
    member: Member,
    offsetBytes: number,
    data: Uint8Array,
    kind: WriteOperation['kind'] = 'write',
  ): void {
    const number = this.#nextFor(member);
    if (!member.wantsFrames) {
      this.#applyAt(member, kind, number, offsetBytes, data.length, data);
      return;
    }
    const kept: KeptPayload = { slab: null, tableStart: 0, payloadStart: 0, payloadEnd: 0 };
    this.#single.write(number, offsetBytes, [data], kept, kind);
    kept.slab?.release();
    this.#sendSingle(member);
  }

  /** As sendTo, of what another member has sent: neither copied nor summed again. */
  forwardTo(member: Member, offsetBytes: number, payload: ForwardedPayload): void {
    if (!member.wantsFrames) {
      this.sendTo(member, offsetBytes, payload.data);
      return;
    }
    this.#single.forward(this.#nextFor(member), offsetBytes, payload);
    this.#sendSingle(member);
  }

  /** To one member only: resynchronisation. */
  unmapAt(member: Member, offsetBytes: number, lengthBytes: number): void {
    const number = this.#nextFor(member);
    if (!member.wantsFrames) {
      this.#applyAt(member, 'unmap', number, offsetBytes, lengthBytes, null);
      return;
    }
    this.#single.unmap(number, offsetBytes, lengthBytes);
    this.#sendSingle(member);
  }

  /** Operations go out before the end of the turn, where there are any. */
  sendGathered(): void {
    if (!this.#batch.empty) this.endTurn();
  }

  /** What was gathered goes out: one write for each member. */
  endTurn(): void {
    const gathered = !this.#batch.empty;
    const members = this.#members;
    for (const member of members) {
      if (member.sentSeq < this.#sharedSeq) member.sentSeq = this.#sharedSeq;
      if (gathered && member.wantsFrames) member.link.send(this.#batch);
      else member.link.endTurn();
      // A link may end while it is written to, and the stream with it.
      if (this.#members !== members) break;
    }
    if (gathered) this.#batch.clear();
  }

  /** Some member has acknowledged something, or who is waited for has changed. */
  complete(): void {
    const required = this.#required;
    if (required === null || this.#head === this.#pending.length) return;
    let acked = Infinity;
    for (const member of required) {
      if (member.ackedSeq < acked) acked = member.ackedSeq;
    }
    for (const follower of this.#followers) {
      if (follower.link.bufferedBytes > REPLICATOR_LIMITS.followerBufferBytes) return;
    }
    while (this.#head < this.#pending.length) {
      const operation = this.#pending[this.#head] as WriteOperation;
      if (operation.seq > acked) break;
      this.#head++;
      this.#completedSeq = operation.seq;
      this.#complete(operation);
      // Completing may have changed who is waited for.
      if (this.#required !== required) return;
    }
    if (this.#head > 1024 || this.#head === this.#pending.length) {
      this.#pending.splice(0, this.#head);
      this.#head = 0;
    }
  }

  forEachPending(visit: (operation: WriteOperation) => void): void {
    for (const operation of this.#pending.slice(this.#head)) visit(operation);
  }

  /**
   * The last in-sync member has a bad block and cannot write a part of it. Given to it again, the
   * write would fail again, and for ever; whole blocks are written.
   */
  refuseBlock({ message, offsetBytes }: RequestFailure): void {
    if (offsetBytes === null) return;
    const error = new VolumeError('MEDIUM_ERROR', message, { offsetBytes });
    this.forEachPending((operation) => {
      const start = operation.offsetBytes;
      const end = start + operation.lengthBytes;
      const isPart = start > offsetBytes || end < offsetBytes + BLOCK_BYTES;
      if (isPart && start < offsetBytes + BLOCK_BYTES && offsetBytes < end) operation.finish(error);
    });
  }

  /** At the end of this turn endTurn() is called. */
  scheduleTurn(): void {
    this.#scheduleTurn();
  }

  #sendWrite(operation: WriteOperation, outgoing: OutgoingOperation): void {
    const kept = operation.slab;
    if (kept !== null) {
      // Sent before, in an epoch that has ended: nothing is copied or summed again.
      if (this.#anyFrames)
        this.#batch.rewrite(operation.seq, operation.offsetBytes, operation, operation.kind);
      outgoing.table = kept.buffer.subarray(operation.tableStart, operation.payloadStart);
      outgoing.chunks = [kept.buffer.subarray(operation.payloadStart, operation.payloadEnd)];
      return;
    }
    const { chunks } = operation;
    if (this.#anyFrames) {
      this.#batch.write(operation.seq, operation.offsetBytes, chunks, operation, operation.kind);
      if (this.#anyLocal) {
        const { slab } = operation as { slab: WriteOperation['slab'] };
        assert(slab !== null, 'the batch keeps the payload');
        outgoing.table = slab.buffer.subarray(operation.tableStart, operation.payloadStart);
        outgoing.chunks = chunks;
      }
    } else {
      this.#sumInto(outgoing, chunks);
    }
    // Lent by the caller: not to be looked at again.
    operation.chunks = NO_CHUNKS;
  }

  #sumInto(outgoing: OutgoingOperation, chunks: readonly Uint8Array[]): void {
    const bytes = computeSegmentChecksums(outgoing.offsetBytes, chunks, this.#scratch);
    outgoing.table = this.#scratch.subarray(0, bytes);
    outgoing.chunks = chunks;
  }

  #applyLocally(outgoing: OutgoingOperation): void {
    const members = this.#members;
    for (const member of members) {
      if (!member.wantsFrames) member.link.apply(outgoing);
      if (this.#members !== members) break;
    }
    outgoing.chunks = NO_CHUNKS;
  }

  /** Numbers must rise in each member's stream. */
  #nextFor(member: Member): Seq {
    this.endTurn();
    member.sentSeq = this.#next();
    return member.sentSeq;
  }

  #sendSingle(member: Member): void {
    member.link.send(this.#single);
    this.#single.clear();
  }

  #applyAt(
    member: Member,
    kind: OutgoingOperation['kind'],
    number: Seq,
    offsetBytes: number,
    lengthBytes: number,
    data: Uint8Array | null,
  ): void {
    const outgoing = this.#outgoing;
    outgoing.kind = kind;
    outgoing.seq = number;
    outgoing.offsetBytes = offsetBytes;
    outgoing.lengthBytes = lengthBytes;
    if (data !== null) this.#sumInto(outgoing, [data]);
    member.link.apply(outgoing);
    member.link.endTurn();
  }

  #next(): Seq {
    this.#lastSeq = seq(this.#lastSeq + 1);
    return this.#lastSeq;
  }

  #scheduleTurn(): void {
    if (this.#turnScheduled) return;
    this.#turnScheduled = true;
    this.#defer(this.#endOfTurn);
  }

  #classify(): void {
    this.#anyFrames = this.#members.some((member) => member.wantsFrames);
    this.#anyLocal = this.#members.some((member) => !member.wantsFrames);
    const required = this.#required ?? [];
    this.#followers = this.#members.filter((member) => !required.includes(member));
  }
}
