import type { Frame, Message, WelcomeState } from '../protocol/index.ts';
import {
  encodeScrubAnswer,
  EXTENT_BYTES,
  ProtocolError,
  verifyArrival,
} from '../protocol/index.ts';
import { MAX_CHECKSUM_EXTENTS } from '../limits.ts';
import { StoreError } from '../store/errors.ts';
import { failureOf } from '../store/failure.ts';
import { systemErrorCode } from '../store/system-error.ts';
import type { LayerFill, Store } from '../store/types.ts';
import type { Lease } from './lease.ts';
import type { Replies } from './replies.ts';
import type { Stream } from './stream.ts';
import { rangeProblem } from './stream.ts';

/**
 * Everything that is asked for but reads: flushes, metadata, documents, the record. Each request is
 * answered exactly once.
 */
export class Requests {
  readonly #store: Store;
  readonly #stream: Stream;
  readonly #lease: Lease;
  readonly #replies: Replies;
  /** An answer that took its time is ready to be sent. */
  readonly #late: () => void;
  readonly #now: () => number;
  readonly #flushed: (seconds: number) => void;
  #waiting = 0;

  constructor(options: {
    readonly store: Store;
    readonly stream: Stream;
    readonly lease: Lease;
    readonly replies: Replies;
    readonly late: () => void;
    readonly now: () => number;
    readonly flushed: (seconds: number) => void;
  }) {
    this.#store = options.store;
    this.#stream = options.stream;
    this.#lease = options.lease;
    this.#replies = options.replies;
    this.#late = options.late;
    this.#now = options.now;
    this.#flushed = options.flushed;
  }

  /** Requests without an answer. */
  get waiting(): number {
    return this.#waiting;
  }

  flush({ requestId }: Frame): void {
    const startMs = this.#now();
    this.#waiting++;
    this.#store.flush((error) => {
      this.#waiting--;
      this.#flushed((this.#now() - startMs) / 1000);
      if (error === null) this.#replies.done(requestId);
      else this.#replies.failedRequest(requestId, error);
      this.#late();
    });
  }

  message(message: Message, requestId: number): void {
    switch (message.kind) {
      case 'record':
        this.#later(requestId, this.#store.putRecord(message.record));
        return;
      case 'resize':
        this.#later(requestId, this.#store.resize(message.sizeBytes));
        return;
      case 'document-put':
        this.#later(requestId, this.#store.putDocument(message.name, message.content));
        return;
      case 'layers':
        this.#later(requestId, this.#store.changeLayers(message));
        return;
      case 'document-get':
        this.#attempt(requestId, () => {
          const content = this.#store.getDocument(message.name);
          this.#replies.message({ kind: 'document', name: message.name, content }, requestId);
        });
        return;
      default:
        throw new ProtocolError('UNEXPECTED_KIND', `a target does not send ${message.kind}`);
    }
  }

  status(requestId: number): void {
    this.#replies.message(
      {
        kind: 'status',
        state: welcomeState(this.#store, this.#lease.remainingMs(this.#now())),
        appliedSeq: this.#stream.appliedSeq,
        counters: { ...this.#store.counters() },
      },
      requestId,
    );
  }

  /** Into a layer that another replica has and this one lacks. */
  fillLayer(frame: Frame): void {
    const { kind, requestId, offsetBytes, lengthBytes, chunks, table, seq: layer } = frame;
    if (kind === 'layer-write') {
      const bad = verifyArrival(offsetBytes, chunks, table);
      if (bad >= 0) {
        const message = `${kind} arrived damaged at byte ${offsetBytes + bad} of the volume`;
        throw new ProtocolError('PAYLOAD_CHECKSUM', message);
      }
    }
    this.#attempt(requestId, () => {
      this.#checkRange(offsetBytes, lengthBytes);
      const range = { offsetBytes, lengthBytes };
      const fill: LayerFill =
        kind === 'layer-write'
          ? { kind: 'write', ...range, chunks, checksums: table }
          : { kind: BARE_FILLS[kind as keyof typeof BARE_FILLS], ...range };
      this.#waiting++;
      this.#store.fillLayer(layer, fill, (error) => {
        this.#waiting--;
        if (error === null) this.#replies.done(requestId);
        else this.#replies.failedRequest(requestId, error);
        this.#late();
      });
    });
  }

  /**
   * Bitmap, checksums and versions are what they are after all operations given before. `seq` names
   * a layer, or is 0 for the volume.
   */
  metadata(frame: Frame): void {
    const { kind, requestId, offsetBytes, lengthBytes, seq: layer } = frame;
    this.#waiting++;
    this.#stream.whenIdle(() => {
      this.#waiting--;
      this.#attempt(requestId, () => {
        switch (kind) {
          case 'allocation': {
            this.#checkRange(offsetBytes, lengthBytes);
            const bitmap =
              layer === 0
                ? this.#store.allocation(offsetBytes, lengthBytes)
                : this.#store.layerAllocation(layer, offsetBytes, lengthBytes);
            this.#replies.bytes('bitmap', { requestId, offsetBytes, lengthBytes }, bitmap);
            return;
          }
          case 'extent-checksums': {
            const payload = this.#checksums(layer, offsetBytes, lengthBytes);
            this.#replies.bytes('checksums', { requestId, offsetBytes, lengthBytes }, payload);
            return;
          }
          case 'extent-versions': {
            this.#checkExtents(offsetBytes, lengthBytes);
            const first = offsetBytes / EXTENT_BYTES;
            const count = Math.ceil(lengthBytes / EXTENT_BYTES);
            const payload = this.#store.extentVersions(first, count);
            this.#replies.bytes('versions', { requestId, offsetBytes, lengthBytes }, payload);
            return;
          }
          default:
            throw new ProtocolError('UNEXPECTED_KIND', `${kind} asks for no metadata`);
        }
      });
      this.#late();
    });
  }

  /**
   * The bad blocks of one extent. Takes its time: all of it is read from the disk. A target of this
   * release says with `seq` 1 that it wants to know of frozen layers, too.
   */
  scrub({ requestId, offsetBytes, lengthBytes, seq }: Frame): void {
    this.#attempt(requestId, () => {
      this.#checkExtents(offsetBytes, lengthBytes);
      if (lengthBytes > EXTENT_BYTES) {
        throw new StoreError('TOO_LARGE', 'a scrub is of one extent at a time');
      }
      this.#waiting++;
      this.#store.scrub(offsetBytes / EXTENT_BYTES, (error, found) => {
        this.#waiting--;
        if (error === null) {
          const answer = seq === 0 ? found.bad : encodeScrubAnswer(found);
          this.#replies.bytes('bitmap', { requestId, offsetBytes, lengthBytes }, answer);
        } else {
          this.#replies.failedRequest(requestId, error);
        }
        this.#late();
      });
    });
  }

  #checksums(layer: number, offsetBytes: number, lengthBytes: number): Uint8Array {
    this.#checkExtents(offsetBytes, lengthBytes);
    const first = offsetBytes / EXTENT_BYTES;
    const count = Math.ceil(lengthBytes / EXTENT_BYTES);
    if (count > MAX_CHECKSUM_EXTENTS) {
      throw new StoreError(
        'TOO_LARGE',
        `checksums of ${count} extents; at most ${MAX_CHECKSUM_EXTENTS} are allowed`,
      );
    }
    return Buffer.concat(
      Array.from({ length: count }, (_, index) =>
        layer === 0
          ? this.#store.extentChecksums(first + index)
          : this.#store.layerChecksums(layer, first + index),
      ),
    );
  }

  #checkExtents(offsetBytes: number, lengthBytes: number): void {
    this.#checkRange(offsetBytes, lengthBytes);
    if (offsetBytes % EXTENT_BYTES !== 0) {
      throw new StoreError('OUT_OF_RANGE', `no extent begins at ${offsetBytes}`);
    }
  }

  #checkRange(offsetBytes: number, lengthBytes: number): void {
    const problem = rangeProblem(offsetBytes, lengthBytes, this.#store.identity.sizeBytes);
    if (problem !== null) throw new StoreError('OUT_OF_RANGE', problem);
  }

  #attempt(requestId: number, answer: () => void): void {
    try {
      answer();
    } catch (error) {
      // The disk's own errors as well: pages are read when they are asked for.
      if (!(error instanceof StoreError) && systemErrorCode(error) === null) throw error;
      this.#replies.failedRequest(requestId, failureOf('answering', error));
    }
  }

  #later(requestId: number, work: Promise<void>): void {
    this.#waiting++;
    work.then(
      () => {
        this.#waiting--;
        this.#replies.done(requestId);
        this.#late();
      },
      (error: unknown) => {
        if (!(error instanceof StoreError)) throw error;
        this.#waiting--;
        this.#replies.failedRequest(requestId, error);
        this.#late();
      },
    );
  }
}

export const welcomeState = (store: Store, leaseRemainingMs: number): WelcomeState => ({
  ...store.state(),
  leaseRemainingMs,
});

const BARE_FILLS = {
  'layer-zero': 'zero',
  'layer-clear': 'clear',
  'layer-reset': 'reset',
  'layer-seal': 'seal',
} as const;
