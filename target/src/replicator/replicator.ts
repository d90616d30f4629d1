import assert from 'node:assert';
import { BLOCK_BYTES } from '@openebs/replica/protocol';
import { VolumeError, type Loan, type RangeLock, type Volume, type VolumeIo } from '../volume.ts';
import { Assembly } from './assembly.ts';
import type { AssemblyHost } from './assembly-host.ts';
import { atomicBytesOf } from './atomic-ranges.ts';
import { AtomicTurns } from './atomic-turns.ts';
import { DocumentKeeper, readyOrNot } from './document-keeper.ts';
import type { Environment } from './environment.ts';
import { Flushes } from './flushes.ts';
import { ReadLease } from './lease.ts';
import type { RequestFailure } from './link.ts';
import type { Member } from './member.ts';
import {
  notReady,
  operationOf,
  ReadOperation,
  WriteOperation,
  type Operation,
  type OperationHost,
} from './operations.ts';
import { Pace } from './pace.ts';
import { CallerLock, covers, LockEntry, RangeLocks } from './range-lock.ts';
import { Readers } from './readers.ts';
import { Repairs } from './repair.ts';
import { DEFAULT_GRACE_MS, DEFAULT_HOLD_MS, type ReplicatorOptions } from './replicator-options.ts';
import type { ResyncContext } from './resync.ts';
import type { VolumeStatistics } from './statistics.ts';
import { Stream } from './stream.ts';

type Change = 'size' | 'content' | 'ready' | 'not-ready' | 'fenced';

const DRAIN_MS = 10_000;

/**
 * The volume: initiators' operations on one side, the members on the other.
 *
 *   submit -> (held while not open) -> range lock -> begin -> (parked while not open)
 *          -> stream or one member -> done
 */
export class Replicator implements Volume, OperationHost, AssemblyHost {
  readonly volumeId: string;
  readonly locks = new RangeLocks();
  readonly stream: Stream;
  readonly assembly: Assembly;
  readonly repairs: Repairs;
  readonly #environment: Environment;
  readonly #resync: ResyncContext;
  readonly #statistics: VolumeStatistics;
  readonly #readers: Readers;
  readonly #holdMs: number;
  readonly #listeners: ((change: Change) => void)[] = [];
  #conditionChanged: () => void = () => undefined;
  /** I/O flows. */
  #open = false;
  /** Why I/O is answered with an error at once; null while it is held instead. */
  #failing: VolumeError | null;
  /** The last in-sync member takes no more writes. */
  #full: VolumeError | null = null;
  #cancelHold: (() => void) | null = null;
  /** Waiting for the volume to open: without a lock, and with one. */
  #held: Operation[] = [];
  #parked: Operation[] = [];
  #calls: ((error: VolumeError | null) => void)[] = [];
  readonly #flushes: Flushes;
  readonly #atomic = new AtomicTurns();
  readonly #lease: ReadLease;
  readonly #documents: DocumentKeeper;
  #operationsInFlight = 0;
  #bytesInFlight = 0;
  #drained: (() => void) | null = null;

  constructor(options: ReplicatorOptions) {
    const { environment, statistics, volumeId, sizeBytes } = options;
    assert(sizeBytes > 0 && sizeBytes % BLOCK_BYTES === 0, 'a volume is a multiple of 4 KiB');
    this.volumeId = volumeId;
    this.#environment = environment;
    this.#statistics = statistics;
    this.#holdMs = options.holdMs ?? DEFAULT_HOLD_MS;
    this.#failing = notReady('it is starting');
    this.stream = new Stream({
      volumeId,
      pool: options.pool,
      defer: (callback) => environment.defer(callback),
      complete: (operation) => operation.finish(null),
    });
    const resync: ResyncContext = {
      environment,
      stream: this.stream,
      locks: this.locks,
      sizeBytes,
      statistics,
      pace: new Pace(environment, statistics),
    };
    this.#documents = new DocumentKeeper({
      epoch: () => this.assembly.epoch,
      quorum: () => this.assembly.electorate.quorum(),
    });
    this.#resync = resync;
    this.assembly = new Assembly(
      { volumeId, addresses: options.replicas, graceMs: options.graceMs ?? DEFAULT_GRACE_MS },
      resync,
      this,
      this.#documents,
    );
    const readers = (): readonly Member[] => this.assembly.readers;
    this.repairs = new Repairs(resync, readers);
    this.#lease = new ReadLease(() => environment.now(), this.assembly.electorate);
    this.#readers = new Readers({
      context: resync,
      members: readers,
      repairs: this.repairs,
      lease: this.#lease,
    });
    this.#flushes = new Flushes(this.stream, () => this.assembly.required);
  }

  get sizeBytes(): number {
    return this.#resync.sizeBytes;
  }

  get ready(): boolean {
    return this.#failing === null;
  }

  get degraded(): boolean {
    return this.assembly.members.some(
      (member) => !member.inSync && member.identity?.role !== 'witness',
    );
  }

  get isOpen(): boolean {
    return this.#open;
  }

  get isFull(): boolean {
    return this.#full !== null;
  }

  /** How long I/O is held while the volume is not open. */
  get holdMs(): number {
    return this.#holdMs;
  }

  get operationsInFlight(): number {
    return this.#operationsInFlight;
  }

  get bytesInFlight(): number {
    return this.#bytesInFlight;
  }

  get atomicBytes(): number {
    return atomicBytesOf(this.assembly.members);
  }

  /** Begins to connect; `ready` and a change tell when the volume can be used. */
  start(): void {
    this.assembly.start();
  }

  now(): number {
    return this.#environment.now();
  }

  submit(io: VolumeIo): void {
    const operation = operationOf(io, this, this.#statistics);
    this.#operationsInFlight++;
    this.#bytesInFlight += operation.payloadBytes;
    if (!this.#open) {
      this.#hold(operation, this.#held);
      return;
    }
    this.#start(operation);
  }

  acquire(
    range: { offsetBytes: number; lengthBytes: number; mode: 'shared' | 'exclusive' },
    granted: (lock: RangeLock) => void,
  ): void {
    const lock = new CallerLock(range, granted);
    if (this.locks.acquire(lock)) granted(lock);
  }

  release(lock: RangeLock): void {
    assert(lock instanceof LockEntry, 'a lock of this volume');
    this.locks.release(lock);
  }

  allocation(
    offsetBytes: number,
    lengthBytes: number,
    done: (error: VolumeError | null, bitmap: Uint8Array | null) => void,
  ): void {
    this.#readers
      .allocation({ offsetBytes, lengthBytes }, () => this.#whenOpen())
      .then(
        (bitmap) => done(null, bitmap),
        (error: unknown) => {
          if (error instanceof VolumeError) done(error, null);
          else done(notReady(error instanceof Error ? error.message : String(error)), null);
        },
      );
  }

  async readDocument(name: string): Promise<Uint8Array | null> {
    await this.#whenOpen();
    return readyOrNot(this.#documents.read(name));
  }

  async writeDocument(name: string, content: Uint8Array): Promise<void> {
    await this.#whenOpen();
    await readyOrNot(this.#documents.write(name, content));
  }

  onChange(listener: (change: Change) => void): void {
    this.#listeners.push(listener);
  }

  /** Told when what can be said of the volume and its members may have changed. */
  onCondition(listener: () => void): void {
    this.#conditionChanged = listener;
  }

  /**
   * Lets what is under way end, flushes all members and closes the connections. Nothing may be
   * submitted any more.
   */
  async close(): Promise<void> {
    if (this.#operationsInFlight > 0 && this.#open) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
        this.#environment.after(DRAIN_MS, resolve);
      });
    }
    await Promise.allSettled(this.assembly.required.map((member) => member.flushed()));
    this.#open = false;
    this.#fail(notReady('the target stops'));
    await this.assembly.stop(true);
  }

  begin(operation: Operation): void {
    if (operation.finished) return;
    if (!this.#open) {
      this.#hold(operation, this.#parked);
      return;
    }
    switch (operation.kind) {
      case 'read':
        this.#readers.read(operation);
        return;
      case 'write':
        if (this.#full === null) this.stream.send(operation);
        else operation.finish(this.#full);
        return;
      case 'write-atomic':
        if (this.#full !== null) operation.finish(this.#full);
        else if (this.#atomic.take(operation)) this.stream.send(operation);
        return;
      case 'flush':
        this.#flushes.begin(operation);
    }
  }

  ended(operation: Operation): void {
    this.#operationsInFlight--;
    this.#bytesInFlight -= operation.payloadBytes;
    if (operation.lockState === 'held') this.locks.release(operation);
    if (this.#operationsInFlight === 0 && this.#drained !== null) this.#drained();
  }

  atomicApplied(operation: WriteOperation): void {
    const next = this.#atomic.applied(operation);
    if (next !== null) this.begin(next);
  }

  readAnswered(operation: ReadOperation, data: Buffer, loan: Loan | null): void {
    operation.member?.readEnded();
    operation.member = null;
    if (!this.#open || operation.finished) {
      loan?.release();
      if (!operation.finished) this.#hold(operation, this.#parked);
      return;
    }
    if (this.#lease.covers(operation.startedMs)) {
      this.#answer(operation, data, loan);
      return;
    }
    this.#lease.whenCovered(operation.startedMs, (covered) => {
      if (covered) {
        this.#answer(operation, data, loan);
        return;
      }
      loan?.release();
      this.#hold(operation, this.#parked);
    });
  }

  readFailed(operation: ReadOperation, failure: RequestFailure): void {
    this.#readers.failed(operation, failure);
    this.begin(operation);
  }

  opened(): void {
    if (this.#open) return;
    this.#open = true;
    this.#cancelHold?.();
    this.#cancelHold = null;
    const wasReady = this.ready;
    this.#failing = null;
    if (!wasReady) this.#notify('ready');
    for (const operation of this.#parked.splice(0)) this.begin(operation);
    for (const operation of this.#held.splice(0)) {
      if (this.#isOpen()) this.#start(operation);
      else this.#hold(operation, this.#held);
    }
    for (const call of this.#calls.splice(0)) call(null);
    this.#conditionChanged();
  }

  suspended(reason: string): void {
    if (!this.#open) return;
    this.#open = false;
    this.#environment.log('warn', { reason, holdMs: this.#holdMs }, 'I/O is held');
    this.#lease.suspend();
    this.#cancelHold = this.#environment.after(this.#holdMs, () => {
      this.#cancelHold = null;
      this.#fail(notReady(reason));
      this.#notify('not-ready');
    });
    this.#conditionChanged();
  }

  grown(): void {
    this.#notify('size');
  }

  heard(): void {
    this.#lease.renew();
  }

  requiredChanged(): void {
    this.#lease.renew();
    this.#flushes.requiredChanged();
    this.#conditionChanged();
  }

  epochEnded(left: readonly WriteOperation[]): void {
    this.#full = null;
    for (const operation of left) {
      if (operation.finished) continue;
      // What went to a store in this process only was not kept: its end is reported, not repeated.
      if (operation.io.kind !== 'unmap' && operation.slab === null) {
        operation.finish(notReady('the replica failed'));
      } else {
        this.#hold(operation, this.#parked);
      }
    }
    for (const flush of this.#flushes.takeAll()) this.#hold(flush, this.#parked);
    for (const operation of this.#atomic.reset()) this.#hold(operation, this.#parked);
  }

  reverted(): void {
    this.#notify('content');
  }

  full(message: string): void {
    const error = new VolumeError('NO_SPACE', message);
    this.#full = error;
    this.stream.forEachPending((operation) => operation.finish(error));
    this.#conditionChanged();
  }

  fenced(by: number): void {
    const error = new VolumeError('FENCED', `another target serves the volume (epoch ${by})`);
    this.#open = false;
    this.#cancelHold?.();
    this.#fail(error);
    this.#notify('fenced');
  }

  #answer(operation: ReadOperation, data: Buffer, loan: Loan | null): void {
    if (operation.finished) {
      loan?.release();
      return;
    }
    operation.io.chunks = [data];
    operation.io.loan = loan;
    operation.finish(null);
  }

  #start(operation: Operation): void {
    const { lock } = operation.io;
    if (operation.kind === 'flush') {
      // It has no range: one that holds a lock may flush under it.
      this.begin(operation);
    } else if (lock !== null) {
      assert(covers(lock, operation), 'an operation stays inside its lock');
      this.begin(operation);
    } else if (this.locks.acquire(operation)) {
      this.begin(operation);
    } else if (operation instanceof WriteOperation) {
      operation.keepPayload();
    }
  }

  #hold(operation: Operation, queue: Operation[]): void {
    if (this.#failing !== null) {
      operation.finish(this.#failing);
      return;
    }
    if (operation instanceof WriteOperation) operation.keepPayload();
    queue.push(operation);
  }

  /**
   * Everything that waits is answered with this error, and what comes is, until the volume opens.
   */
  #fail(error: VolumeError): void {
    this.#failing = error;
    this.#lease.suspend();
    for (const operation of this.#parked.splice(0)) operation.finish(error);
    for (const operation of this.#held.splice(0)) operation.finish(error);
    this.stream.forEachPending((operation) => operation.finish(error));
    for (const operation of this.#atomic.takeWaiting()) operation.finish(error);
    for (const flush of this.#flushes.takeAll()) flush.finish(error);
    for (const call of this.#calls.splice(0)) call(error);
    this.#conditionChanged();
  }

  #isOpen(): boolean {
    return this.#open;
  }

  #whenOpen(): Promise<void> {
    if (this.#open) return Promise.resolve();
    if (this.#failing !== null) return Promise.reject(this.#failing);
    return new Promise((resolve, reject) => {
      this.#calls.push((error) => {
        if (error === null) resolve();
        else reject(error);
      });
    });
  }

  #notify(change: Change): void {
    for (const listener of this.#listeners) listener(change);
  }
}
