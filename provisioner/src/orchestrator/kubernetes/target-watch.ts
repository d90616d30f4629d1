import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../../kubernetes/clock.ts';
import type { TargetStatus } from '../local/target-status.ts';
import type { Targets } from './targets.ts';

/** Between two questions to one target: while its answers differ, while the volume is healthy. */
const BUSY_MS = 2_000;
const CALM_MS = 30_000;
/** However often its pods change, a target is not asked sooner again than after this. */
const LEAST_MS = 500;

interface Known {
  readonly askedMs: number;
  readonly status: TargetStatus | null;
  /** How often in a row it has said the same, or nothing. */
  readonly repeats: number;
  readonly stirred: boolean;
}

/**
 * What each target has said last. It is asked when one of its pods changes, which the API server
 * tells, and else at an interval that doubles while it says the same: a target has no stream of
 * events, and one small answer in half a minute costs less than an open connection to each.
 */
export class TargetWatch {
  readonly #targets: Targets;
  readonly #clock: Clock;
  readonly #known = new Map<string, Known>();

  constructor(targets: Targets, clock: Clock) {
    this.#targets = targets;
    this.#clock = clock;
  }

  /** Something has happened to its pods: the next look asks. */
  stir(volume: string): void {
    const known = this.#known.get(volume);
    if (known !== undefined) this.#known.set(volume, { ...known, stirred: true });
  }

  /** It was given an order: what it said before is not to be acted upon again. */
  ordered(volume: string): void {
    const known = this.#known.get(volume);
    if (known !== undefined) {
      this.#known.set(volume, { ...known, askedMs: -Infinity, repeats: 0 });
    }
  }

  forget(volume: string): void {
    this.#known.delete(volume);
  }

  /** Null: it does not answer. */
  async look(volume: string, address: string | null): Promise<TargetStatus | null> {
    if (address === null) return null;
    const known = this.#known.get(volume);
    const now = this.#clock.now();
    if (known !== undefined) {
      const ageMs = now - known.askedMs;
      if (ageMs < LEAST_MS || (!known.stirred && ageMs < BUSY_MS / 2)) return known.status;
    }
    const status = await this.#targets.status(address);
    const repeats = isDeepStrictEqual(status, known?.status) ? (known?.repeats ?? 0) + 1 : 0;
    this.#known.set(volume, { askedMs: now, status, repeats, stirred: false });
    return status;
  }

  /** When to look again. With jitter, so that a thousand volumes are not asked at once. */
  nextMs(volume: string, settled: boolean): number {
    const repeats = this.#known.get(volume)?.repeats ?? 0;
    const ms = settled ? CALM_MS : Math.min(CALM_MS, BUSY_MS * 2 ** Math.min(repeats, 10));
    return ms * (0.8 + 0.4 * this.#clock.random());
  }
}
