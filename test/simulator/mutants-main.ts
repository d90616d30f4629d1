import { readOptions } from '../support/options.ts';
import { hunt } from './hunt.ts';
import type { Mutant } from './mutant.ts';
import { MUTANTS } from './mutants.ts';

const HELP = `npm run mutants -- [options]

Plants each bug in turn in a process of its own, and runs seeds of the profile that aims at it
until the simulator finds it. Prints a line of a table for each; fails when one is not found.

  --seeds N      give up a bug after N seeds (default 1000)
  --failures N   go on until N seeds have failed, to see as what (default 3)
  --first N      the first seed (default 1)
  --jobs N       processes at a time (default 1)
  --only TEXT    only bugs whose name contains the text
  --help         this text
`;

const OPTIONS = {
  seeds: { type: 'string', default: '1000' },
  failures: { type: 'string', default: '3' },
  first: { type: 'string', default: '1' },
  jobs: { type: 'string', default: '1' },
  only: { type: 'string', default: '' },
  help: { type: 'boolean', default: false },
} as const;

const values = readOptions(OPTIONS, HELP);
const queue = MUTANTS.filter(({ name }) => name.includes(values.only));
const missed: string[] = [];

const tell = async (mutant: Mutant): Promise<void> => {
  const { name, invariant, profile } = mutant;
  const { seed, seeds, failures } = await hunt(mutant, {
    first: Number(values.first),
    seeds: Number(values.seeds),
    failures: Number(values.failures),
  });
  if (seed === null) missed.push(name);
  const kinds = Object.entries(failures)
    .sort(([, a], [, b]) => b - a)
    .map(([kind, count]) => (count > 1 ? `${kind} ${count}x` : kind));
  const result = seed === null ? `not in ${seeds}` : String(seeds);
  console.log(`| ${name} | ${invariant} | ${profile} | ${result} | ${kinds.join(', ')} |`);
};

const work = async (): Promise<void> => {
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) await tell(next);
};

console.log('| bug | breaks | profile | seeds until found | as |\n| --- | --- | --- | --- | --- |');
await Promise.all(Array.from({ length: Number(values.jobs) }, work));
for (const name of missed) console.log(`not found: ${name}`);
process.exit(missed.length === 0 ? 0 : 1);
