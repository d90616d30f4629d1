/**
 * Goal: nothing that was acknowledged is lost, and nothing stale, torn or of a third value is ever
 * read, whatever process dies at whatever moment.
 *
 * Method: a volume of one target and three replica processes under a load of overlapping reads,
 * writes and unmaps whose every answer is checked (register-checker.ts). In each round processes
 * are killed (or stopped in order) at a random moment and started again; when all replicas are in
 * sync again the whole volume is read and checked, and the replicas' image files are compared byte
 * by byte. The seed is printed; `node test/crash/main.ts --seed N` repeats it, as far as the
 * machine's timing lets it, and `--rounds 10000` goes on for long.
 */
import { randomInt } from 'node:crypto';
import { temporaryDirectory } from '../support/daemons.ts';
import type { Blow } from './campaign.ts';
import { CrashCampaign, describeBlow } from './campaign.ts';

const ROUNDS = 50;
const SEED = Number(process.env['CRASH_SEED'] ?? randomInt(2 ** 32));

/** Each kind at least once, whatever the seed; then as the seed says. */
const FIRST: readonly Blow[] = [
  { signal: 'SIGKILL', target: true, replicas: [] },
  { signal: 'SIGKILL', target: false, replicas: [0] },
  { signal: 'SIGKILL', target: false, replicas: [1] },
  { signal: 'SIGKILL', target: false, replicas: [2] },
  { signal: 'SIGKILL', target: true, replicas: [0, 1, 2] },
  { signal: 'SIGTERM', target: true, replicas: [] },
  { signal: 'SIGTERM', target: false, replicas: [1] },
  { signal: 'SIGTERM', target: true, replicas: [0, 1, 2] },
];

describe(`a volume with three replicas under load, seed ${SEED}`, function () {
  this.timeout(60_000);
  const directory = temporaryDirectory();
  const campaign = new CrashCampaign({ directory: directory.path, seed: SEED });

  before(() => campaign.start());
  after(async () => {
    await campaign.stop();
    directory.remove();
  });
  // What follows a violation says nothing.
  afterEach(function () {
    if (this.currentTest?.state === 'failed') this.test?.parent?.bail(true);
  });

  for (let round = 0; round < ROUNDS; round++) {
    const blow = FIRST[round] ?? campaign.randomBlow();
    it(`loses nothing in round ${round + 1}: ${describeBlow(blow)}`, () => campaign.round(blow));
  }
});
