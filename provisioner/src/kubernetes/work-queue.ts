import type { Clock } from './clock.ts';

export interface WorkQueueOptions {
  readonly clock: Clock;
  /** The first retry of a key waits this long, each further one twice as long. */
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
}

/**
 * Keys that wait to be reconciled, as client-go's workqueue with its per-item exponential rate
 * limiter: a key is in the queue once however often it is added; a key that is added while it is
 * worked on is worked on again afterwards, never at the same time twice.
 */
export class WorkQueue {
  readonly #options: WorkQueueOptions;
  /** In the order in which they became due. */
  readonly #due: string[] = [];
  /** Have to be worked on: those of #due, and those that were added while they are worked on. */
  readonly #dirty = new Set<string>();
  readonly #processing = new Set<string>();
  readonly #failures = new Map<string, number>();
  readonly #delayed = new Map<string, { readonly dueMs: number; readonly cancel: () => void }>();
  #waiters: ((key: string | null) => void)[] = [];
  #closed = false;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
  }

  /** Keys that wait to be worked on, delayed ones not counted. */
  get length(): number {
    return this.#due.length;
  }

  add(key: string): void {
    if (this.#closed || this.#dirty.has(key)) return;
    this.#dirty.add(key);
    if (!this.#processing.has(key)) this.#push(key);
  }

  /** The earlier of two delays of one key counts. */
  addAfter(key: string, delayMs: number): void {
    if (this.#closed) return;
    if (delayMs <= 0) {
      this.add(key);
      return;
    }
    const { clock } = this.#options;
    const dueMs = clock.now() + delayMs;
    const known = this.#delayed.get(key);
    if (known !== undefined && known.dueMs <= dueMs) return;
    known?.cancel();
    const cancel = clock.after(delayMs, () => {
      this.#delayed.delete(key);
      this.add(key);
    });
    this.#delayed.set(key, { dueMs, cancel });
  }

  /** After a failure: with a delay that doubles until `forget`. Returns the delay. */
  retry(key: string): number {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    const { retryMinMs, retryMaxMs } = this.#options;
    const delayMs = Math.min(retryMaxMs, retryMinMs * 2 ** Math.min(failures, 40));
    this.addAfter(key, delayMs);
    return delayMs;
  }

  /** The key was worked on with success: its next failure is its first. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  failures(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  /** The next key, which then counts as worked on until `done`; null when the queue is closed. */
  next(): Promise<string | null> {
    if (this.#closed) return Promise.resolve(null);
    const key = this.#due.shift();
    if (key !== undefined) return Promise.resolve(this.#begin(key));
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  done(key: string): void {
    this.#processing.delete(key);
    if (this.#dirty.has(key)) this.#push(key);
  }

  close(): void {
    this.#closed = true;
    for (const { cancel } of this.#delayed.values()) cancel();
    this.#delayed.clear();
    for (const waiter of this.#waiters.splice(0)) waiter(null);
  }

  #push(key: string): void {
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) waiter(this.#begin(key));
    else this.#due.push(key);
  }

  #begin(key: string): string {
    this.#dirty.delete(key);
    this.#processing.add(key);
    return key;
  }
}

/**
 * Works on the queue's keys, `width` at a time, until it is closed. A key whose work fails is tried
 * again later; `failed` is told.
 */
export const runWorkers = async (
  queue: WorkQueue,
  width: number,
  work: (key: string) => Promise<void>,
  failed: (key: string, error: unknown, retryMs: number) => void,
): Promise<void> => {
  const worker = async (): Promise<void> => {
    for (let key = await queue.next(); key !== null; key = await queue.next()) {
      try {
        await work(key);
        queue.forget(key);
      } catch (error) {
        failed(key, error, queue.retry(key));
      } finally {
        queue.done(key);
      }
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
};
