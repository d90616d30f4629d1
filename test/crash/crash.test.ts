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
import { mkdirSync } from 'node:fs';
import { temporaryDirectory } from '../support/daemons.ts';
import { describeBlow, everyKindOfBlow } from './blow.ts';
import { CrashCampaign } from './campaign.ts';

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
    this.timeout(180_000);
    // What follows a violation says nothing.
    this.bail(true);
    const directory = temporaryDirectory();
    const kinds = everyKindOfBlow(shape);
    // Two side by side: one's waiting is the other's working time.
    const campaigns = [0, 1].map((side) => {
      const own = `${directory.path}/${side}`;
      mkdirSync(own);
      return new CrashCampaign({ directory: own, seed: SEED + side, shape, snapshots });
    });

    before(() => Promise.all(campaigns.map((campaign) => campaign.start())));
    after(async () => {
      await Promise.all(campaigns.map((campaign) => campaign.stop()));
      directory.remove();
    });

    const strike = async (campaign: CrashCampaign, round: number): Promise<void> => {
      const chosen = kinds[round - 1] ?? campaign.randomBlow();
      try {
        await campaign.round(chosen);
      } catch (error) {
        console.log(campaign.lastWords());
        const { message } = error as Error;
        throw new Error(`round ${round}, ${describeBlow(chosen)}: ${message}`, { cause: error });
      }
    };

    for (let first = 1; first <= rounds; first += BATCH) {
      const last = Math.min(rounds, first + BATCH - 1);
      it(`lose nothing in rounds ${first} to ${last}`, async () => {
        let next = first;
        const side = async (campaign: CrashCampaign): Promise<void> => {
          while (next <= last) await strike(campaign, next++);
        };
        await Promise.all(campaigns.map(side));
      });
    }
  });
}
