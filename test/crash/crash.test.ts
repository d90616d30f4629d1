/**
 * Goal: nothing that was acknowledged is lost, and nothing stale, torn or of a third value is ever
 * read, whatever process dies at whatever moment.
 *
 * Method: volumes of one target and three replica processes (or two and a witness) under a load of
 * overlapping reads, writes and unmaps whose every answer is checked (register-checker.ts). In each
 * round processes are killed (or stopped in order) at a random moment and started again in any
 * order, some of them while they are being resynchronised; when all replicas are in sync again the
 * whole volume is read and checked, and the replicas' image files are compared byte by byte. Where
 * snapshots are made, deleted and gone back to meanwhile, a scrub compares the replicas. The seed
 * is printed; `npm run crash -- --seed N` repeats it, as far as the machine's timing lets it,
 * and `--rounds 10000` goes on for long.
 */
import { randomInt } from 'node:crypto';
import { describeBlow, everyKindOfBlow } from './blow.ts';
import { CrashCampaign } from './campaign.ts';
import { sideBySide } from './side-by-side.ts';

const SEED = Number(process.env['CRASH_SEED'] ?? randomInt(2 ** 32));
const BATCH = 25;

const SHAPES = [
  { name: 'three replicas', shape: { replicas: 3, witnesses: 0 }, rounds: 175 },
  {
    name: 'three replicas and snapshots',
    shape: { replicas: 3, witnesses: 0 },
    rounds: 50,
    snapshots: true,
  },
  { name: 'two replicas and a witness', shape: { replicas: 2, witnesses: 1 }, rounds: 75 },
];

for (const { name, shape, rounds, snapshots = false } of SHAPES) {
  describe(`volumes with ${name} under load, seed ${SEED}`, function () {
    const kinds = everyKindOfBlow(shape);
    sideBySide(this, {
      begin: (directory, side) =>
        new CrashCampaign({ directory, seed: SEED + side, shape, snapshots }),
      rounds,
      batch: BATCH,
      promise: 'lose nothing',
      choose: (campaign, round) => kinds[round - 1] ?? campaign.randomBlow(),
      describeBlow,
    });
  });
}
