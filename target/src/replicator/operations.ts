import assert from 'node:assert';
import type { Seq } from '@openebs/replica/protocol';
import { SECTOR_BYTES, seq } from '@openebs/replica/protocol';
import { REPLICATOR_LIMITS } from '../limits.ts';
import { VolumeError, type Loan, type VolumeIo } from '../volume.ts';
import type { KeptPayload } from './batch.ts';
import type { ReadRequest, RequestFailure } from './link.ts';
import type { Member } from './member.ts';
import { LockEntry } from './range-lock.ts';
import type { Slab } from '@openebs/replica/runtime';
import type { OperationStatistics, VolumeStatistics } from './statistics.ts';

/** What an operation needs from the volume that runs it. */
export interface OperationHost {
  readonly sizeBytes: number;
  now(): number;
  /** The range is held (or needs no lock): go on. */
  begin(operation: Operation): void;
  /**
   * It was answered for good; its lock, if it holds one, is to be released. Comes before its
   * initiator is told.
   */
  ended(operation: Operation): void;
  /** The data is lent: `loan` is the host's to release or to hand on. */
  readAnswered(operation: ReadOperation, data: Buffer, loan: Loan | null): void;
  readFailed(operation: ReadOperation, failure: RequestFailure): void;
  /** All members that count have it, whether its initiator still waits or not. */
  atomicApplied(operation: WriteOperation): void;
}

/**
 * One VolumeIo on its way: entry of the range lock, request to a member, and place in the queue of
 * the stream, all in one object.
 */
abstract class BaseOperation extends LockEntry {
  readonly io: VolumeIo;
  readonly statistics: OperationStatistics;
  readonly startedMs: number;
  protected readonly host: OperationHost;
  /** Its initiator has been answered. It may stay in a queue for its order's sake. */
  finished = false;

  constructor(
    io: VolumeIo,
    mode: 'shared' | 'exclusive',
    statistics: OperationStatistics,
    host: OperationHost,
  ) {
    // A flush has no range; it is never given to the range lock.
    super(io.offsetBytes, io.lengthBytes, mode);
    this.io = io;
    this.statistics = statistics;
    this.host = host;
    this.startedMs = host.now();
  }

  /** An unmap moves no bytes, however long its range is. */
  get payloadBytes(): number {
    return this.io.kind === 'unmap' ? 0 : this.lengthBytes;
  }

  finish(error: VolumeError | null): void {
    if (this.finished) return;
    this.finished = true;
    const { statistics } = this;
    statistics.seconds.observe((this.host.now() - this.startedMs) / 1000);
    statistics.operations++;
    if (error === null) statistics.bytes += this.lengthBytes;
    else statistics.errors++;
    this.letGo();
    this.host.ended(this as unknown as Operation);
    this.io.done(error);
  }

  /** Frees what the operation holds besides its lock. */
  protected letGo(): void {}
}

export class ReadOperation extends BaseOperation implements ReadRequest {
  readonly kind = 'read';
  member: Member | null = null;
  /** Members whose copy was bad, by index. */
  badMembers = 0;
  /** Answers that were damaged on their way. */
  damaged = 0;
  failure: RequestFailure | null = null;

  override granted(): void {
    this.host.begin(this);
  }

  readDone(data: Buffer, loan: Loan | null): void {
    this.host.readAnswered(this, data, loan);
  }

  readFailed(failure: RequestFailure): void {
    this.host.readFailed(this, failure);
  }
}

/** A write or an unmap. */
export class WriteOperation extends BaseOperation implements KeptPayload {
  readonly kind: 'write' | 'write-atomic' = 'write';
  seq: Seq = seq(0);
  slab: Slab | null = null;
  tableStart = 0;
  payloadStart = 0;
  payloadEnd = 0;
  /** The payload as the caller lent it, or a copy where the operation had to wait. */
  chunks: readonly Uint8Array[];

  constructor(io: VolumeIo, statistics: OperationStatistics, host: OperationHost) {
    super(io, 'exclusive', statistics, host);
    this.chunks = io.chunks;
  }

  override granted(): void {
    this.host.begin(this);
  }

  /** Before submit() returns while the operation has to wait: what was lent is copied. */
  keepPayload(): void {
    if (this.io.kind === 'unmap' || this.slab !== null) return;
    const copy = Buffer.allocUnsafe(this.lengthBytes);
    let at = 0;
    for (const chunk of this.chunks) {
      copy.set(chunk, at);
      at += chunk.length;
    }
    this.chunks = [copy];
  }

  protected override letGo(): void {
    this.slab?.release();
    this.slab = null;
    this.chunks = NOTHING;
  }
}

/** A write that is on each member wholly or not at all. */
export class AtomicOperation extends WriteOperation {
  override readonly kind = 'write-atomic';

  override finish(error: VolumeError | null): void {
    super.finish(error);
    if (error === null) this.host.atomicApplied(this);
  }
}

export class FlushOperation extends BaseOperation {
  readonly kind = 'flush';
  /** Members that have not flushed yet. */
  readonly waitingFor = new Set<Member>();

  constructor(io: VolumeIo, statistics: OperationStatistics, host: OperationHost) {
    super(io, 'shared', statistics, host);
  }

  override granted(): void {
    this.host.begin(this);
  }
}

/** What an initiator wants as an operation of this volume. */
export const operationOf = (
  io: VolumeIo,
  host: OperationHost,
  statistics: VolumeStatistics,
): Operation => {
  const { kind, offsetBytes, lengthBytes } = io;
  assert(offsetBytes % SECTOR_BYTES === 0 && lengthBytes % SECTOR_BYTES === 0, 'whole sectors');
  assert(offsetBytes >= 0 && offsetBytes + lengthBytes <= host.sizeBytes, 'inside the volume');
  if (kind === 'flush') return new FlushOperation(io, statistics.flush, host);
  assert(lengthBytes > 0, 'an operation has a length');
  if (kind === 'read') {
    assert(lengthBytes <= REPLICATOR_LIMITS.writeBytes, 'a read of one frame');
    return new ReadOperation(io, 'shared', statistics.read, host);
  }
  assert(
    lengthBytes <= (kind === 'unmap' ? REPLICATOR_LIMITS.unmapBytes : REPLICATOR_LIMITS.writeBytes),
    'a modification of one frame',
  );
  if (kind === 'write-atomic') return new AtomicOperation(io, statistics.write, host);
  return new WriteOperation(io, statistics[kind], host);
};

export type Operation = ReadOperation | WriteOperation | FlushOperation;

const NOTHING: readonly Uint8Array[] = [];

export const notReady = (reason: string): VolumeError =>
  new VolumeError('NOT_READY', `the volume is not ready: ${reason}`);
