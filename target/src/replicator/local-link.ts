import type {
  Epoch,
  LayersChange,
  MembershipRecord,
  Session,
  WelcomeState,
} from '@openebs/replica/protocol';
import {
  BLOCK_BYTES,
  encodeScrubAnswer,
  EXTENT_BYTES,
  segmentTableBytes,
} from '@openebs/replica/protocol';
import type { SlabPool } from '@openebs/replica/runtime';
import type { LayerFill, Store, StoreError } from '@openebs/replica/store';
import type {
  Answer,
  ByteRange,
  Link,
  LinkEvents,
  ReadRequest,
  RequestFailure,
  StreamOperation,
} from './link.ts';
import { LocalReads } from './local-reads.ts';

/**
 * A replica's store in this process: no socket, no frames, and most calls complete before they
 * return.
 */
export class LocalLink implements Link {
  readonly wants = 'operations';
  readonly bufferedBytes = 0;
  readonly #events: LinkEvents;
  readonly #defer: (callback: () => void) => void;
  readonly #reads: LocalReads;
  #store: Store | null = null;
  #epoch: Epoch | null = null;
  #dirty = false;
  #state: 'open' | 'closing' | 'closed' = 'open';
  readonly #pending = new Set<Answer>();

  constructor({
    open,
    events,
    pool,
    defer,
  }: {
    readonly open: () => Promise<Store>;
    readonly events: LinkEvents;
    readonly pool: SlabPool;
    readonly defer: (callback: () => void) => void;
  }) {
    this.#events = events;
    this.#defer = defer;
    this.#reads = new LocalReads(pool, (request, error) => request.readFailed(failureOf(error)));
    open().then(
      (store) => this.#welcome(store),
      (error: unknown) => this.#closed(failureOf(error)),
    );
  }

  promise(epoch: Epoch, session: Session): void {
    this.#opened()
      .promise(epoch, session)
      .then(
        () => {
          this.#epoch = epoch;
          if (this.#state === 'open') this.#events.promised(stateOf(this.#opened()));
        },
        (error: unknown) => {
          const failure = failureOf(error);
          if (this.#state !== 'open') return;
          if (failure.code === 'EPOCH_STALE') {
            this.#events.fenced(this.#opened().state().promisedEpoch);
          }
          this.#end(failure);
        },
      );
  }

  apply(operation: StreamOperation): void {
    const store = this.#opened();
    if (this.#epoch === null) throw new TypeError('a stream needs a promise');
    const { kind, offsetBytes, lengthBytes } = operation;
    const version = { epoch: this.#epoch, seq: operation.seq };
    this.#dirty = true;
    if (kind === 'write' || kind === 'write-atomic') {
      const { chunks, table } = operation;
      store.apply({ kind, version, offsetBytes, lengthBytes, chunks, checksums: table });
    } else {
      store.apply({ kind, version, offsetBytes, lengthBytes });
    }
  }

  send(): void {
    throw new TypeError('a store takes operations');
  }

  endTurn(): void {
    if (!this.#dirty || this.#state !== 'open') return;
    this.#dirty = false;
    this.#opened().settle();
  }

  read(request: ReadRequest): void {
    this.#reads.read(this.#opened(), request);
  }

  flush(answer: Answer): void {
    this.#pending.add(answer);
    this.#opened().flush((error) => this.#answer(answer, error, null));
  }

  putRecord(record: MembershipRecord, answer: Answer): void {
    this.#await(this.#opened().putRecord(record), answer);
  }

  resize(sizeBytes: number, answer: Answer): void {
    this.#await(this.#opened().resize(sizeBytes), answer);
  }

  getDocument(name: string, answer: Answer): void {
    this.#later(answer, (store) => store.getDocument(name));
  }

  putDocument(name: string, content: Uint8Array, answer: Answer): void {
    this.#await(this.#opened().putDocument(name, content), answer);
  }

  allocation(offsetBytes: number, lengthBytes: number, answer: Answer): void {
    this.#later(answer, (store) => store.allocation(offsetBytes, lengthBytes));
  }

  extentChecksums(offsetBytes: number, lengthBytes: number, answer: Answer): void {
    this.#later(answer, (store) =>
      store
        .extentChecksums(offsetBytes / EXTENT_BYTES)
        .subarray(0, Math.ceil(lengthBytes / BLOCK_BYTES) * 4),
    );
  }

  /** The threads that read for this store are this process's own. */
  tickReads(): number {
    return 0;
  }

  extentVersions(offsetBytes: number, lengthBytes: number, answer: Answer): void {
    this.#later(answer, (store) =>
      store.extentVersions(offsetBytes / EXTENT_BYTES, Math.ceil(lengthBytes / EXTENT_BYTES)),
    );
  }

  scrub(offsetBytes: number, _lengthBytes: number, answer: Answer): void {
    this.#pending.add(answer);
    this.#opened().scrub(offsetBytes / EXTENT_BYTES, (error, found) =>
      this.#answer(answer, error, error === null ? encodeScrubAnswer(found) : null),
    );
  }

  ping(answer: Answer): void {
    this.#later(answer, () => null);
  }

  refresh(answer: Answer): void {
    this.#later(answer, (store) => {
      this.#events.remembered(stateOf(store));
      return null;
    });
  }

  putLayers(change: LayersChange, answer: Answer): void {
    this.#await(this.#opened().changeLayers(change), answer);
  }

  readLayer(layer: number, request: ReadRequest): void {
    const { offsetBytes, lengthBytes } = request;
    const into = Buffer.allocUnsafe(lengthBytes);
    const checksums = Buffer.allocUnsafe(segmentTableBytes(offsetBytes, lengthBytes));
    const done = (error: StoreError | null): void => {
      if (error === null) request.readDone(into, null, null);
      else request.readFailed(failureOf(error));
    };
    this.#opened().readLayer(layer, { offsetBytes, into, checksums, done });
  }

  layerAllocation(layer: number, { offsetBytes, lengthBytes }: ByteRange, answer: Answer): void {
    this.#later(answer, (store) => store.layerAllocation(layer, offsetBytes, lengthBytes));
  }

  layerChecksums(layer: number, { offsetBytes, lengthBytes }: ByteRange, answer: Answer): void {
    this.#later(answer, (store) =>
      store
        .layerChecksums(layer, offsetBytes / EXTENT_BYTES)
        .subarray(0, Math.ceil(lengthBytes / BLOCK_BYTES) * 4),
    );
  }

  fillLayer(layer: number, fill: LayerFill, answer: Answer): void {
    this.#pending.add(answer);
    this.#opened().fillLayer(layer, fill, (error) => this.#answer(answer, error, null));
  }

  close(): void {
    if (this.#state === 'open') this.#end({ ...LINK_CLOSED });
  }

  #welcome(store: Store): void {
    this.#store = store;
    if (this.#state !== 'open') {
      this.#shut(store, LINK_CLOSED);
      return;
    }
    store.setEvents({
      applied: (seq) => {
        if (this.#state === 'open') this.#events.acknowledged(seq);
      },
      failed: (error) => {
        if (this.#state === 'open') this.#events.failed(failureOf(error));
      },
    });
    this.#events.welcome(store.identity, stateOf(store));
  }

  #opened(): Store {
    if (this.#store === null) throw new TypeError('the store is not open');
    return this.#store;
  }

  /**
   * The store's answers that are made at once; given later, so that a caller never sees its own
   * callback before the call returns.
   */
  #later(answer: Answer, take: (store: Store) => Uint8Array | null): void {
    this.#pending.add(answer);
    this.#defer(() => {
      if (!this.#pending.has(answer)) return;
      try {
        this.#answer(answer, null, take(this.#opened()));
      } catch (error) {
        this.#answer(answer, error, null);
      }
    });
  }

  #await(work: Promise<void>, answer: Answer): void {
    this.#pending.add(answer);
    work.then(
      () => this.#answer(answer, null, null),
      (error: unknown) => this.#answer(answer, error, null),
    );
  }

  #answer(answer: Answer, error: unknown, payload: Uint8Array | null): void {
    if (!this.#pending.delete(answer)) return;
    answer(error === null ? null : failureOf(error), payload);
  }

  #end(failure: RequestFailure): void {
    this.#state = 'closing';
    const { message } = failure;
    const pending = [...this.#pending];
    this.#pending.clear();
    this.#defer(() => {
      for (const answer of pending) answer({ ...LINK_CLOSED, message }, null);
    });
    // A store that is still being opened is shut when it has been.
    if (this.#store !== null) this.#shut(this.#store, failure);
  }

  /**
   * The directory's lock is free only when the store has closed, so that is when the link counts as
   * closed.
   */
  #shut(store: Store, failure: RequestFailure): void {
    store.close().then(
      () => this.#closed(failure),
      (error: unknown) => this.#closed(failureOf(error)),
    );
  }

  #closed(failure: RequestFailure): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#events.closed(failure.code, failure.message);
  }
}

/** Who has the directory's lock knows that whoever had it before answers nothing more. */
const stateOf = (store: Store): WelcomeState => ({ ...store.state(), leaseRemainingMs: 0 });

const LINK_CLOSED: RequestFailure = {
  code: 'LINK_CLOSED',
  message: 'the target closed the store',
  offsetBytes: null,
};

const failureOf = (error: unknown): RequestFailure => {
  const known = error as Partial<StoreError>;
  return {
    code: typeof known.code === 'string' ? known.code : 'UNEXPECTED',
    message: error instanceof Error ? error.message : String(error),
    offsetBytes: known.offsetBytes ?? null,
  };
};
