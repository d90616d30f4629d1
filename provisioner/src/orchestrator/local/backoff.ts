import { RESTART_MAX_MS, RESTART_MIN_MS, STABLE_AFTER_MS } from '../../limits.ts';

/**
 * Failures of one process in a row, and how long to wait before the next try. Doubles; a stable run
 * resets it.
 */
export class Backoff {
  #failures = 0;

  get failures(): number {
    return this.#failures;
  }

  /** The process ended by itself after `aliveMs`; gives the milliseconds to wait. */
  failed(aliveMs: number): number {
    if (aliveMs >= STABLE_AFTER_MS) this.#failures = 0;
    this.#failures += 1;
    return Math.min(RESTART_MAX_MS, RESTART_MIN_MS * 2 ** (this.#failures - 1));
  }

  /** It has been up for long enough: what failed before does not count any more. */
  stable(): void {
    this.#failures = 0;
  }
}
