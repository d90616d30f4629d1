import type { Profile } from './plan.ts';
import { planOf } from './plan.ts';
import { runPlan } from './run.ts';
import { invariantOf } from './shrink.ts';

/** What a hunt has come to. */
export interface Hunt {
  /** How many were run until the first that failed, or in all. */
  readonly seeds: number;
  /** The first that failed; null: none did. */
  readonly seed: number | null;
  readonly message: string;
  /** How many failed as what. */
  readonly failures: Readonly<Record<string, number>>;
}

/** In a process with a planted bug: seeds of one profile until so many have failed. */
const [profile, first, limit, wanted] = process.argv.slice(2);
const failures: Record<string, number> = {};
let found: { seed: number; seeds: number; message: string } | null = null;
let failed = 0;
let seeds = 0;
while (failed < Number(wanted) && seeds < Number(limit)) {
  const seed = Number(first) + seeds++;
  const { failure } = await runPlan(planOf(seed, profile as Profile));
  if (failure === null) continue;
  failed++;
  const invariant = invariantOf(failure);
  failures[invariant] = (failures[invariant] ?? 0) + 1;
  found ??= { seed, seeds, message: failure.message };
}
const hunt: Hunt = {
  seed: found?.seed ?? null,
  seeds: found?.seeds ?? seeds,
  message: found?.message ?? '',
  failures,
};
process.send?.(hunt, () => process.exit(0));
