/**
 * Plants each bug of mutants.ts in turn and counts the seeds until the simulator finds it:
 *
 *     npm run mutants -- [--seeds 600] [--jobs 2] [--only TEXT]
 */
import { fork } from 'node:child_process';
import { parseArgs } from 'node:util';
import type { Mutant } from './mutants.ts';
import { MUTANTS } from './mutants.ts';

interface Found {
  readonly seeds: number;
  /** Null: not found. */
  readonly message: string | null;
}

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '600' },
    jobs: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
  },
});

const HOOK = new URL('mutant-hook.ts', import.meta.url).href;
const RUNNER = new URL('mutant-runner.ts', import.meta.url).pathname;

const hunt = (mutant: Mutant): Promise<Found> =>
  new Promise((resolve) => {
    const child = fork(RUNNER, [values.seeds], {
      execArgv: ['--import', HOOK],
      env: { ...process.env, MUTANT: mutant.name },
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    let found: Found = { seeds: 0, message: 'the process ended' };
    child.on('message', (message) => (found = message as Found));
    child.on('exit', () => resolve(found));
  });

const queue = MUTANTS.filter(({ name }) => name.includes(values.only));
const missed: string[] = [];
const work = async (): Promise<void> => {
  for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
    const { seeds, message } = await hunt(mutant);
    if (message === null) missed.push(mutant.name);
    const result = message === null ? `not in ${seeds} seeds` : `${seeds} seeds`;
    const how = message === null ? '' : (/^[A-Za-z0-9]+/.exec(message)?.[0] ?? '');
    console.log(`| ${mutant.name} | ${mutant.invariant} | ${result} | ${how} |`);
  }
};
await Promise.all(Array.from({ length: Number(values.jobs) }, work));
for (const name of missed) console.log(`not found: ${name}`);
process.exit(missed.length === 0 ? 0 : 1);
