import type { Action, Plan } from './plan.ts';
import { runPlan } from './run.ts';

/**
 * Cuts the actions of a plan that fails down to few that still fail, by taking out ever smaller
 * pieces (Zeller's ddmin). A run without an action is another run, so that a failure may show
 * itself in another way; what counts is the invariant.
 */
export const shrink = async (
  plan: Plan,
  invariant: string,
  limitRuns: number,
  told: (actions: number) => void,
): Promise<Plan> => {
  let runs = 0;
  let kept: readonly Action[] = plan.actions;
  let best: Plan = plan;
  const fails = async (candidate: Plan): Promise<boolean> => {
    runs++;
    const { failure } = await runPlan(candidate);
    return failure !== null && invariantOf(failure) === invariant;
  };
  const without = { ...plan, finalBlackout: false };
  if (plan.finalBlackout && (await fails(without))) best = without;
  for (let pieces = 2; pieces <= kept.length && runs < limitRuns;) {
    const size = Math.ceil(kept.length / pieces);
    let shrunk = false;
    for (let at = 0; at < kept.length && runs < limitRuns; at += size) {
      const actions = kept.filter((_, index) => index < at || index >= at + size);
      const candidate: Plan = { ...best, actions };
      if (!(await fails(candidate))) continue;
      kept = actions;
      best = candidate;
      shrunk = true;
      told(kept.length);
      break;
    }
    if (shrunk) pieces = Math.max(2, pieces - 1);
    else if (size === 1) break;
    else pieces = Math.min(kept.length, pieces * 2);
  }
  return best;
};

/** Which invariant a failure is of. */
export const invariantOf = (failure: Error): string =>
  'invariant' in failure ? String(failure.invariant) : 'crash';
