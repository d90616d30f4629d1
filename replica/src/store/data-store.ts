import { BLOCK_BYTES, EXTENT_BYTES, epoch as toEpoch, seq as toSeq } from '../protocol/types.ts';
import type { Epoch, MembershipRecord, Seq, Session, Version } from '../protocol/types.ts';
import type { DiskFile } from './disk.ts';
import type { DurableState } from './durable-state.ts';
import { isCurable, StoreError } from './errors.ts';
import { BLOCKS_PER_EXTENT } from './extent-page.ts';
import type { ExtentPages } from './extent-pages.ts';
import { failureOf } from './failure.ts';
import { checkGrowth } from './growth.ts';
import type { GroupCommit } from './group-commit.ts';
import { OperationQueue } from './operation-queue.ts';
import type { Reader } from './reader.ts';
import type { Regions } from './regions.ts';
import type { Scrubber } from './scrub.ts';
import type { Standing } from './standing.ts';
import { isInRange, outOfRange } from './volume-range.ts';
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

/** The parts, put together by open.ts. */
export interface DataStoreParts {
  readonly durable: DurableState;
  /** Calls back in a later turn of the event loop. */
  readonly later: (callback: () => void) => void;
  readonly standing: Standing;
  readonly pages: ExtentPages;
  readonly regions: Regions;
  readonly writer: Writer;
  readonly reader: Reader;
  readonly scrubber: Scrubber;
  readonly commits: GroupCommit;
  readonly data: DiskFile;
  readonly progress: Progress;
  readonly start: { readonly cleanStart: boolean; readonly sameBoot: boolean };
  readonly damagedSlots: () => number;
  /** Reads the slots of superblock and activity log, and writes again what has rotted. */
  readonly scrubSlots: (done: () => void) => void;
  readonly damagedPages: () => number;
  /** Makes the files of the writable layer long enough for this size, durable. */
  readonly grow: (sizeBytes: number) => void;
  /** Stops the maintenance, closes the files and gives the directory free. */
  readonly release: () => Promise<void>;
}

/** How far the operations came; the activity log writes it down with each of its changes. */
export interface Progress {
  applied: Version;
  flushed: Version;
}

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
    this.#promisedEpoch = promised.epoch;
    this.#promisedSession = promised.session;
    this.#queue = new OperationQueue({
      advance: (operation, from) => this.#advance(operation, from),
      read: (read) => this.#reader.read(read.offsetBytes, read.into, read.checksums, read.done),
      flush: (done) => this.#flushNow(done),
      later: parts.later,
    });
  }

  get identity(): StoreIdentity {
    return this.#parts.durable.superblock.identity;
  }

  state(): StoreState {
    const { record, layers, intact, documents } = this.#parts.durable.superblock;
    return {
      promisedEpoch: this.#promisedEpoch,
      record,
      layers,
      headLayer: layers.at(-1)?.id ?? 0,
      ...this.#parts.start,
      intact,
      documents: Object.keys(documents),
      lastVersion: this.#progress.applied,
    };
  }

  counters(): StoreCounters {
    const { commits, reader, scrubber, regions, pages, data } = this.#parts;
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
      allocatedBytes: this.#closed ? 0 : data.allocatedBytes(),
      markedRegions: regions.size,
      metadataCacheBytes: pages.memoryBytes,
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
    await this.#parts.durable.promise(epoch, session);
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
    this.#parts.grow(sizeBytes);
    await this.#parts.durable.resize(sizeBytes);
  }

  apply(operation: StoreOperation): void {
    if (this.#failure !== null || operation.version.epoch < this.#promisedEpoch) return;
    if (!this.#inRange(operation.offsetBytes, operation.lengthBytes)) {
      this.fail(this.#outOfRange(operation.offsetBytes, operation.lengthBytes));
      return;
    }
    if (!this.#queue.empty) {
      this.#queue.pushOperation(operation, 0);
      this.#writer.prepare(operation);
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

  /** The store applies nothing more in this session. */
  readonly fail = (error: StoreError): void => {
    if (this.#failure !== null) return;
    this.#failure = error;
    this.#parts.standing.left();
    this.#queue.drop(error);
    this.#events.failed(error);
  };

  read(offsetBytes: number, into: Uint8Array, checksums: Uint8Array, done: ReadDone): void {
    const lengthBytes = into.length;
    if (this.#closed) {
      done(closed());
      return;
    }
    if (!this.#inRange(offsetBytes, lengthBytes)) {
      done(this.#outOfRange(offsetBytes, lengthBytes));
      return;
    }
    this.#readOps += 1;
    this.#readBytes += lengthBytes;
    if (this.#queue.overlaps(offsetBytes, lengthBytes))
      this.#queue.pushRead({ offsetBytes, into, checksums, done });
    else this.#reader.read(offsetBytes, into, checksums, done);
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
    const blocks = Math.ceil(lengthBytes / BLOCK_BYTES);
    if (offsetBytes % BLOCK_BYTES !== 0 || !this.#inRange(offsetBytes, lengthBytes))
      throw this.#outOfRange(offsetBytes, lengthBytes);
    const bitmap = new Uint8Array(Math.ceil(blocks / 8));
    const { pages } = this.#parts;
    const firstBlock = offsetBytes / BLOCK_BYTES;
    const endExtent = Math.ceil((firstBlock + blocks) / BLOCKS_PER_EXTENT);
    let extent = Math.floor(firstBlock / BLOCKS_PER_EXTENT);
    for (;;) {
      extent = pages.nextPresent(extent, endExtent);
      if (extent >= endExtent) return bitmap;
      const page = pages.view(extent);
      const start = extent * BLOCKS_PER_EXTENT - firstBlock;
      for (let block = 0; block < BLOCKS_PER_EXTENT; block += 1) {
        const bit = start + block;
        if (bit >= 0 && bit < blocks && page.isAllocated(block))
          bitmap[bit >>> 3] = (bitmap[bit >>> 3] ?? 0) | (1 << (bit & 7));
      }
      extent += 1;
    }
  }

  extentChecksums(extent: number): Uint8Array {
    const start = extent * EXTENT_BYTES;
    if (start < 0 || start >= this.identity.sizeBytes) throw this.#outOfRange(start, EXTENT_BYTES);
    const bytes = Math.min(EXTENT_BYTES, this.identity.sizeBytes - start);
    return this.#parts.pages.view(extent).copyChecksums(Math.ceil(bytes / BLOCK_BYTES));
  }

  extentVersions(first: number, count: number): Uint8Array {
    const extents = Math.ceil(this.identity.sizeBytes / EXTENT_BYTES);
    if (first < 0 || count < 0 || first + count > extents)
      throw this.#outOfRange(first * EXTENT_BYTES, count * EXTENT_BYTES);
    // Extents that are passed over were never written: version (0, 0).
    const versions = new Uint8Array(16 * count);
    const { pages, regions, standing } = this.#parts;
    const end = first + count;
    for (let extent = pages.nextPresent(first, end); extent < end;) {
      const at = 16 * (extent - first);
      if (regions.isUntrusted(extent)) versions.fill(0xff, at, at + 16);
      else {
        const page = pages.view(extent);
        if (standing.isKnown(page)) page.copyVersion(versions, at);
        else versions.fill(0xff, at, at + 16);
      }
      extent = pages.nextPresent(extent + 1, end);
    }
    return versions;
  }

  scrub(extent: number, done: ScrubDone): void {
    const start = extent * EXTENT_BYTES;
    const { scrubber, scrubSlots } = this.#parts;
    if (this.#closed) done(closed(), new Uint8Array(0));
    else if (start < 0 || start >= this.identity.sizeBytes)
      done(this.#outOfRange(start, EXTENT_BYTES), new Uint8Array(0));
    else if (extent > 0) scrubber.scrub(extent, done);
    else scrubSlots(() => scrubber.scrub(extent, done));
  }

  changeLayers(): Promise<void> {
    return Promise.reject(noLayers());
  }

  layerUsage(): readonly LayerUsage[] {
    return [];
  }

  readLayer(_layer: number, { done }: LayerRead): void {
    done(noLayers());
  }

  layerAllocation(): Uint8Array {
    throw noLayers();
  }

  layerChecksums(): Uint8Array {
    throw noLayers();
  }

  fillLayer(_layer: number, _fill: LayerFill, done: ReadDone): void {
    done(noLayers());
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    await new Promise<void>((resolve) => this.#queue.whenEmpty(resolve));
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

  #inRange(offsetBytes: number, lengthBytes: number): boolean {
    return isInRange(offsetBytes, lengthBytes, this.identity.sizeBytes);
  }

  #outOfRange(offsetBytes: number, lengthBytes: number): StoreError {
    return outOfRange(offsetBytes, lengthBytes, this.identity.sizeBytes);
  }
}

/** Nothing was ever applied. */
export const NO_VERSION: Version = { epoch: toEpoch(0), seq: toSeq(0) };

function closed(): StoreError {
  return new StoreError('CLOSED', 'The store is closed; open it again.');
}

function noLayers(): StoreError {
  return new StoreError('LAYERS', 'This copy has one layer, and this release keeps one.');
}
