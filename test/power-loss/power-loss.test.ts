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
import { expect } from 'chai';
import { sideBySide } from '../crash/side-by-side.ts';
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
  const campaigns = sideBySide(this, {
    begin: (directory, side) => new PowerCampaign({ directory, seed: SEED + side }),
    rounds: ROUNDS,
    batch: BATCH,
    promise: 'lose nothing that was promised',
    choose: (campaign, round) => FIRST[round - 1] ?? campaign.randomOutage(),
    describeBlow: describeOutage,
  });

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
