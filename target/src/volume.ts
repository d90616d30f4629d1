/**
 * What the SCSI layer sees of the replicated volume. The replicator implements it; a null store and
 * an in-memory volume implement it for benchmarks and unit tests.
 */
export type VolumeErrorCode =
  | 'MEDIUM_ERROR' // no in-sync replica has a good copy of the block: 03h/11h/00h with the LBA
  | 'WRITE_MEDIUM_ERROR' // 03h/0Ch/00h
  | 'NO_SPACE' // 07h/27h/07h
  | 'NOT_READY' // below a majority for longer than the hold time: 02h/04h/00h family
  | 'FENCED' // another target owns the volume: the initiator is dropped
  | 'ABORTED'; // by task management; no status is sent

export class VolumeError extends Error {
  override readonly name = 'VolumeError';
  readonly code: VolumeErrorCode;
  readonly offsetBytes: number | null;

  constructor(
    code: VolumeErrorCode,
    message: string,
    options: { cause?: unknown; offsetBytes?: number } = {},
  ) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.offsetBytes = options.offsetBytes ?? null;
  }
}

/**
 * Taken for the byte range of an operation; the holder passes it to the operations that it makes
 * under it.
 */
export interface RangeLock {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly mode: 'shared' | 'exclusive';
}

/**
 * Memory that is lent together with the duty to give it back: whoever has it calls release() once,
 * when nobody looks at it any more. It may be written over from then on. hold() lends it once more.
 */
export interface Loan {
  hold(): void;
  /** Bound: it can be handed on as a callback. */
  readonly release: () => void;
}

/**
 * One operation on the volume; the SCSI layer makes one object per command and hands it over, so
 * that the hot path needs no closure and no promise. Offsets and lengths are multiples of 512 and
 * inside the volume (asserted).
 */
export interface VolumeIo {
  /** write-atomic: a write that is there wholly or not at all, whatever stops. See atomicBytes. */
  readonly kind: 'read' | 'write' | 'write-atomic' | 'unmap' | 'flush';
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /**
   * write: the payload in order, together lengthBytes long (usually one slice). Borrowed: valid
   * until submit() returns, the volume copies what it keeps. read: filled by the volume before
   * done(null).
   */
  chunks: readonly Uint8Array[];
  /**
   * read: the memory behind `chunks`, set with them; from done(null) on it is the submitter's to
   * release. Null where the chunks belong to the submitter, or never change.
   */
  loan: Loan | null;
  /**
   * Held by the caller over the range (COMPARE AND WRITE and the like); null: the volume takes and
   * releases one itself.
   */
  readonly lock: RangeLock | null;
  /**
   * Called exactly once for each submit(), possibly before it returns. The volume has forgotten the
   * object by then: a command of several steps submits the same one again from here.
   */
  done(error: VolumeError | null): void;
}

export interface Volume {
  readonly volumeId: string;
  readonly sizeBytes: number;
  /**
   * False while submit() answers with an error at once, as when a majority has been missing for
   * longer than I/O is held.
   */
  readonly ready: boolean;
  /** Of reads and writes that were submitted and are not done. Bytes. */
  readonly bytesInFlight: number;
  /** The largest atomic write, in whole blocks of 4096; 0 where there are none. */
  readonly atomicBytes: number;

  submit(io: VolumeIo): void;
  /**
   * Calls back when the range is held. I/O that overlaps an exclusive lock waits; writes and unmaps
   * wait for shared ones. Order is first come, first served for overlapping ranges.
   */
  acquire(
    range: { offsetBytes: number; lengthBytes: number; mode: 'shared' | 'exclusive' },
    granted: (lock: RangeLock) => void,
  ): void;
  release(lock: RangeLock): void;

  /**
   * One bit per 4 KiB block, LSB first: allocated. `offsetBytes` is a multiple of 4096; the length
   * is rounded up.
   */
  allocation(
    offsetBytes: number,
    lengthBytes: number,
    done: (error: VolumeError | null, bitmap: Uint8Array | null) => void,
  ): void;

  /** Small blobs kept durable by all replicas: `reservations` (APTPL), settings. */
  readDocument(name: string): Promise<Uint8Array | null>;
  writeDocument(name: string, content: Uint8Array): Promise<void>;

  /**
   * Called when the size changed, all content was replaced (by a snapshot's), readiness changed or
   * the volume was fenced.
   */
  onChange(listener: (change: 'size' | 'content' | 'ready' | 'not-ready' | 'fenced') => void): void;
}
