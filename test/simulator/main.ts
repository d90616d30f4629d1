import { fork } from 'node:child_process';
import { readOptions, refuse } from '../support/options.ts';
import { runCovered } from './coverage.ts';
import type { Plan } from './plan.ts';
import { planOf, PROFILES } from './plan.ts';
import type { RunResult } from './run.ts';
import { runPlan } from './run.ts';
import { invariantOf, keepOnly, keptOf, shrink } from './shrink.ts';

const TELL_EVERY_MS = 10_000;
const SHRINK_RUNS = 2_000;

const HELP = `npm run simulate -- [options]

Runs seeds of the simulator, or one of them again. A seed is a run, event by event.

  --seeds N       this many seeds (default 100)
  --first N       from this one on (default: a new number)
  --jobs N        processes at a time (default 1)
  --coverage      afterwards, which branches of the protocol's code were reached (one process)
  --profile NAME  only runs of this kind: ${PROFILES.join(', ')}

  --seed N        this one only
  --trace         with --seed: everything that happens in it
  --shrink        with --seed: the fewest actions that still fail, and their trace
  --only LIST     with --seed: these of its actions only, as --shrink has named them

  --help          this text
`;

const OPTIONS = {
  seed: { type: 'string' },
  seeds: { type: 'string', default: '100' },
  first: { type: 'string' },
  jobs: { type: 'string', default: '1' },
  profile: { type: 'string' },
  coverage: { type: 'boolean', default: false },
  trace: { type: 'boolean', default: false },
  shrink: { type: 'boolean', default: false },
  only: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const;

const values = readOptions(OPTIONS, HELP);
const profile = PROFILES.find((name) => name === values.profile);
if (values.profile !== undefined && profile === undefined) {
  refuse(`there is no profile ${values.profile}`, HELP);
}

interface Totals {
  seeds: number;
  failed: number;
  events: number;
  operations: number;
  simulatedHours: number;
  cpuSeconds: number;
}

if (values.only !== undefined && values.seed === undefined) {
  refuse('--only names actions of one seed; give it with --seed', HELP);
}

/** With the profile always: a new one would give seeds that name none another meaning. */
const replay = (plan: Plan, only?: string): string => {
  const seed = `--seed ${plan.seed} --profile ${plan.profile}`;
  return `npm run simulate -- ${seed}${only === undefined ? '' : ` --only ${only}`} --trace`;
};

/** `only`: which of its actions were left. */
const tellFailure = ({ plan, failure }: RunResult, only?: string): void => {
  const { dataReplicas } = plan.cluster;
  console.log(
    `seed ${plan.seed} (${plan.profile}, ${dataReplicas} replicas): ${failure?.message ?? ''}\n` +
      `  again: ${replay(plan, only)}`,
  );
  if (!values.shrink) console.log(`  cut down: ${replay(plan, only)} --shrink`);
};

const chosenPlan = (whole: Plan): Plan => {
  if (values.only === undefined) return whole;
  try {
    return keepOnly(whole, values.only);
  } catch (error) {
    return refuse((error as Error).message, HELP);
  }
};

const runSeeds = async (first: number, count: number, step: number): Promise<Totals> => {
  const total: Totals = {
    seeds: 0,
    failed: 0,
    events: 0,
    operations: 0,
    simulatedHours: 0,
    cpuSeconds: 0,
  };
  let toldMs = performance.now();
  for (let index = 0; index < count; index++) {
    const result = await runPlan(planOf(first + index * step, profile));
    total.seeds++;
    total.events += result.events;
    total.operations += result.acknowledged + result.reads;
    total.simulatedHours += result.simulatedMs / 3_600_000;
    if (result.failure !== null) {
      total.failed++;
      tellFailure(result);
    }
    if (performance.now() - toldMs > TELL_EVERY_MS) {
      toldMs = performance.now();
      console.log(`${total.seeds} of ${count} seeds, ${total.failed} failed`);
    }
  }
  const { user, system } = process.cpuUsage();
  total.cpuSeconds = (user + system) / 1e6;
  return total;
};

const runOne = async (seed: number): Promise<number> => {
  const whole = planOf(seed, profile);
  let plan = chosenPlan(whole);
  let result = await runPlan(plan, values.trace && !values.shrink);
  if (values.shrink && result.failure !== null) {
    plan = await shrink(plan, invariantOf(result.failure), SHRINK_RUNS, (actions) =>
      console.log(`${actions} actions are left`),
    );
    result = await runPlan(plan, true);
    for (const action of plan.actions) console.log(JSON.stringify(action));
  }
  for (const line of result.trace) console.log(line);
  if (result.failure === null) {
    console.log(`seed ${seed}: all invariants held (${result.events} events)`);
    return 0;
  }
  console.log(result.failure.stack ?? result.failure.message);
  tellFailure(result, plan === whole ? undefined : keptOf(whole, plan));
  return 1;
};

const runJobs = async (first: number, seeds: number, jobs: number): Promise<Totals> => {
  const args = values.profile === undefined ? [] : ['--profile', values.profile];
  const parts = Array.from({ length: jobs }, (_, index) => {
    const count = Math.ceil((seeds - index) / jobs);
    const child = fork(import.meta.filename, ['--seeds', String(count), ...args], {
      env: { ...process.env, SIMULATE_PART: `${first + index} ${jobs}` },
    });
    return new Promise<Totals>((resolve, reject) => {
      let total: Totals | null = null;
      child.on('message', (message) => (total = message as Totals));
      child.on('exit', (code) => {
        if (total !== null) resolve(total);
        else reject(new Error(`a job ended with ${code}`));
      });
    });
  });
  const totals = await Promise.all(parts);
  return totals.reduce((sum, part) => {
    for (const key of Object.keys(sum) as (keyof Totals)[]) sum[key] += part[key];
    return sum;
  });
};

const main = async (): Promise<number> => {
  if (values.coverage) {
    return runCovered(process.argv.slice(2).filter((arg) => arg !== '--coverage'));
  }
  if (values.seed !== undefined) return runOne(Number(values.seed));
  const part = process.env['SIMULATE_PART']?.split(' ').map(Number);
  const seeds = Number(values.seeds);
  if (part !== undefined) {
    process.send?.(await runSeeds(part[0] ?? 1, seeds, part[1] ?? 1));
    return 0;
  }
  const first = Number(values.first ?? Math.floor(Date.now() / 1000) % 1_000_000_000);
  const startMs = performance.now();
  const jobs = Number(values.jobs);
  const total = jobs > 1 ? await runJobs(first, seeds, jobs) : await runSeeds(first, seeds, 1);
  const seconds = (performance.now() - startMs) / 1000;
  console.log(
    `${total.seeds} seeds from ${first} on, ${total.failed} failed; ${total.operations} operations, ` +
      `${total.events} events, ${total.simulatedHours.toFixed(1)} simulated hours in ` +
      `${seconds.toFixed(0)} s; ${(total.seeds / total.cpuSeconds).toFixed(1)} seeds per second and core`,
  );
  return total.failed > 0 ? 1 : 0;
};

process.exit(await main());
