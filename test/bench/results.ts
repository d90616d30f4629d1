import type { ClientResult } from './client.ts';
import type { Machine } from './machine.ts';
import { BASELINE } from './systems.ts';

/** One run of one workload on one system. */
export interface Measurement extends ClientResult {
  readonly workload: string;
  readonly system: string;
  readonly round: number;
  /** User and system time of all server processes. Microseconds. */
  readonly cpuPerOperation: number;
}

export interface Results {
  readonly date: string;
  readonly machine: Machine;
  readonly settings: Readonly<Record<string, string | number>>;
  readonly workloads: readonly { readonly id: string; readonly title: string }[];
  readonly systems: readonly { readonly name: string; readonly description: string }[];
  readonly measurements: readonly Measurement[];
}

/** Over the rounds. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export function spread(values: readonly number[]): Spread | null {
  const sorted = values.toSorted((a, b) => a - b);
  if (sorted.length === 0) return null;
  const middle = (sorted.length - 1) / 2;
  return {
    median: (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2,
    min: sorted[0]!,
    max: sorted.at(-1)!,
  };
}

/** Of sorted values. */
export const quantile = (sorted: readonly number[], q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? NaN;

type Figure = 'iops' | 'bytesPerSecond' | 'p50' | 'p99' | 'p999' | 'cpuPerOperation';

export function figure(
  results: Results,
  workload: string,
  system: string,
  name: Figure,
): Spread | null {
  return spread(
    results.measurements
      .filter((one) => one.workload === workload && one.system === system)
      .map((one) => one[name]),
  );
}

/** Operations per second against tgt's of the same round: what changed between rounds drops out. */
export function ratio(results: Results, workload: string, system: string): Spread | null {
  const ofWorkload = results.measurements.filter((one) => one.workload === workload);
  const baseline = new Map(
    ofWorkload.filter((one) => one.system === BASELINE).map((one) => [one.round, one.iops]),
  );
  return spread(
    ofWorkload
      .filter((one) => one.system === system && baseline.has(one.round))
      .map((one) => one.iops / baseline.get(one.round)!),
  );
}
