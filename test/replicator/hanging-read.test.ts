/**
 * Goal: a disk that loses one single read holds nobody up for longer than one that stands still.
 * Method: a store that never answers one read, and many others meanwhile.
 */
import { expect } from 'chai';
import { BLOCK, onStage, type Answer } from './stage.ts';

describe('a single read that hangs', () => {
  it(
    'is answered elsewhere though others of that replica are answered',
    onStage({}, (stage) => {
      const good = Buffer.alloc(BLOCK, 0x5a);
      stage.io('write', 0, good);
      const store = stage.replica(1).store!;
      const readOthers = store.read.bind(store);
      store.read = () => {
        store.read = readOthers;
      };
      const answers: Answer[] = [];
      // Enough of them that each replica answers some every second.
      for (let second = 0; second < 15; second += 0.2) {
        for (let count = 0; count < 64; count++) answers.push(stage.submit('read'));
        stage.runFor(200);
      }
      stage.until(() => answers.every(({ done }) => done), 1_000);
      expect(answers.every(({ error, data }) => error === null && data.equals(good))).to.equal(
        true,
      );
      expect(Math.max(...answers.map(({ tookMs }) => tookMs))).to.be.within(9_000, 12_000);
      expect(stage.log).to.include('has not answered a read for 10 s');
      stage.untilHealthy();
    }),
  );
});
