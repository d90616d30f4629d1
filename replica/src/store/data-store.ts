import {
  EXTENT_BYTES,
  MAX_ATOMIC_BYTES,
  epoch as toEpoch,
  seq as toSeq,
} from '../protocol/types.ts';
import { NOTHING_BAD } from '../protocol/scrub-answer.ts';
import type {
  Epoch,
  LayersChange,
  MembershipRecord,
  Seq,
  Session,
  Version,
} from '../protocol/types.ts';
import { Bounds } from './bounds.ts';
import type { DataStoreParts, Progress } from './data-store-parts.ts';
import { isCurable, StoreError } from './errors.ts';
import { failureOf } from './failure.ts';
import { checkGrowth } from './growth.ts';
import type { Hold } from './layer-changes.ts';
import { Layering } from './layering.ts';
import { OperationQueue } from './operation-queue.ts';
import type { Reader } from './reader.ts';
import { VolumeMetadata } from './volume-metadata.ts';
import type { Writer } from './writer.ts';
import type {
  LayerFill,
  LayerRead,
  LayerUsage,
  ReadDone,
  ScrubDone,
  Store,
  StoreCounters,
  StoreEvents,
  StoreIdentity,
  StoreOperation,
  StoreState,
} from './types.ts';

const NO_EVENTS: StoreEvents = { applied: () => undefined, failed: () => undefined };

/**
 * A copy with data. Operations are applied at once where nothing waits for a mark; else they queue,
 * and everything that has to come after them queues behind.
 */
export class DataStore implements Store {
  readonly #parts: DataStoreParts;
  readonly #writer: Writer;
  readonly #reader: Reader;
  readonly #queue: OperationQueue;
  readonly #progress: Progress;
  readonly #bounds: Bounds;
  readonly #metadata: VolumeMetadata;
  readonly #layering: Layering;
  #events: StoreEvents = NO_EVENTS;
  #failure: StoreError | null = null;
  #dead = false;
  #closed = false;
  #promisedEpoch: Epoch;
  #promisedSession: Session;
  #appliedSeq: Seq = toSeq(0);
  #settledSeq: Seq = toSeq(0);
  #readOps = 0;
  #readBytes = 0;
  #writeOps = 0;
  #writeBytes = 0;
  #unmapOps = 0;
  #flushes = 0;

  constructor(parts: DataStoreParts) {
    this.#parts = parts;
    this.#writer = parts.writer;
    this.#reader = parts.reader;
    this.#progress = parts.progress;
    const { promised } = parts.durable.superblock;
    this.#bounds = new Bounds(() => this.identity.sizeBytes);
    this.#promisedEpoch = promised.epoch;
    this.#promisedSession = promised.session;
    this.#queue = new OperationQueue({
      advance: (operation, from) => this.#advance(operation, from),
      read: (read) => this.#reader.read(read.offsetBytes, read.into, read.checksums, read.done),
      flush: (done) => this.#flushNow(done),
      later: parts.later,
    });
    const { layers, regions, standing } = parts;
    this.#metadata = new VolumeMetadata({ stack: layers.stack, regions, standing });
    this.#layering = new Layering({
      ...parts,
      hold: () => this.#hold(),
      failure: () => this.#failure,
      activity: () => this.#readOps + this.#writeOps + this.#unmapOps,
      die: (error) => this.die(error),
    });
  }

  get identity(): StoreIdentity {
    return this.#parts.durable.superblock.identity;
  }

  state(): StoreState {
    const { record, tree, intact, documents } = this.#parts.durable.superblock;
    return {
      promisedEpoch: this.#promisedEpoch,
      record,
      layers: this.#parts.layers.layers,
      headLayer: tree.head,
      ...this.#parts.start,
      intact,
      documents: Object.keys(documents),
      lastVersion: this.#progress.applied,
      atomic: { maxBytes: MAX_ATOMIC_BYTES, last: this.#parts.redo.last },
    };
  }

  counters(): StoreCounters {
    const { commits, reader, scrubber, regions, layers } = this.#parts;
    return {
      readOps: this.#readOps,
      readBytes: this.#readBytes,
      writeOps: this.#writeOps,
      writeBytes: this.#writeBytes,
      unmapOps: this.#unmapOps,
      flushes: this.#flushes,
      fdatasyncs: commits.count,
      regionMarks: regions.markCount,
      checksumErrors: reader.checksumErrors + this.#writer.checksumErrors,
      allocatedBytes: this.#closed ? 0 : this.#layering.allocatedBytes,
      markedRegions: regions.size,
      metadataCacheBytes: layers.stack.memoryBytes,
      damagedSlots: this.#parts.damagedSlots(),
      damagedPages: this.#parts.damagedPages(),
      scrubbedBytes: scrubber.scrubbedBytes,
      scrubErrors: scrubber.badBlocks,
    };
  }

  setEvents(events: StoreEvents): void {
    this.#events = events;
    this.#settledSeq = this.#appliedSeq;
  }

  get appliedSeq(): Seq {
    return this.#appliedSeq;
  }

  async promise(epoch: Epoch, session: Session): Promise<void> {
    this.#parts.durable.checkPromise(epoch, session);
    const isNew = epoch !== this.#promisedEpoch || session !== this.#promisedSession;
    this.#promisedEpoch = epoch;
    this.#promisedSession = session;
    // What the last session left waiting was never acknowledged, and must not change an extent that
    // the next one compares.
    this.#queue.drop(
      new StoreError('EPOCH_STALE', `Another session began, epoch ${epoch} is promised to it.`),
    );
    this.#parts.standing.promised(epoch);
    if (isNew) {
      this.#appliedSeq = toSeq(0);
      this.#settledSeq = toSeq(0);
    }
    if (!this.#dead && this.#failure !== null && isCurable(this.#failure)) this.#failure = null;
    const { durable } = this.#parts;
    const work = [durable.promise(epoch, session), this.#layering.newSession()];
    // What the last session began of an atomic write is there wholly before the next one looks.
    await Promise.all([...work, this.#atomicSettled()]);
  }

  #atomicSettled(): Promise<void> {
    return new Promise((resolve) => this.#writer.settled(resolve));
  }

  async putRecord(record: MembershipRecord): Promise<void> {
    const { durable, standing } = this.#parts;
    durable.checkRecord(record);
    const names = record.inSync.includes(this.identity.replicaId);
    if (!names) standing.left();
    const joins =
      names && this.#failure === null && standing.joined(record.epoch, this.#appliedSeq);
    const confirmed = joins ? { epoch: record.epoch, seq: this.#appliedSeq } : null;
    await durable.putRecord(record, confirmed);
  }

  getDocument(name: string): Uint8Array | null {
    return this.#parts.durable.getDocument(name);
  }

  putDocument(name: string, content: Uint8Array): Promise<void> {
    return this.#parts.durable.putDocument(name, content);
  }

  async resize(sizeBytes: number): Promise<void> {
    if (this.#closed) throw closed();
    if (!checkGrowth(this.identity.sizeBytes, sizeBytes)) return;
    await this.#layering.changes.exclusive(() => {
      this.#parts.grow(sizeBytes);
      return this.#parts.durable.resize(sizeBytes);
    });
  }

  apply(operation: StoreOperation): void {
    if (this.#failure !== null || operation.version.epoch < this.#promisedEpoch) return;
    if (!this.#bounds.includes(operation.offsetBytes, operation.lengthBytes)) {
      this.fail(this.#bounds.error(operation.offsetBytes, operation.lengthBytes));
      return;
    }
    if (!this.#queue.empty) {
      this.#queue.pushOperation(operation, 0);
      if (!this.#queue.barred) this.#writer.prepare(operation);
      return;
    }
    const reached = this.#advance(operation, 0);
    if (reached >= operation.lengthBytes || this.#isFailed()) return;
    this.#queue.pushOperation(operation, reached);
    if (!this.#writer.blocked) this.#queue.continueLater(this.resume);
  }

  /**
   * How far the operation came; all of it also when it failed, because then nothing waits for it.
   */
  #advance(operation: StoreOperation, from: number): number {
    const { lengthBytes, version } = operation;
    // A queued operation may have been given before a failure.
    if (this.#failure !== null) return lengthBytes;
    let reached: number;
    try {
      reached = this.#writer.advance(operation, from);
    } catch (cause) {
      this.fail(failureOf('applying an operation', cause, operation.offsetBytes));
      return lengthBytes;
    }
    if (reached < lengthBytes) return reached;
    switch (operation.kind) {
      case 'write':
      case 'write-atomic':
        this.#writeOps += 1;
        this.#writeBytes += lengthBytes;
        break;
      case 'unmap':
        this.#unmapOps += 1;
        break;
      case 'stamp':
        break;
    }
    this.#appliedSeq = version.seq;
    // Copied, because the caller may use one object for many operations.
    this.#progress.applied = { epoch: version.epoch, seq: version.seq };
    return reached;
  }

  /** Asked anew: an operation that was just tried may have failed. */
  #isFailed(): boolean {
    return this.#failure !== null;
  }

  /** Marks became durable: goes on with what waits. */
  readonly resume = (): void => {
    if (this.#queue.empty) return;
    this.#queue.run();
    if (!this.#writer.blocked) this.#queue.continueLater(this.resume);
    this.settle();
  };

  settle(): void {
    if (this.#appliedSeq === this.#settledSeq) return;
    this.#settledSeq = this.#appliedSeq;
    this.#events.applied(this.#appliedSeq);
  }

  /** Nothing can be marked or made durable any more: no later session may try again. */
  die(error: StoreError): void {
    this.#dead = true;
    this.fail(error);
  }

  /** Nothing more is applied. What a promise cures hides nothing that it does not. */
  readonly fail = (error: StoreError): void => {
    if (this.#failure !== null && (isCurable(error) || !isCurable(this.#failure))) return;
    this.#failure = error;
    this.#parts.standing.left();
    this.settle(); // The operation that failed is the first that is not acknowledged.
    this.#events.failed(error);
    // Last: whoever hears that a flush failed has heard why, and of which block.
    this.#queue.drop(error);
  };

  read(
    offsetBytes: number,
    into: Uint8Array,
    checksums: Uint8Array,
    done: ReadDone,
    check = true,
  ): void {
    const lengthBytes = into.length;
    if (this.#closed) {
      done(closed());
      return;
    }
    if (!this.#bounds.includes(offsetBytes, lengthBytes)) {
      done(this.#bounds.error(offsetBytes, lengthBytes));
      return;
    }
    this.#readOps += 1;
    this.#readBytes += lengthBytes;
    if (this.#queue.overlaps(offsetBytes, lengthBytes))
      this.#queue.pushRead({ offsetBytes, into, checksums, done });
    else this.#reader.read(offsetBytes, into, checksums, done, check);
  }

  flush(done: ReadDone): void {
    if (this.#closed) {
      done(closed());
      return;
    }
    this.#flushes += 1;
    if (this.#queue.empty) this.#flushNow(done);
    else this.#queue.pushFlush(done);
  }

  #flushNow(done: ReadDone): void {
    // Something given before was not applied, so it cannot be made durable.
    if (this.#failure !== null) done(this.#failure);
    else this.#parts.commits.flush(done);
  }

  allocation(offsetBytes: number, lengthBytes: number): Uint8Array {
    this.#bounds.checkBlocks(offsetBytes, lengthBytes);
    return this.#metadata.allocation(offsetBytes, lengthBytes);
  }

  extentChecksums(extent: number): Uint8Array {
    return this.#metadata.checksums(extent, this.#bounds.blocksOf(extent));
  }

  extentVersions(first: number, count: number): Uint8Array {
    this.#bounds.checkExtents(first, count);
    return this.#metadata.versions(first, count);
  }

  scrub(extent: number, done: ScrubDone): void {
    const { scrubber, scrubSlots } = this.#parts;
    if (this.#closed) done(closed(), NOTHING_BAD);
    else if (extent < 0 || extent >= this.#bounds.extents)
      done(this.#bounds.error(extent * EXTENT_BYTES, EXTENT_BYTES), NOTHING_BAD);
    else if (extent > 0) scrubber.scrub(extent, done);
    else scrubSlots(() => scrubber.scrub(extent, done));
  }

  changeLayers(change: LayersChange): Promise<void> {
    if (this.#closed) return Promise.reject(closed());
    return this.#layering.changes.change(change);
  }

  layerUsage(): readonly LayerUsage[] {
    return this.#closed ? [] : this.#layering.usage();
  }

  readLayer(layer: number, read: LayerRead): void {
    if (this.#closed) read.done(closed());
    else this.#layering.reader.read(layer, read);
  }

  layerAllocation(layer: number, offsetBytes: number, lengthBytes: number): Uint8Array {
    this.#bounds.checkBlocks(offsetBytes, lengthBytes);
    return this.#layering.reader.allocation(layer, offsetBytes, lengthBytes);
  }

  layerChecksums(layer: number, extent: number): Uint8Array {
    return this.#layering.reader.checksums(layer, extent, this.#bounds.blocksOf(extent));
  }

  fillLayer(layer: number, fill: LayerFill, done: ReadDone): void {
    if (this.#closed) done(closed());
    else this.#layering.filler.fill(layer, fill, done);
  }

  /** From now on what is given waits. */
  #hold(): Hold {
    const { promise: reached, resolve } = Promise.withResolvers<undefined>();
    const lift = this.#queue.pushBarrier(() => {
      this.settle();
      resolve(undefined);
    });
    const release = (): void => {
      lift();
      this.resume();
    };
    return { reached, release };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    await this.#layering.close();
    await new Promise<void>((resolve) => this.#queue.whenEmpty(resolve));
    await this.#atomicSettled();
    this.settle();
    this.#closed = true;
    const { reader, scrubber, commits, regions, durable } = this.#parts;
    await new Promise<void>((resolve) => reader.drained(resolve));
    await new Promise<void>((resolve) => scrubber.stop(resolve));
    // After a failure of one operation the rest is put in order all the same: its pages say what is
    // unknown.
    await new Promise((resolve) => commits.flush(resolve));
    const inOrder = !this.#isDead() && (await regions.cleanAll());
    const failure = this.#failure;
    this.#failure ??= closed();
    try {
      if (inOrder) await durable.closed(this.#progress.applied);
    } finally {
      await this.#parts.release();
    }
    if (this.#isDead() && failure !== null) throw failure;
  }

  /** Asked anew: the last flush or the last cleaning may have failed. */
  #isDead(): boolean {
    return this.#dead;
  }
}

/** Nothing was ever applied. */
export const NO_VERSION: Version = { epoch: toEpoch(0), seq: toSeq(0) };

function closed(): StoreError {
  return new StoreError('CLOSED', 'The store is closed; open it again.');
}
