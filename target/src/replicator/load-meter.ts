import type { Histogram } from '@openebs/replica/runtime';
import type { VolumeStatistics } from './statistics.ts';

/** What initiators got in a stretch of time. */
export interface Load {
  readonly operations: number;
  readonly perSecond: number;
  /** Null where too few operations have ended to tell. */
  readonly p99Ms: number | null;
}

/** Below this many operations the slowest of a hundred says nothing. */
const ENOUGH_OPERATIONS = 100;

const histogramsOf = ({ read, write, unmap }: VolumeStatistics): readonly Histogram[] => [
  read.seconds,
  write.seconds,
  unmap.seconds,
];

/** Operations that have ended. */
export const operationsOf = ({ read, write, unmap }: VolumeStatistics): number =>
  read.operations + write.operations + unmap.operations;

/**
 * Measures what initiators get between one question and the next, from the histograms that are
 * filled anyway: the hot path has no part in it.
 */
export class LoadMeter {
  readonly #statistics: VolumeStatistics;
  readonly #bounds: Float64Array;
  #counts: Float64Array;
  #operations: number;
  #sinceMs: number;

  constructor(statistics: VolumeStatistics, nowMs: number) {
    this.#statistics = statistics;
    this.#bounds = statistics.read.seconds.bounds;
    this.#counts = this.#current();
    this.#operations = operationsOf(statistics);
    this.#sinceMs = nowMs;
  }

  /** Whether any operation has ended since the last question. */
  get busy(): boolean {
    return operationsOf(this.#statistics) !== this.#operations;
  }

  /** Begins a new stretch. */
  take(nowMs: number): Load {
    const current = this.#current();
    const counts = current.map((count, bucket) => count - (this.#counts[bucket] ?? 0));
    const seconds = Math.max(1, nowMs - this.#sinceMs) / 1000;
    this.#counts = current;
    this.#operations = operationsOf(this.#statistics);
    this.#sinceMs = nowMs;
    const operations = totalOf(counts);
    return {
      operations,
      perSecond: operations / seconds,
      p99Ms: operations < ENOUGH_OPERATIONS ? null : 1000 * quantile(this.#bounds, counts, 0.99),
    };
  }

  #current(): Float64Array {
    const counts = new Float64Array(this.#bounds.length + 1);
    for (const histogram of histogramsOf(this.#statistics)) {
      for (let bucket = 0; bucket < counts.length; bucket++) {
        counts[bucket] = (counts[bucket] ?? 0) + (histogram.counts[bucket] ?? 0);
      }
    }
    return counts;
  }
}

const totalOf = (counts: Float64Array): number => counts.reduce((sum, count) => sum + count, 0);

/** As if the values of a bucket lay evenly in it. In the unit of the bounds. */
const quantile = (bounds: Float64Array, counts: Float64Array, share: number): number => {
  let left = share * totalOf(counts);
  for (let bucket = 0; bucket < counts.length; bucket++) {
    const count = counts[bucket] ?? 0;
    if (left <= count) {
      const from = bounds[bucket - 1] ?? 0;
      const to = bounds[bucket] ?? 2 * from;
      return count === 0 ? from : from + ((to - from) * left) / count;
    }
    left -= count;
  }
  return 2 * (bounds.at(-1) ?? 0);
};
