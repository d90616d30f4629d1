import { randomInt } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readOptions, refuse } from '../support/options.ts';
import { type Kind, KINDS, LongRun } from './long-run.ts';

const HELP = `npm run crash -- [options]

The crash test for as long as one likes: real processes, killed at random moments in random order
under a load that checks every answer. Ends with 1 at the first thing that is lost, stale, torn or
different, and keeps the directory then.

  --rounds N   so many blows (default 1000)
  --minutes N  or until that time is over, whichever comes first
  --volumes N  at once: one's waiting is the others' working time (default 4)
  --seed N     the same blows again (default: a new number, which is printed)
  --dir PATH   where the replicas are kept (default ${tmpdir()})
  --snapshots  snapshots are made, deleted and gone back to meanwhile
  --witness    two copies of the data and a witness instead of three copies
  --mixed      all kinds of volumes, in the shares that they have in npm test
  --every N    a line after so many rounds (default 100)
  --out FILE   a summary in JSON, kept up to date; where there is one, the run goes on from there
  --help       this text
`;

const OPTIONS = {
  rounds: { type: 'string', default: '1000' },
  minutes: { type: 'string', default: 'Infinity' },
  volumes: { type: 'string', default: '4' },
  seed: { type: 'string', default: String(randomInt(2 ** 32)) },
  dir: { type: 'string', default: tmpdir() },
  snapshots: { type: 'boolean', default: false },
  witness: { type: 'boolean', default: false },
  mixed: { type: 'boolean', default: false },
  every: { type: 'string', default: '100' },
  out: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const;

const options = readOptions(OPTIONS, HELP);

/** At least one; the process ends where it is none. */
function count(name: 'rounds' | 'volumes' | 'every'): number {
  const value = Number(options[name]);
  if (Number.isInteger(value) && value > 0) return value;
  return refuse(`--${name} takes a whole number above 0, not "${options[name]}"`, HELP);
}

function kind(): Kind | null {
  const { mixed, snapshots, witness } = options;
  if ([mixed, snapshots, witness].filter(Boolean).length > 1) {
    refuse('--mixed, --snapshots and --witness exclude each other: give one of them', HELP);
  }
  if (mixed) return null;
  if (snapshots) return KINDS.snapshots;
  return witness ? KINDS.witness : KINDS.replicas;
}

// Daemons end with this process, and only an exit tells them.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => process.exit(1));
}
/** The process ends where the summary is of another run. */
function longRun(): LongRun {
  const settings = {
    kind: kind(),
    rounds: count('rounds'),
    volumes: count('volumes'),
    every: count('every'),
    seed: Number(options.seed),
    endMs: performance.now() + Number(options.minutes) * 60_000,
    out: options.out ?? null,
    say: (line: string) => console.log(line),
  };
  try {
    return new LongRun(settings);
  } catch (error) {
    return refuse((error as Error).message, HELP);
  }
}

const run = longRun();
const directory = mkdtempSync(join(options.dir, 'oecrash-'));
console.log(`seed ${run.seed}, directory ${directory}`);
const isRight = await run.run(directory);
console.log(run.line());
if (!isRight) {
  console.log(`FAILED: something was found, see above; ${directory} is kept`);
  process.exit(1);
}
rmSync(directory, { recursive: true, force: true });
console.log('DONE: nothing lost, stale, torn or different');
