/**
 * The crash test for as long as one likes: node test/crash/main.ts --rounds 10000 --seed 7 --dir
 * /var/tmp
 */
import { randomInt } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { CrashCampaign, describeBlow } from './campaign.ts';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '1000' },
    seed: { type: 'string', default: String(randomInt(2 ** 32)) },
    dir: { type: 'string', default: tmpdir() },
  },
});

const directory = mkdtempSync(join(options.dir, 'oecrash-'));
const campaign = new CrashCampaign({ directory, seed: Number(options.seed) });
console.log(`seed ${options.seed}, directory ${directory}`);
await campaign.start();
for (let round = 1; round <= Number(options.rounds); round++) {
  const blow = campaign.randomBlow();
  const began = performance.now();
  try {
    await campaign.round(blow);
  } catch (error) {
    console.error(`round ${round}, ${describeBlow(blow)}; ${directory} is kept:`, error);
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
