/**
 * Every way in which a store can refuse or fail; each has a test that provokes it. The wire carries
 * the code.
 */
export type StoreErrorCode =
  | 'LOCKED' // another process has the directory
  | 'PERMISSION_DENIED'
  | 'READ_ONLY_FILE_SYSTEM'
  | 'NOT_A_STORE' // no superblock where one is needed
  | 'WRONG_VOLUME' // the directory belongs to another volume
  | 'WRONG_SIZE'
  | 'SUPERBLOCK_DAMAGED' // both slots
  | 'FORMAT_TOO_NEW'
  | 'NO_SPACE'
  | 'IO_ERROR'
  | 'FLUSH_FAILED' // never retried: the replica exits and is resynchronised
  | 'CHECKSUM_MISMATCH' // rot: read it elsewhere
  | 'EPOCH_STALE'
  | 'RECORD_STALE'
  | 'OUT_OF_RANGE'
  | 'TOO_LARGE'
  | 'LAYERS' // the tree of layers does not allow what was asked for
  | 'WITNESS_HAS_NO_DATA'
  | 'CLOSED';

export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;
  /** First damaged byte of the volume, with CHECKSUM_MISMATCH and IO_ERROR where known. */
  readonly offsetBytes: number | null;

  constructor(
    code: StoreErrorCode,
    message: string,
    options: { cause?: unknown; offsetBytes?: number } = {},
  ) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.offsetBytes = options.offsetBytes ?? null;
  }
}

const CURABLE: ReadonlySet<StoreErrorCode> = new Set<StoreErrorCode>([
  'NO_SPACE',
  'CHECKSUM_MISMATCH',
  'OUT_OF_RANGE',
]);

/**
 * Failures of one session: with the next promise the store tries again. After any other it has to
 * be opened anew.
 */
export const isCurable = (error: StoreError): boolean => CURABLE.has(error.code);

/** Failures after which the store still reads what it holds. */
const READS_GO_ON: ReadonlySet<StoreErrorCode> = new Set<StoreErrorCode>([
  'NO_SPACE',
  'READ_ONLY_FILE_SYSTEM',
  'CHECKSUM_MISMATCH',
]);

export const readsGoOn = (error: StoreError): boolean => READS_GO_ON.has(error.code);
