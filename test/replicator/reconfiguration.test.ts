/**
 * Goal: replicas are added, replaced, removed and emptied while a volume serves, and nothing that
 * was acknowledged is lost or read stale.
 * Method: one volume of the simulator, one change at a time, under a load that is checked. The
 * profile `members` of the simulator does the same by chance, and whoever likes dies in the middle.
 */
import { expect } from 'chai';
import { ChangeRefused } from '../../target/src/replicator/roster.ts';
import type { ReplicaMachine } from '../simulator/machine.ts';
import { Load } from './load.ts';
import { onStage } from './stage.ts';

describe('changing the replicas of a volume that serves', () => {
  it(
    'adds one: it gets all data before a record names it',
    onStage({ dataReplicas: 2 }, (stage) => {
      const load = new Load(stage);
      load.write(30);
      stage.add();
      stage.declare(stage.replicas);
      load.untilVoters(stage.replicas);
      load.verify();
    }),
  );

  it(
    'goes from one copy to three, and back to one that was added',
    onStage({ dataReplicas: 1 }, (stage) => {
      const load = new Load(stage);
      const added = [stage.add(), stage.add()];
      stage.declare(stage.replicas);
      load.untilVoters(stage.replicas);
      stage.declare(added);
      load.untilVoters(added);
      stage.declare(added.slice(1));
      load.untilVoters(added.slice(1));
      stage.replica(0).kill();
      load.verify();
    }),
  );

  it(
    'replaces a lost one',
    onStage({}, (stage) => {
      const load = new Load(stage);
      stage.replica(1).kill();
      const kept = [stage.replica(0), stage.replica(2), stage.add()];
      stage.declare(kept);
      load.untilVoters(kept);
      load.verify();
    }),
  );

  it(
    'replaces a lost one also when the target has never met it',
    onStage({}, (stage) => {
      const load = new Load(stage);
      load.write(30);
      stage.replica(1).kill();
      stage.target.kill();
      const kept = [stage.replica(0), stage.replica(2), stage.add()];
      stage.startTarget(kept);
      stage.declare(kept);
      load.untilVoters(kept);
      load.verify();
    }),
  );

  it(
    'lets a witness come when copies become two, and go when they become three',
    onStage({}, (stage) => {
      const load = new Load(stage);
      const witness = stage.add('witness');
      const two = [stage.replica(0), stage.replica(1), witness];
      stage.declare(two);
      load.untilVoters(two);
      // One of two copies dies: with the witness the volume goes on.
      stage.replica(0).kill();
      load.write(5);
      stage.start(stage.replica(0));
      const three = [stage.replica(0), stage.replica(1), stage.add()];
      stage.declare(three);
      load.untilVoters(three);
      load.verify();
    }),
  );

  it(
    'keeps reservations and settings when every voter that had them has left',
    onStage({ dataReplicas: 2 }, (stage) => {
      const load = new Load(stage);
      stage.settled(stage.target.replicator.writeDocument('settings', Buffer.from('kept')));
      const next = [stage.add(), stage.add(), stage.add()];
      stage.declare(stage.replicas);
      load.untilVoters(stage.replicas);
      stage.declare(next);
      load.untilVoters(next);
      stage.target.kill();
      stage.startTarget(next);
      stage.untilHealthy();
      const content = stage.settled(stage.target.replicator.readDocument('settings'));
      expect(Buffer.from(content!).toString()).to.equal('kept');
    }),
  );

  it(
    'takes an emptied replica for a stranger: it leaves the voters, is filled, and comes back',
    onStage({}, (stage) => {
      const load = new Load(stage);
      load.write(20);
      const voters = new Set<number | undefined>();
      stage.replica(2).empty();
      stage.until(() => {
        voters.add(stage.target.replicator.assembly.record?.voters.length);
        return voters.has(2);
      });
      expect([...voters]).to.deep.equal([3, 2]);
      load.untilVoters(stage.replicas);
      load.verify();
    }),
  );

  it(
    'goes on with a copy that was lost just before the other one was emptied',
    onStage({ dataReplicas: 2, witness: true }, (stage) => {
      const load = new Load(stage);
      const [first, second, witness] = [stage.replica(0), stage.replica(1), stage.replica(2)];
      load.write(20);
      first.kill();
      // A record without the first is at the witness, and not at the second yet.
      const named = ({ store }: ReplicaMachine): number | undefined =>
        store?.state().record?.inSync.length;
      load.writeUntil(() => named(witness) === 1 && named(second) === 2);
      second.empty();
      stage.start(first);
      load.untilVoters(stage.replicas);
      load.verify();
    }),
  );

  it(
    'admits no stranger and removes nobody before somebody has declared the list',
    onStage({ graceMs: 100 }, (stage) => {
      const stranger = stage.add();
      stage.target.kill();
      stage.startTarget([stage.replica(0), stage.replica(1), stranger]);
      stage.runFor(20_000);
      const { record, members } = stage.target.replicator.assembly;
      expect(record?.voters).to.have.length(3).and.not.to.include(stranger.id);
      expect(members[2]?.lastError).to.contain('not a member');
    }),
  );

  it(
    'refuses to go on with strangers only, and with less than a majority',
    onStage({}, (stage) => {
      const load = new Load(stage);
      const stranger = stage.add();
      const [first, second, third] = [stage.replica(0), stage.replica(1), stage.replica(2)];
      const strangers = (): void => stage.declare([stranger]);
      expect(strangers).to.throw(ChangeRefused, 'add the new ones first');
      third.kill();
      stage.runFor(2_000);
      const withLost = (): void => stage.declare([first, third]);
      expect(withLost).to.throw(ChangeRefused, 'must be connected');
      stage.declare([first, second]);
      load.untilVoters([first, second]);
    }),
  );
});
