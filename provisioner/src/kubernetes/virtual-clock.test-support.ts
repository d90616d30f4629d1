import type { Clock } from './clock.ts';

/** Time that passes when the test says so. */
export class VirtualClock implements Clock {
  #nowMs = 0;
  #timers: { readonly dueMs: number; readonly callback: () => void }[] = [];

  now(): number {
    return this.#nowMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { dueMs: this.#nowMs + delayMs, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((each) => each !== timer);
    };
  }

  random(): number {
    return 0.5;
  }

  /** Lets so many milliseconds pass, and everything that waits for them happen. */
  async pass(ms: number): Promise<void> {
    const end = this.#nowMs + ms;
    for (;;) {
      await settle();
      const next = this.#timers
        .filter(({ dueMs }) => dueMs <= end)
        .sort((a, b) => a.dueMs - b.dueMs)[0];
      if (next === undefined) break;
      this.#timers = this.#timers.filter((each) => each !== next);
      this.#nowMs = next.dueMs;
      next.callback();
    }
    this.#nowMs = end;
    await settle();
  }
}

/** Everything that follows at once has happened. */
export const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
};
