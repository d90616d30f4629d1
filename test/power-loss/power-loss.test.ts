/**
 * Goal: what was flushed survives the loss of power of every machine; what was answered survives
 * the loss of any machines while that of another in-sync replica stays up; and afterwards all
 * replicas are the same.
 *
 * Method: each replica process runs on a layer (../machine) that knows what was written and not
 * synchronised. When its machine loses power the process is killed, and of that any choice of
 * sectors is put back to what they held at any time since. All under the checking load of ../crash;
 * where all machines lose power at once, a second checker knows what the flushes promised.
 */
import { randomInt } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { expect } from 'chai';
import { temporaryDirectory } from '../support/daemons.ts';
import { describeOutage, type Outage, PowerCampaign } from './campaign.ts';

const SEED = Number(process.env['CRASH_SEED'] ?? randomInt(2 ** 32));
const ROUNDS = 50;
const BATCH = 10;

/** Each kind at least once, whatever the seed. */
const FIRST: readonly Outage[] = [
  { powerless: [0], killed: [], target: false },
  { powerless: [1, 2], killed: [], target: false },
  { powerless: [0, 1], killed: [2], target: true },
  { powerless: [0, 1, 2], killed: [], target: true },
  { powerless: [0, 1, 2], killed: [], target: false },
  { powerless: [2], killed: [0, 1], target: true },
];

describe(`volumes whose machines lose their power under load, seed ${SEED}`, function () {
  this.timeout(180_000);
  // What follows a violation says nothing.
  this.bail(true);
  const directory = temporaryDirectory();
  // Two side by side: one's waiting is the other's working time.
  const campaigns = [0, 1].map((side) => {
    const own = `${directory.path}/${side}`;
    mkdirSync(own);
    return new PowerCampaign({ directory: own, seed: SEED + side });
  });

  before(() => Promise.all(campaigns.map((campaign) => campaign.start())));
  after(async () => {
    await Promise.all(campaigns.map((campaign) => campaign.stop()));
    directory.remove();
  });

  const strike = async (campaign: PowerCampaign, round: number): Promise<void> => {
    const outage = FIRST[round - 1] ?? campaign.randomOutage();
    try {
      await campaign.round(outage);
    } catch (error) {
      console.log(campaign.lastWords());
      const { message } = error as Error;
      throw new Error(`round ${round}, ${describeOutage(outage)}: ${message}`, { cause: error });
    }
  };

  for (let first = 1; first <= ROUNDS; first += BATCH) {
    const last = first + BATCH - 1;
    it(`lose nothing that was promised in rounds ${first} to ${last}`, async () => {
      let next = first;
      const side = async (campaign: PowerCampaign): Promise<void> => {
        while (next <= last) await strike(campaign, next++);
      };
      await Promise.all(campaigns.map(side));
    });
  }

  it('did lose writes that were not flushed', () => {
    const lost = campaigns.reduce((sum, campaign) => sum + campaign.lostSectors, 0);
    const changed = campaigns.reduce((sum, campaign) => sum + campaign.total.changed, 0);
    const durable = campaigns.reduce((sum, campaign) => sum + campaign.total.durable, 0);
    console.log(`      ${lost} sectors were put back; ${durable} of ${changed} had to be there`);
    expect(lost).to.be.above(0);
    expect(durable).to.be.above(0);
    expect(changed).to.be.above(durable);
  });
});
