import { mkdirSync } from 'node:fs';
import { temporaryDirectory } from '../support/daemons.ts';
import type { LoadedVolume } from './loaded-volume.ts';

interface Campaign<Blow> extends LoadedVolume {
  /** Rejects with what was lost, stale, torn or different. */
  round(blow: Blow): Promise<void>;
}

export interface SideBySideOptions<Blow, C extends Campaign<Blow>> {
  readonly begin: (directory: string, side: number) => C;
  readonly rounds: number;
  /** Rounds that make a test. */
  readonly batch: number;
  /** What each round keeps: the names of the tests begin so. */
  readonly promise: string;
  /** Counted from 1. */
  readonly choose: (campaign: C, round: number) => Blow;
  readonly describeBlow: (blow: Blow) => string;
}

/**
 * In a describe(): the tests of two campaigns side by side, because one's waiting is the other's
 * working time. They start before the first test and stop after the last.
 */
export const sideBySide = <Blow, C extends Campaign<Blow>>(
  suite: Mocha.Suite,
  { begin, rounds, batch, promise, choose, describeBlow }: SideBySideOptions<Blow, C>,
): readonly C[] => {
  suite.timeout(180_000);
  // What follows a violation says nothing.
  suite.bail(true);
  const directory = temporaryDirectory();
  const campaigns = [0, 1].map((side) => {
    const own = `${directory.path}/${side}`;
    mkdirSync(own);
    return begin(own, side);
  });

  before(() => Promise.all(campaigns.map((campaign) => campaign.start())));
  after(async () => {
    await Promise.all(campaigns.map((campaign) => campaign.stop()));
    directory.remove();
  });

  const strike = async (campaign: C, round: number): Promise<void> => {
    const chosen = choose(campaign, round);
    try {
      await campaign.round(chosen);
    } catch (error) {
      console.log(campaign.lastWords());
      const { message } = error as Error;
      throw new Error(`round ${round}, ${describeBlow(chosen)}: ${message}`, { cause: error });
    }
  };

  for (let first = 1; first <= rounds; first += batch) {
    const last = Math.min(rounds, first + batch - 1);
    it(`${promise} in rounds ${first} to ${last}`, async () => {
      let next = first;
      const side = async (campaign: C): Promise<void> => {
        while (next <= last) await strike(campaign, next++);
      };
      await Promise.all(campaigns.map(side));
    });
  }
  return campaigns;
};
