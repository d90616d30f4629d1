import type {
  AtomicWrites,
  Epoch,
  Layer,
  LayersChange,
  MembershipRecord,
  ReplicaRole,
  Seq,
  Session,
  Version,
} from '../protocol/types.ts';
import type { ScrubAnswer } from '../protocol/scrub-answer.ts';
import type { StoreError } from './errors.ts';

/** What a replica is, from its superblock. */
export interface StoreIdentity {
  readonly volumeId: string;
  readonly replicaId: string;
  readonly role: ReplicaRole;
  readonly sizeBytes: number;
}

/** Durable facts besides the data. */
export interface StoreState {
  readonly promisedEpoch: Epoch;
  readonly record: MembershipRecord | null;
  /** Those that wait to be merged are among them: frozen and without a name. */
  readonly layers: readonly Layer[];
  /** The layer that is written; 0 for a witness. */
  readonly headLayer: number;
  /** Whether the last stop was orderly: nothing needs to be compared. */
  readonly cleanStart: boolean;
  /**
   * The machine did not restart since the last stop: what was applied is all there, flushed or not.
   */
  readonly sameBoot: boolean;
  /**
   * Every acknowledged write of this copy is there: no loss of power took any since a record last
   * named it. Opening it again or closing it in order does not bring back what was lost; only such
   * a record, which follows a comparison, does.
   */
  readonly intact: boolean;
  /** Names of the documents that are kept. */
  readonly documents: readonly string[];
  /** Highest version applied that is known; after an unclean stop, a lower bound. */
  readonly lastVersion: Version;
  /** Null for a witness. */
  readonly atomic: AtomicWrites | null;
}

/**
 * A modifying operation. Operations are applied strictly in the order in which they are given.
 * `chunks` together are exactly `lengthBytes` long. They are borrowed: valid until apply() returns,
 * the store copies them where it queues.
 */
export type StoreOperation = StoreWrite | StoreRangeOperation;

export interface StoreWrite {
  /**
   * write-atomic: whole blocks, at most MAX_ATOMIC_BYTES. Whatever stops in the middle, the copy
   * holds all of it or nothing when it is opened again. On stable storage when it is applied.
   */
  readonly kind: 'write' | 'write-atomic';
  readonly version: Version;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly chunks: readonly Uint8Array[];
  /**
   * crc32 (little endian u32 each) of the segments that result from cutting [offset, offset +
   * length) at multiples of BLOCK_BYTES, in order; already verified against `chunks`. A segment
   * that is a whole block gives the block's checksum as it is; a partial one is merged with what
   * the block holds.
   */
  readonly checksums: Uint8Array;
}

export interface StoreRangeOperation {
  /**
   * unmap: reads zero afterwards; whole blocks are deallocated by punching a hole. stamp: gives the
   * extents in the range this version without changing data, whatever their version was: the end of
   * a reconciliation.
   */
  readonly kind: 'unmap' | 'stamp';
  readonly version: Version;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

export interface StoreEvents {
  /**
   * All operations up to and including this sequence number are applied (in the page cache). Once
   * per batch.
   */
  applied(seq: Seq): void;
  /** The store applies nothing more; reads still work unless the code says otherwise. */
  failed(error: StoreError): void;
}

/**
 * `checksums` as in StoreOperation: of the segments cut at block boundaries, to be sent along and
 * checked by the reader.
 */
export type ReadDone = (error: StoreError | null) => void;

export type ScrubDone = (error: StoreError | null, found: ScrubAnswer) => void;

export interface LayerRead {
  readonly offsetBytes: number;
  readonly into: Uint8Array;
  readonly checksums: Uint8Array;
  readonly done: ReadDone;
}

/**
 * What a layer shall hold in a range: these bytes; zeroes that hide what older layers hold; or
 * nothing, so that the older layers show. An extent of a complete layer whose page is damaged gets
 * all that it holds between `reset` and `seal`; unless it was sealed it stays unreadable.
 */
export type LayerFill = LayerContent | BareFill<'reset'> | BareFill<'seal'>;

export type LayerContent =
  | {
      readonly kind: 'write';
      readonly offsetBytes: number;
      readonly lengthBytes: number;
      /** As in StoreOperation: borrowed, and verified already. */
      readonly chunks: readonly Uint8Array[];
      readonly checksums: Uint8Array;
    }
  | BareFill<'zero'>
  | BareFill<'clear'>;

interface BareFill<Kind> {
  readonly kind: Kind;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

export interface LayerUsage {
  readonly id: number;
  /** Of the volume when it was frozen, at least: a copy of it has to be as large. */
  readonly sizeBytes: number;
  /** What the file system has given to the layer's data. */
  readonly allocatedBytes: number;
  /**
   * What deleting the layer would give back; nothing while a clone shares it, null while it is not
   * known yet.
   */
  readonly freedBytes: number | null;
}

export interface StoreCounters {
  readonly readOps: number;
  readonly readBytes: number;
  readonly writeOps: number;
  readonly writeBytes: number;
  readonly unmapOps: number;
  readonly flushes: number;
  readonly fdatasyncs: number;
  readonly regionMarks: number;
  readonly checksumErrors: number;
  readonly allocatedBytes: number;
  readonly markedRegions: number;
  readonly metadataCacheBytes: number;
  /**
   * Slots of the superblock or the activity log that did not pass their checksum when the store was
   * opened or scrubbed.
   */
  readonly damagedSlots: number;
  /**
   * Extent pages that did not pass their checksum: their extents are unknown and refuse reads until
   * stamped.
   */
  readonly damagedPages: number;
  /** Read and verified by scrubs. */
  readonly scrubbedBytes: number;
  /** What scrubs found: blocks that cannot be believed, and stored pages that had rotted. */
  readonly scrubErrors: number;
}

/**
 * One copy of one volume. Owned by one event loop; every method is called from it.
 *
 * Two replicas that tell the same known version of an extent hold the same bytes in it;
 * resynchronisation skips such extents. The store keeps that promise by three rules, of which the
 * target has to know the last two:
 * - A write to an extent of unknown version leaves it unknown, because the rest of the extent is
 *   still unverified.
 * - A stamp makes it known. The target stamps an extent only when it is equal on all members that
 *   take the stamp.
 * - After promise() a store cannot know whether it missed writes. Until putRecord() brings a record
 *   of the promised epoch whose inSync names it, the versions that writes give are provisional:
 *   told as unknown, and confirmed by that record. So the target puts such a record at every
 *   activation and at every join, and always after the reconciliation: a record before it would
 *   make half-copied extents look equal after a crash.
 */
export interface Store {
  readonly identity: StoreIdentity;
  state(): StoreState;
  counters(): StoreCounters;

  /** Where `applied` and `failed` go: the session of the moment. */
  setEvents(events: StoreEvents): void;

  /**
   * Durable when resolved. Rejects with EPOCH_STALE when a higher one was promised, or the same to
   * another session.
   */
  promise(epoch: Epoch, session: Session): Promise<void>;
  /** Durable when resolved. Rejects a record older than the one kept. See the third rule above. */
  putRecord(record: MembershipRecord): Promise<void>;
  /**
   * Small named blobs that survive a failover (reservations, settings); together at most 64 KiB.
   * Null when absent.
   */
  getDocument(name: string): Uint8Array | null;
  putDocument(name: string, content: Uint8Array): Promise<void>;
  /**
   * Grows to this size; what is new reads zero. Durable when resolved; after a crash before that it
   * has one size or the other. Rejects with WRONG_SIZE where it would shrink, and TOO_LARGE.
   */
  resize(sizeBytes: number): Promise<void>;

  /** Hot path. Applies at once where nothing waits, else queues; never reorders. */
  apply(operation: StoreOperation): void;
  /**
   * Reports what was applied since the last call through `applied`; the session calls it after each
   * batch of apply().
   */
  settle(): void;
  readonly appliedSeq: Seq;

  /**
   * Reads after all operations given before. Fills `into` (exactly the length) and `checksums` (4
   * bytes for each segment cut at block boundaries), each verified against the stored checksum.
   * Calls back synchronously when the data is in the page cache.
   *
   * `check` false is for a caller that compares the data with `checksums` itself, and asks again
   * with true where they differ: which block is bad, or whether it is, is not said before.
   */
  read(
    offsetBytes: number,
    into: Uint8Array,
    checksums: Uint8Array,
    done: ReadDone,
    check?: boolean,
  ): void;

  /** After all operations given before: fdatasync, shared by all that wait (group commit). */
  flush(done: ReadDone): void;

  /**
   * Allocated or not, one bit per block (LSB first), for whole blocks from `offsetBytes` (a
   * multiple of BLOCK_BYTES).
   */
  allocation(offsetBytes: number, lengthBytes: number): Uint8Array;
  /**
   * Per block of an extent the checksum (4 bytes, little endian); 0 where not allocated. Recomputed
   * where unknown.
   */
  extentChecksums(extent: number): Uint8Array;
  /**
   * Versions of `count` extents from `first`, 16 bytes each: epoch u64, seq u64, little endian; all
   * ones where unknown.
   */
  extentVersions(first: number, count: number): Uint8Array;

  /**
   * Reads every block of the extent and verifies it. With the first extent also the slots of the
   * superblock and the activity log, which it writes again where they have rotted.
   */
  scrub(extent: number, done: ScrubDone): void;

  /**
   * Changes the tree of layers; durable when resolved. Operations that are given meanwhile wait;
   * what was given before is applied, flushed and frozen with the head. Rejects with LAYERS where
   * the tree does not allow it.
   */
  changeLayers(change: LayersChange): Promise<void>;
  /** What each layer takes, and what deleting it would give back, as of not long ago. */
  layerUsage(): readonly LayerUsage[];
  /**
   * What one layer itself holds, its parents apart, for another replica that lacks it. Whole
   * blocks; a block that the layer does not hold reads zero.
   */
  readLayer(layer: number, read: LayerRead): void;
  /** Two bitmaps one after the other: the blocks with data, and those that hide older data. */
  layerAllocation(layer: number, offsetBytes: number, lengthBytes: number): Uint8Array;
  layerChecksums(layer: number, extent: number): Uint8Array;
  /**
   * Whole blocks into a frozen layer that is not complete; durable with `complete`. Into a complete
   * one only what the layer holds there by its checksums, so that a bad block is mended; or, where
   * those are damaged, the whole extent anew, durable with `seal`.
   */
  fillLayer(layer: number, fill: LayerFill, done: ReadDone): void;

  /**
   * Applies what is queued, flushes, writes metadata, clears the marks, sets the clean flag,
   * releases the lock.
   */
  close(): Promise<void>;
}

export interface StoreOptions {
  readonly directory: string;
  /** Told what was survived: a damaged slot, a damaged page, a stop that was not orderly. */
  readonly warn?: (message: string) => void;
  /** Null: the directory must already hold a store. */
  readonly create: {
    readonly volumeId: string;
    readonly replicaId: string;
    readonly role: ReplicaRole;
    readonly sizeBytes: number;
  } | null;
  /**
   * A new copy begins as a clone of another copy's frozen layer; the directory is on the same file
   * system. Without meaning once the copy exists.
   */
  readonly cloneFrom?: { readonly directory: string; readonly layer: number } | null;
}
