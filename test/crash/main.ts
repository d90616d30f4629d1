/**
 * The crash test for as long as one likes:
 *
 *     node test/crash/main.ts --rounds 10000 --seed 7 --dir /var/tmp
 *
 * With --witness the volume has two copies of its data and a witness instead of three copies. With
 * --minutes it ends after that time, however many rounds that were.
 */
import { randomInt } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { describeBlow } from './blow.ts';
import { CrashCampaign } from './campaign.ts';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '1000' },
    minutes: { type: 'string', default: 'Infinity' },
    seed: { type: 'string', default: String(randomInt(2 ** 32)) },
    dir: { type: 'string', default: tmpdir() },
    witness: { type: 'boolean', default: false },
  },
});

const directory = mkdtempSync(join(options.dir, 'oecrash-'));
const campaign = new CrashCampaign({
  directory,
  seed: Number(options.seed),
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
