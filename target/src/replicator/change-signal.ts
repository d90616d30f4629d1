import type { Environment } from './environment.ts';

/** Wakes those who wait for something to change; they look for themselves what it was. */
export class ChangeSignal {
  readonly #environment: Environment;
  readonly #waiters = new Set<() => void>();

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** Resolves at the next signal, or after the time. */
  next(timeoutMs: number | null): Promise<void> {
    return new Promise((resolve) => {
      let cancel: (() => void) | null = null;
      const done = (): void => {
        this.#waiters.delete(done);
        cancel?.();
        resolve();
      };
      this.#waiters.add(done);
      if (timeoutMs !== null) cancel = this.#environment.after(timeoutMs, done);
    });
  }

  signal(): void {
    for (const waiter of [...this.#waiters]) waiter();
  }
}
