import type { Frame, Seq } from '../protocol/index.ts';
import {
  BLOCK_BYTES,
  MAX_ATOMIC_BYTES,
  ProtocolError,
  SECTOR_BYTES,
  seq,
  verifyArrival,
} from '../protocol/index.ts';
import type { Store, StoreEvents } from '../store/types.ts';
import type { StoreError } from '../store/errors.ts';
import { isCurable } from '../store/errors.ts';

/** The session whose writes are taken: one at a time. */
export interface StreamOwner {
  /** All operations up to this one are applied. */
  acknowledge(seq: Seq): void;
  /** The store applies nothing more. */
  streamFailed(error: StoreError): void;
}

/**
 * The ordered stream of modifying operations into the store. There is one, whoever owns it:
 * operations of a session that has ended may still be queued in the store when the next one begins.
 */
export class Stream implements StoreEvents {
  readonly #store: Store;
  readonly #onFailure: (error: StoreError) => void;
  #owner: StreamOwner | null = null;
  /** The last operation that was given to the store. */
  #lastSeq = seq(0);
  /** The last one that is known to be applied. */
  #appliedSeq = seq(0);
  /** Given to the store since it was last seen empty. An upper bound of what it keeps in memory. */
  #queuedBytes = 0;
  #failure: StoreError | null = null;
  readonly #waiting: (() => void)[] = [];

  constructor(store: Store, onFailure: (error: StoreError) => void) {
    this.#store = store;
    this.#onFailure = onFailure;
    store.setEvents(this);
  }

  get failure(): StoreError | null {
    return this.#failure;
  }

  get appliedSeq(): Seq {
    return this.#appliedSeq;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /**
   * After the promise: with it the store has dropped what older sessions left waiting. A session
   * that comes back on a new connection goes on counting where the store stopped. Returns why
   * nothing will be applied, or null.
   */
  begin(owner: StreamOwner): StoreError | null {
    this.#owner = owner;
    this.#lastSeq = this.#store.appliedSeq;
    this.#appliedSeq = this.#lastSeq;
    this.#queuedBytes = 0;
    if (this.#failure !== null && isCurable(this.#failure)) this.#failure = null;
    this.#wake();
    return this.#failure;
  }

  end(owner: StreamOwner): void {
    if (this.#owner === owner) this.#owner = null;
  }

  /** Hot path. The frame is of the session that owns the stream. Throws ProtocolError. */
  apply(frame: Frame): void {
    // The target has been told; what it had under way is neither applied nor acknowledged.
    if (this.#failure !== null) return;
    const { kind, offsetBytes, lengthBytes } = frame;
    checkRange(kind, offsetBytes, lengthBytes, this.#store.identity.sizeBytes);
    if (frame.seq <= this.#lastSeq) {
      throw new ProtocolError(
        'UNEXPECTED_SEQ',
        `${kind} ${frame.seq} came after ${this.#lastSeq} in one session`,
      );
    }
    switch (kind) {
      case 'write-atomic':
        checkAtomic(offsetBytes, lengthBytes);
        this.#write(kind, frame);
        return;
      case 'write':
        this.#write(kind, frame);
        return;
      case 'unmap':
      case 'stamp': {
        const version = { epoch: frame.epoch, seq: frame.seq };
        this.#lastSeq = frame.seq;
        this.#store.apply({ kind, version, offsetBytes, lengthBytes });
        return;
      }
      default:
        throw new ProtocolError('UNEXPECTED_KIND', `${kind} modifies nothing`);
    }
  }

  #write(kind: 'write' | 'write-atomic', frame: Frame): void {
    const { offsetBytes, lengthBytes, chunks, table: checksums } = frame;
    const bad = verifyArrival(offsetBytes, chunks, checksums);
    if (bad >= 0) {
      throw new ProtocolError(
        'PAYLOAD_CHECKSUM',
        `${kind} ${frame.seq} arrived damaged at byte ${offsetBytes + bad} of the volume`,
      );
    }
    const version = { epoch: frame.epoch, seq: frame.seq };
    this.#lastSeq = frame.seq;
    this.#queuedBytes += lengthBytes;
    this.#store.apply({ kind, version, offsetBytes, lengthBytes, chunks, checksums });
  }

  /** After each batch of apply(): acknowledges what was applied at once. */
  settle(): void {
    if (this.#appliedSeq !== this.#lastSeq) this.#store.settle();
  }

  /**
   * Calls when everything given so far is applied, or never will be; at once where that is so
   * already.
   */
  whenIdle(callback: () => void): void {
    this.settle();
    if (this.#failure !== null || this.#appliedSeq === this.#lastSeq) callback();
    else this.#waiting.push(callback);
  }

  applied(applied: Seq): void {
    this.#appliedSeq = applied;
    if (applied === this.#lastSeq) this.#queuedBytes = 0;
    this.#owner?.acknowledge(applied);
    if (applied === this.#lastSeq) this.#wake();
  }

  failed(error: StoreError): void {
    if (this.#failure !== null && (isCurable(error) || !isCurable(this.#failure))) return;
    this.#failure = error;
    this.#queuedBytes = 0;
    this.#owner?.streamFailed(error);
    this.#wake();
    this.#onFailure(error);
  }

  #wake(): void {
    for (const callback of this.#waiting.splice(0)) callback();
  }
}

/** A peer's mistake, so never an assert in the store. */
export const rangeProblem = (
  offsetBytes: number,
  lengthBytes: number,
  sizeBytes: number,
): string | null => {
  if (offsetBytes % SECTOR_BYTES !== 0 || lengthBytes % SECTOR_BYTES !== 0) {
    return `${lengthBytes} bytes at ${offsetBytes} are no whole sectors of ${SECTOR_BYTES} bytes`;
  }
  if (lengthBytes === 0) return 'the range is empty';
  if (offsetBytes + lengthBytes > sizeBytes) {
    return `${lengthBytes} bytes at ${offsetBytes} are beyond the volume's end at ${sizeBytes}`;
  }
  return null;
};

const checkRange = (
  kind: string,
  offsetBytes: number,
  lengthBytes: number,
  sizeBytes: number,
): void => {
  const problem = rangeProblem(offsetBytes, lengthBytes, sizeBytes);
  if (problem !== null) throw new ProtocolError('OUT_OF_RANGE', `${kind}: ${problem}`);
};

const checkAtomic = (offsetBytes: number, lengthBytes: number): void => {
  const inBlocks = offsetBytes % BLOCK_BYTES === 0 && lengthBytes % BLOCK_BYTES === 0;
  if (inBlocks && lengthBytes <= MAX_ATOMIC_BYTES) return;
  throw new ProtocolError(
    'OUT_OF_RANGE',
    `write-atomic: ${lengthBytes} bytes at ${offsetBytes}; it takes whole blocks of ` +
      `${BLOCK_BYTES} bytes, at most ${MAX_ATOMIC_BYTES} bytes`,
  );
};
