import type { StoreError } from './errors.ts';
import type { ReadDone, StoreOperation } from './types.ts';

export interface QueuedRead {
  readonly offsetBytes: number;
  readonly into: Uint8Array;
  readonly checksums: Uint8Array;
  readonly done: ReadDone;
}

type Entry =
  | { readonly kind: 'operation'; readonly operation: StoreOperation; reached: number }
  | { readonly kind: 'read'; readonly read: QueuedRead }
  | { readonly kind: 'flush'; readonly done: ReadDone }
  | { readonly kind: 'barrier'; reached: boolean; readonly whenReached: () => void };

export interface OperationQueueHandlers {
  /** Applies from a byte on and returns up to where it came. */
  advance(operation: StoreOperation, from: number): number;
  read(read: QueuedRead): void;
  flush(done: ReadDone): void;
  /** Calls back in a later turn of the event loop. */
  later(callback: () => void): void;
}

/** What waits for a mark in the activity log or behind a barrier, in order. Empty nearly always. */
export class OperationQueue {
  readonly #handlers: OperationQueueHandlers;
  #entries: Entry[] = [];
  #head = 0;
  #operations = 0;
  #barriers = 0;
  #later = false;
  #emptied: (() => void)[] = [];

  constructor(handlers: OperationQueueHandlers) {
    this.#handlers = handlers;
  }

  get empty(): boolean {
    return this.#head === this.#entries.length;
  }

  /** What is given now may wait for something else than marks. */
  get barred(): boolean {
    return this.#barriers > 0;
  }

  /** Copies the operation: what was given is only lent. */
  pushOperation(operation: StoreOperation, reached: number): void {
    this.#operations += 1;
    this.#entries.push({ kind: 'operation', operation: copyOperation(operation), reached });
  }

  pushRead(read: QueuedRead): void {
    this.#entries.push({ kind: 'read', read });
  }

  pushFlush(done: ReadDone): void {
    this.#entries.push({ kind: 'flush', done });
  }

  /**
   * Calls back when everything given before is handled; what is given after waits for the barrier
   * to be lifted, which may be before that.
   */
  pushBarrier(whenReached: () => void): () => void {
    const barrier: Entry = { kind: 'barrier', reached: false, whenReached };
    this.#barriers += 1;
    this.#entries.push(barrier);
    if (this.#entries[this.#head] === barrier) this.run();
    return () => {
      if (this.#entries[this.#head] === barrier) this.#head += 1;
      else this.#entries.splice(this.#entries.indexOf(barrier, this.#head), 1);
      this.#barriers -= 1;
      if (this.empty) this.#reset();
    };
  }

  /**
   * Whether an operation that waits touches the range; also a stamp, which can make an extent
   * readable.
   */
  overlaps(offsetBytes: number, lengthBytes: number): boolean {
    if (this.#operations === 0) return false;
    for (let index = this.#head; index < this.#entries.length; index += 1) {
      const entry = this.#entries[index];
      if (entry?.kind !== 'operation') continue;
      const { operation } = entry;
      if (
        operation.offsetBytes < offsetBytes + lengthBytes &&
        offsetBytes < operation.offsetBytes + operation.lengthBytes
      )
        return true;
    }
    return false;
  }

  /** Handles what it can, up to the first operation that has to wait again. */
  run(): void {
    for (;;) {
      const entry = this.#entries[this.#head];
      if (entry === undefined) break;
      if (entry.kind === 'barrier') {
        if (!entry.reached) {
          entry.reached = true;
          entry.whenReached();
        }
        return;
      }
      if (entry.kind === 'operation') {
        const { operation } = entry;
        entry.reached = this.#handlers.advance(operation, entry.reached);
        // A failure in advance() has emptied the queue.
        if (this.#entries[this.#head] !== entry) continue;
        if (entry.reached < operation.lengthBytes) return;
        this.#operations -= 1;
      }
      this.#head += 1;
      if (entry.kind === 'read') this.#handlers.read(entry.read);
      else if (entry.kind === 'flush') this.#handlers.flush(entry.done);
    }
    this.#reset();
  }

  /**
   * Calls `run` in a later turn of the event loop, so that a long unmap does not keep everything
   * else waiting.
   */
  continueLater(run: () => void): void {
    if (this.#later || this.empty || this.#entries[this.#head]?.kind === 'barrier') return;
    this.#later = true;
    this.#handlers.later(() => {
      this.#later = false;
      run();
    });
  }

  /**
   * Forgets the operations; flushes that wait for them fail, reads see what there is. Barriers
   * stay.
   */
  drop(error: StoreError): void {
    const entries = this.#entries.slice(this.#head);
    this.#entries = entries.filter(({ kind }) => kind === 'barrier');
    this.#head = 0;
    this.#operations = 0;
    this.run();
    for (const entry of entries) {
      if (entry.kind === 'read') this.#handlers.read(entry.read);
      else if (entry.kind === 'flush') entry.done(error);
    }
  }

  whenEmpty(done: () => void): void {
    if (this.empty) done();
    else this.#emptied.push(done);
  }

  #reset(): void {
    this.#entries = [];
    this.#head = 0;
    const emptied = this.#emptied;
    this.#emptied = [];
    for (const done of emptied) done();
  }
}

function copyOperation(operation: StoreOperation): StoreOperation {
  const { offsetBytes, lengthBytes } = operation;
  const version = { epoch: operation.version.epoch, seq: operation.version.seq };
  if (!('chunks' in operation)) return { kind: operation.kind, version, offsetBytes, lengthBytes };
  const payload = Buffer.allocUnsafeSlow(lengthBytes);
  let at = 0;
  for (const chunk of operation.chunks) {
    payload.set(chunk, at);
    at += chunk.length;
  }
  const checksums = Uint8Array.from(operation.checksums);
  return {
    kind: operation.kind,
    version,
    offsetBytes,
    lengthBytes,
    chunks: [payload],
    checksums,
  };
}
