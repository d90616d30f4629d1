/**
 * Goal: the blocks of an atomic write are all old or all new, whichever replicas are left of an
 * activation that was cut short, and atomic writes go one after the other.
 * Method: one of three replicas has the write when the target dies; the next target is killed with
 * that replica after the nth event of its activation, for every n; what is left has to be whole.
 */
import { expect } from 'chai';
import type { ReplicaMachine } from '../simulator/machine.ts';
import { BLOCK, MIB, onStage, type Answer, type Stage } from './stage.ts';

/** Over the edge of two extents. */
const OFFSET = MIB - 3 * BLOCK;
const BLOCKS = 6;
/** From one cut to the next, which the three replicas spread evenly. Events. */
const STEP = 5;

const contentOf = (value: number): Buffer => {
  const content = Buffer.alloc(BLOCKS * BLOCK, value);
  // The same in all: so that what differs is no single run that would be copied in one piece.
  content.fill(0xee, BLOCK, 2 * BLOCK);
  content.fill(0xee, 4 * BLOCK, 5 * BLOCK);
  return content;
};

const holds = (stage: Stage, replica: ReplicaMachine, value: number): boolean =>
  stage.image(replica, OFFSET, BLOCKS * BLOCK).equals(contentOf(value));

type Outcome = 'old' | 'new' | 'over';

const cutShort = (stage: Stage, first: number, events: number): Outcome => {
  const { world, target, cluster } = stage;
  const [holder, other, absent] = [0, 1, 2].map((index) => stage.replica((first + index) % 3));
  stage.io('write', OFFSET, contentOf(1));
  for (const { host } of [other!, absent!]) cluster.network.block(target.host, host);
  stage.submit('write-atomic', OFFSET, contentOf(2));
  stage.until(() => holds(stage, holder!, 2));
  target.kill();
  absent!.kill();
  const next = stage.startTarget();
  for (let left = events; left > 0 && !next.replicator.isOpen; left--) world.step();
  if (next.replicator.isOpen) return 'over';
  next.kill();
  stage.runFor(20);
  holder!.kill();
  stage.start(absent!);
  const last = stage.startTarget();
  // Where the record names the holder only, everything waits for it.
  if (!world.runUntil(() => last.replicator.isOpen, 5_000)) stage.start(holder!);
  stage.until(() => last.replicator.isOpen);
  const { error, data } = stage.io('read', OFFSET, contentOf(0));
  const found = data[0]!;
  const when = `first ${first}, after ${events} events`;
  expect(error, when).to.equal(null);
  expect(data.equals(contentOf(found)), when).to.equal(true);
  expect(holds(stage, other!, 1) || holds(stage, other!, 2), when).to.equal(true);
  return found === 2 ? 'new' : 'old';
};

describe('an atomic write', () => {
  it('is whole on whoever is left when an activation that spreads it or takes it back is cut short', async () => {
    const seen = new Set<Outcome>();
    for (const first of [0, 1, 2]) {
      const outcomes: Outcome[] = [];
      for (let events = 8 + first; outcomes.at(-1) !== 'over'; events += STEP) {
        await onStage({ graceMs: 0 }, (stage) => {
          outcomes.push(cutShort(stage, first, events));
        })();
      }
      for (const outcome of outcomes) seen.add(outcome);
    }
    expect([...seen]).to.have.members(['old', 'new', 'over']);
  }).timeout(60_000);

  it(
    'waits for the one before it, and is answered after it',
    onStage({}, (stage) => {
      const indexes = [0, 1, 2, 3, 4];
      const answers = indexes.map((index) => {
        const content = Buffer.alloc(BLOCK, index + 1);
        const answer = stage.submit('write-atomic', index * BLOCK, content);
        expect(stage.target.replicator.stream.pendingOperations).to.equal(1);
        return answer;
      });
      const answered = (): boolean[] => answers.map(({ done }) => done);
      stage.until(() => {
        const count = answered().filter((done) => done).length;
        expect(answered(), 'in their order').to.deep.equal(indexes.map((index) => index < count));
        return count === 5;
      });
      expect(answers.every(({ error }) => error === null)).to.equal(true);
      for (const replica of stage.replicas) {
        const image = stage.image(replica);
        expect(indexes.map((index) => image[index * BLOCK + 7])).to.deep.equal([1, 2, 3, 4, 5]);
      }
    }),
  );

  const killMajority = (stage: Stage): Answer[] => {
    const answers = [0, 1, 2].map((index) =>
      stage.submit('write-atomic', index * BLOCK, Buffer.alloc(BLOCK, index + 1)),
    );
    stage.replica(0).kill();
    stage.replica(1).kill();
    stage.runFor(3_000);
    return answers;
  };

  const expectToGoOn = (stage: Stage): void => {
    stage.start(stage.replica(0), stage.replica(1));
    stage.untilHealthy();
    expect(stage.io('write-atomic', OFFSET, contentOf(9)).error).to.equal(null);
    expect(stage.io('read', OFFSET, contentOf(0)).data.equals(contentOf(9))).to.equal(true);
  };

  it(
    'that waits for its turn is answered when the volume is given up',
    onStage({ holdMs: 1_000 }, (stage) => {
      const answers = killMajority(stage);
      for (const { error } of answers) expect(error?.code).to.equal('NOT_READY');
      expectToGoOn(stage);
    }),
  );

  it(
    'that waits for its turn is done when the volume goes on',
    onStage({ holdMs: 30_000 }, (stage) => {
      const answers = killMajority(stage);
      expect(answers.some(({ done }) => done)).to.equal(false);
      expectToGoOn(stage);
      for (const { done, error } of answers) expect([done, error]).to.deep.equal([true, null]);
    }),
  );
});
