import { randomInt } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readOptions } from '../support/options.ts';
import { describeBlow } from './blow.ts';
import { CrashCampaign } from './campaign.ts';

const HELP = `npm run crash -- [options]

The crash test for as long as one likes: real processes, killed at random moments in random order
under a load that checks every answer. Ends with 1 at the first thing that is lost, stale, torn or
different, and keeps the directory then.

  --rounds N   so many blows (default 1000)
  --minutes N  or until that time is over, whichever comes first
  --seed N     the same blows again (default: a new number, which is printed)
  --dir PATH   where the replicas are kept (default ${tmpdir()})
  --snapshots  snapshots are made, deleted and gone back to meanwhile
  --witness    two copies of the data and a witness instead of three copies
  --help       this text
`;

const OPTIONS = {
  rounds: { type: 'string', default: '1000' },
  minutes: { type: 'string', default: 'Infinity' },
  seed: { type: 'string', default: String(randomInt(2 ** 32)) },
  dir: { type: 'string', default: tmpdir() },
  snapshots: { type: 'boolean', default: false },
  witness: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

const options = readOptions(OPTIONS, HELP);
const directory = mkdtempSync(join(options.dir, 'oecrash-'));
const campaign = new CrashCampaign({
  directory,
  seed: Number(options.seed),
  snapshots: options.snapshots,
  ...(options.witness ? { shape: { replicas: 2, witnesses: 1 } } : {}),
});
const startedMs = performance.now();
const endMs = startedMs + Number(options.minutes) * 60_000;
// Daemons end with this process, and only an exit tells them.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => process.exit(1));
}
console.log(`seed ${options.seed}, directory ${directory}`);
await campaign.start();
let round = 0;
while (round < Number(options.rounds) && performance.now() < endMs) {
  round++;
  const blow = campaign.randomBlow();
  const began = performance.now();
  try {
    await campaign.round(blow);
  } catch (error) {
    console.error(`round ${round}, ${describeBlow(blow)}; ${directory} is kept:`, error);
    console.error(campaign.lastWords());
    process.exit(1);
  }
  const { answered, unanswered, refused } = campaign.load;
  console.log(
    `round ${round}: ${describeBlow(blow)}, ${(performance.now() - began).toFixed(0)} ms; ` +
      `so far ${answered} answered, ${unanswered} unanswered, ${refused} refused`,
  );
}
await campaign.stop();
rmSync(directory, { recursive: true, force: true });
const minutes = ((performance.now() - startedMs) / 60_000).toFixed(1);
console.log(`${round} rounds in ${minutes} minutes, nothing lost, stale, torn or different`);
