import type { DiskFile } from './disk.ts';
import { StoreError } from './errors.ts';

type Done = (error: StoreError | null) => void;

export interface GroupCommitEvents {
  /** What was written until now becomes durable with the next `synced`. */
  starts(): void;
  synced(): void;
  failed(error: StoreError): void;
}

/**
 * Of the head's data file. One fdatasync at a time; whoever asks meanwhile shares the next one. A
 * failure is final: after it the kernel may have dropped the dirty pages and marked them clean, so
 * that a second fdatasync would succeed without writing anything.
 */
export class GroupCommit {
  readonly #file: () => DiskFile;
  readonly #events: GroupCommitEvents;
  #failure: StoreError | null = null;
  #running: Done[] = [];
  #waiting: Done[] = [];
  #busy = false;
  #count = 0;

  constructor(file: () => DiskFile, events: GroupCommitEvents) {
    this.#file = file;
    this.#events = events;
  }

  get count(): number {
    return this.#count;
  }

  flush(done: Done): void {
    if (this.#failure !== null) {
      done(this.#failure);
      return;
    }
    this.#waiting.push(done);
    if (!this.#busy) this.#start();
  }

  #start(): void {
    const next = this.#running;
    this.#running = this.#waiting;
    this.#waiting = next;
    this.#busy = true;
    this.#count += 1;
    this.#events.starts();
    this.#file().sync(this.#finished);
  }

  readonly #finished = (cause: Error | null): void => {
    if (cause !== null)
      this.#failure = new StoreError(
        'FLUSH_FAILED',
        `The data could not be made durable: ${cause.message}. Writes that were not flushed may ` +
          'be lost on this copy; it leaves service and has to be rebuilt or compared with ' +
          'another replica. Look into the log of the kernel (dmesg) for the device.',
        { cause },
      );
    const running = this.#running;
    this.#running = [];
    this.#busy = false;
    if (this.#failure === null) this.#events.synced();
    else this.#events.failed(this.#failure);
    for (const done of running) done(this.#failure);
    const failure = this.#failure;
    if (failure !== null) {
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const done of waiting) done(failure);
    } else if (this.#waiting.length > 0 && !this.#isBusy()) this.#start();
  };

  /** Asked anew: a callback may have started the next one. */
  #isBusy(): boolean {
    return this.#busy;
  }
}
