/**
 * Goal: a volume grows while it serves, and all of it or nothing, whoever is away or dies.
 * Method: one volume of the simulator, one thing after the other, under a checking load.
 */
import { expect } from 'chai';
import { ChangeRefused } from '../../target/src/replicator/roster.ts';
import { Load } from './load.ts';
import { BLOCK, MIB, onStage, type Stage } from './stage.ts';

const SIZE = 4 * MIB;

describe('growing a volume that serves', () => {
  /** As the orchestrator does: recorded first, so that whoever starts from now on knows it. */
  const grow = (stage: Stage, bytes = MIB + 8 * BLOCK): void => {
    const { cluster, target } = stage;
    cluster.sizeBytes += bytes;
    stage.settled(target.replicator.assembly.growth.grow(cluster.sizeBytes));
  };

  const expectSize = (stage: Stage, sizeBytes: number): void => {
    expect(stage.target.replicator.sizeBytes).to.equal(sizeBytes);
    for (const { store } of stage.replicas) expect(store!.identity.sizeBytes).to.equal(sizeBytes);
  };

  it(
    'gives room that reads zero, and tells the initiators',
    onStage({}, (stage) => {
      const load = new Load(stage);
      const before = load.blocks;
      const changes: string[] = [];
      stage.target.replicator.onChange((change) => changes.push(change));
      grow(stage);
      expect(changes).to.deep.equal(['size']);
      expect(load.blocks).to.be.greaterThan(before);
      load.verify();
      load.write(60);
      load.verify();
    }),
  );

  it(
    'lets one that was away grow before it takes part again',
    onStage({}, (stage) => {
      const load = new Load(stage);
      stage.replica(2).kill();
      stage.runFor(1_000);
      grow(stage);
      stage.start(stage.replica(2));
      load.untilVoters(stage.replicas);
      expectSize(stage, stage.cluster.sizeBytes);
      load.verify();
    }),
  );

  it(
    'is finished by the target that comes after one that died in the middle',
    onStage({}, (stage) => {
      const load = new Load(stage);
      stage.settled(stage.replica(0).store!.resize(SIZE + MIB));
      stage.cluster.sizeBytes = SIZE + MIB;
      stage.target.kill();
      stage.startTarget();
      load.untilVoters(stage.replicas);
      expectSize(stage, SIZE + MIB);
      load.verify();
    }),
  );

  it(
    'is as large as its replicas, also for a target that was started with an older size',
    onStage({}, (stage) => {
      const load = new Load(stage);
      grow(stage);
      const grown = stage.cluster.sizeBytes;
      stage.target.kill();
      stage.cluster.sizeBytes = SIZE;
      stage.startTarget();
      stage.cluster.sizeBytes = grown;
      load.untilVoters(stage.replicas);
      expectSize(stage, grown);
      load.verify();
    }),
  );

  it(
    'makes the others follow the one that had grown when a target died in the middle',
    onStage({}, (stage) => {
      const load = new Load(stage);
      stage.settled(stage.replica(0).store!.resize(SIZE + MIB));
      stage.target.kill();
      stage.startTarget();
      stage.cluster.sizeBytes = SIZE + MIB;
      load.untilVoters(stage.replicas);
      expectSize(stage, SIZE + MIB);
      load.verify();
    }),
  );

  it(
    'never shrinks',
    onStage({ dataReplicas: 1 }, (stage) => {
      expect(() => grow(stage, -2 * MIB)).to.throw(ChangeRefused, 'cannot shrink');
      expectSize(stage, SIZE);
    }),
  );
});
