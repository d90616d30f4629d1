import { REPLICATOR_LIMITS } from '../limits.ts';
import { majorityOf } from './membership.ts';

/**
 * The latest moment at which a majority of the voters was still with this target: each of them has
 * answered something that was sent then or later. A single voter answers for itself with each read.
 */
export const confirmedAt = (
  voters: readonly string[],
  heardMs: ReadonlyMap<string, number>,
): number => {
  if (voters.length === 1) return Infinity;
  const moments = voters.map((voter) => heardMs.get(voter) ?? -Infinity).sort((a, b) => b - a);
  return moments[majorityOf(voters) - 1] ?? -Infinity;
};

/**
 * How long a new target waits before it serves, so that none before it can answer reads any more:
 * until so many leases have ended that those of the other voters are no majority. Infinity where
 * too few have told.
 */
export const leaseWaitMs = (
  voters: readonly string[],
  endsMs: ReadonlyMap<string, number>,
  nowMs: number,
): number => {
  if (voters.length <= 1) return 0;
  const ends = voters.map((voter) => endsMs.get(voter) ?? Infinity).sort((a, b) => a - b);
  const last = ends[voters.length - majorityOf(voters)] ?? Infinity;
  return Math.max(0, last - nowMs);
};

/** Those whose signs of life count. */
export interface Voters {
  /** confirmedAt, of now. */
  readonly confirmedMs: number;
  /** Asks all of them for a sign of life. */
  heartbeat(): void;
}

interface Waiting {
  readonly startedMs: number;
  readonly decided: (covered: boolean) => void;
}

/**
 * Whether what a replica has answered may be told to an initiator: not while another target may
 * have taken over, and have written what that replica does not know of.
 */
export class ReadLease {
  readonly #now: () => number;
  readonly #voters: Voters;
  #confirmedMs = -Infinity;
  #waiting: Waiting[] = [];

  constructor(now: () => number, voters: Voters) {
    this.#now = now;
    this.#voters = voters;
  }

  /**
   * Hot path. Besides a lease that has not ended, an answer of a majority to what was sent after
   * the read had begun will do: whoever has taken over did so later, so the read may come before.
   */
  covers(startedMs: number): boolean {
    const confirmedMs = this.#confirmedMs;
    return confirmedMs >= startedMs || this.#now() - confirmedMs < REPLICATOR_LIMITS.readLeaseMs;
  }

  /** Asks for signs of life, and calls back when they came, or when the volume is suspended. */
  whenCovered(startedMs: number, decided: (covered: boolean) => void): void {
    this.#waiting.push({ startedMs, decided });
    this.#voters.heartbeat();
  }

  covered(startedMs: number): Promise<boolean> {
    if (this.covers(startedMs)) return Promise.resolve(true);
    return new Promise((resolve) => this.whenCovered(startedMs, resolve));
  }

  /** A voter gave a sign of life or was lost, or the voters have changed. */
  renew(): void {
    this.#confirmedMs = this.#voters.confirmedMs;
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = waiting.filter(({ startedMs }) => !this.covers(startedMs));
    const still = new Set(this.#waiting);
    for (const each of waiting) if (!still.has(each)) each.decided(true);
    // An answer to what was sent before the read says nothing about it.
    if (this.#waiting.length > 0) this.#voters.heartbeat();
  }

  suspend(): void {
    for (const { decided } of this.#waiting.splice(0)) decided(false);
  }
}
