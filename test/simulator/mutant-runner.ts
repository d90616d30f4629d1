import { planOf } from './plan.ts';
import { runPlan } from './run.ts';

/** In a process with a planted bug: seeds until one fails. */
const limit = Number(process.argv[2]);
let message: string | null = null;
let seeds = 0;
while (message === null && seeds < limit) {
  const { failure } = await runPlan(planOf(++seeds));
  message = failure?.message ?? null;
}
process.send?.({ seeds, message }, () => process.exit(0));
