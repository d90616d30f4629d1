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

/** Stands in a list of actions for the loss of power at the end. */
const BLACKOUT = 'blackout';

/** Names what a plan that was cut down has kept of the whole one, for `keepOnly`: `0-2,7`. */
export const keptOf = (whole: Plan, { actions, finalBlackout }: Plan): string => {
  const ranges: { first: number; last: number }[] = [];
  whole.actions.forEach((action, index) => {
    if (!actions.includes(action)) return;
    const range = ranges.at(-1);
    if (range?.last === index - 1) range.last = index;
    else ranges.push({ first: index, last: index });
  });
  const parts = ranges.map(({ first, last }) =>
    first === last ? String(first) : `${first}-${last}`,
  );
  return [...parts, ...(finalBlackout ? [BLACKOUT] : [])].join();
};

/** The plan with these actions only. Throws a RangeError where one is named that it lacks. */
export const keepOnly = (whole: Plan, kept: string): Plan => {
  const parts = kept.split(',');
  const finalBlackout = parts.includes(BLACKOUT);
  if (finalBlackout && !whole.finalBlackout) {
    throw new RangeError(`seed ${whole.seed} has no ${BLACKOUT} at its end; leave the word out`);
  }
  const wanted = new Set<number>();
  for (const part of parts.filter((each) => each !== BLACKOUT && each !== '')) {
    const [, first, last = first] = /^(\d+)(?:-(\d+))?$/.exec(part) ?? [];
    if (first === undefined || Number(last) >= whole.actions.length) {
      throw new RangeError(
        `there is no action ${part} in seed ${whole.seed}: it has 0 to ` +
          `${whole.actions.length - 1}, written like 0-2,7`,
      );
    }
    for (let index = Number(first); index <= Number(last); index++) wanted.add(index);
  }
  const actions = whole.actions.filter((_, index) => wanted.has(index));
  return { ...whole, actions, finalBlackout };
};
