/**
 * Goal: a member that comes back gets the layers that it lacks from a copy that knows what they
 * hold. Method: a replica is emptied, and rot is planted behind the backs of the others.
 */
import { expect } from 'chai';
import { PAGE_LAYOUT } from '../../replica/src/store/extent-page.ts';
import { BLOCK, MIB, onStage, type Stage } from './stage.ts';

const AT = '2026-01-01T00:00:00.000Z';
/** What the second layer does is hide a block of the first one. */
const LAYER = 2;

const hideWhatIsWritten = (stage: Stage): void => {
  const { layers } = stage.target.replicator.assembly;
  stage.io('write', BLOCK, Buffer.alloc(BLOCK, 7));
  stage.settled(layers.snapshot('first', AT));
  stage.io('unmap', BLOCK);
  stage.settled(layers.snapshot('second', AT));
  stage.runFor(60_000);
};

const rotPage = (stage: Stage, index: number): void =>
  stage.rot(stage.replica(index), PAGE_LAYOUT.hidden.offset, '000002.meta');

const empty = (stage: Stage, index: number): void => {
  stage.replica(index).empty();
  stage.until(() => !stage.target.healthy);
};

const holdings = (stage: Stage, index: number): string => {
  const { store } = stage.replica(index);
  return Buffer.from(store!.layerAllocation(LAYER, 0, 4 * MIB)).toString('hex');
};

describe('the layers of a member that comes back', () => {
  for (const rotten of [0, 1]) {
    it(
      `are copied from another one where replica ${rotten} does not know what it holds`,
      onStage({}, (stage) => {
        hideWhatIsWritten(stage);
        const good = holdings(stage, 2);
        expect(good, 'something is hidden').to.match(/[^0]/);
        rotPage(stage, rotten);
        empty(stage, 2);
        stage.untilHealthy();
        expect(holdings(stage, 2)).to.equal(good);
      }),
    );
  }

  it(
    'are not made up where nobody knows them: it stays away',
    onStage({}, (stage) => {
      hideWhatIsWritten(stage);
      rotPage(stage, 0);
      rotPage(stage, 1);
      empty(stage, 2);
      stage.runFor(60_000);
      expect(stage.target.healthy).to.equal(false);
      expect(stage.log).to.match(/checksums of extent 0 of layer 2 are damaged/);
    }),
  );
});
