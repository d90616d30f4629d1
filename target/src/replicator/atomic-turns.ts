import type { WriteOperation } from './operations.ts';

/**
 * Atomic writes go through the stream one after the other: the next one when all members that count
 * have the one before. So whenever a target stops, at most one of them can be on some members and
 * not on others, and it is the last one that these members remember. See atomic-ranges.ts.
 */
export class AtomicTurns {
  #current: WriteOperation | null = null;
  #waiting: WriteOperation[] = [];

  /** Whether it may be sent now; else it waits for its turn. Its range is locked. */
  take(operation: WriteOperation): boolean {
    if (this.#current === null) {
      this.#current = operation;
      return true;
    }
    operation.keepPayload();
    this.#waiting.push(operation);
    return false;
  }

  /** All members that count have it. Returns whose turn it is. */
  applied(operation: WriteOperation): WriteOperation | null {
    if (this.#current !== operation) return null;
    this.#current = null;
    return this.#waiting.shift() ?? null;
  }

  /** Those that wait, forgotten; the one that was sent may still be applied. */
  takeWaiting(): WriteOperation[] {
    return this.#waiting.splice(0);
  }

  /** The epoch has ended, and with it whatever was under way. Returns those that waited. */
  reset(): WriteOperation[] {
    this.#current = null;
    return this.takeWaiting();
  }
}
