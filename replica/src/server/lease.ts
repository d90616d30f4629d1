import { READ_LEASE_MS } from '../limits.ts';

/**
 * How long targets that were served before may still answer reads.
 *
 * A target answers a read only within a shorter time of sending a request that a majority of the
 * voters has answered. Whatever it sent has arrived here later than that, so the moment at which
 * something of it last arrived tells how long it may go on, without a word about clocks.
 */
export class Lease {
  /** Until when targets before the present one may answer. */
  #earlierUntilMs: number;
  /** When something of the present one has last arrived; null: it can answer nothing more. */
  #heardMs: number | null = null;

  /**
   * `promised`: some target was promised an epoch before this process started. It may have been
   * answered until just before that.
   */
  constructor(startedMs: number, promised: boolean) {
    this.#earlierUntilMs = promised ? startedMs + READ_LEASE_MS : -Infinity;
  }

  /** Another target is served from now on, or the same one on another connection. */
  begin(nowMs: number): void {
    this.#earlierUntilMs = this.#untilMs();
    this.#heardMs = nowMs;
  }

  /** Hot path: something of the target that is served has arrived. */
  heard(nowMs: number): void {
    this.#heardMs = nowMs;
  }

  /** The target has said that it is done, or is known to be gone. */
  release(): void {
    this.#heardMs = null;
  }

  /** Of any target. */
  remainingMs(nowMs: number): number {
    return remaining(this.#untilMs(), nowMs);
  }

  /** Of those before the one that is served: what that one has to wait out. */
  earlierRemainingMs(nowMs: number): number {
    return remaining(this.#earlierUntilMs, nowMs);
  }

  #untilMs(): number {
    const own = this.#heardMs === null ? -Infinity : this.#heardMs + READ_LEASE_MS;
    return Math.max(this.#earlierUntilMs, own);
  }
}

const remaining = (untilMs: number, nowMs: number): number =>
  Math.max(0, Math.ceil(untilMs - nowMs));
