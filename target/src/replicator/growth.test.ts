import { expect } from 'chai';
import { BLOCKS, MIB, Scene, SIZE } from './scene.test-support.ts';

describe('growing a volume that serves', () => {
  const grow = async (scene: Scene): Promise<string> => {
    let outcome: string | null = null;
    void scene.grow().then((said) => (outcome = said));
    await scene.simulation.runUntil(() => outcome !== null, 60_000);
    return String(outcome);
  };

  it('gives room that reads zero, and tells the initiators', async () => {
    const scene = await Scene.begin(21, 3);
    const changes: string[] = [];
    scene.target.replicator.onChange((change) => changes.push(change));
    expect(await grow(scene)).to.equal('grown');
    expect(changes).to.deep.equal(['size']);
    expect(scene.load.blocks).to.be.greaterThan(BLOCKS);
    await scene.load.verify();
    await scene.simulation.runUntil(() => {
      scene.load.write();
      return scene.load.acknowledged > 60;
    }, 60_000);
    await scene.finish(scene.simulation.replicas);
  });

  it('lets one that was away grow before it takes part again', async () => {
    const scene = await Scene.begin(22, 3);
    scene.replica(2).kill(false);
    await scene.simulation.runFor(1_000);
    expect(await grow(scene)).to.equal('grown');
    await scene.replica(2).start();
    await scene.untilVoters(scene.simulation.replicas);
    expect(scene.replica(2).store.identity.sizeBytes).to.equal(scene.simulation.sizeBytes);
    await scene.finish(scene.simulation.replicas);
  });

  it('is finished by the target that comes after one that died in the middle', async () => {
    const scene = await Scene.begin(23, 3);
    await scene.replica(0).store.resize(SIZE + MIB);
    scene.simulation.sizeBytes = SIZE + MIB;
    for (const { volume } of scene.simulation.replicas) volume.sizeBytes = SIZE + MIB;
    scene.simulation.killTarget(scene.target);
    scene.moveTo(scene.simulation.target());
    await scene.untilVoters(scene.simulation.replicas);
    for (const { store } of scene.simulation.replicas) {
      expect(store.identity.sizeBytes).to.equal(SIZE + MIB);
    }
    await scene.finish(scene.simulation.replicas);
  });

  it('is as large as its replicas, also for a target that was started with an older size', async () => {
    const scene = await Scene.begin(25, 3);
    expect(await grow(scene)).to.equal('grown');
    const grown = scene.simulation.sizeBytes;
    scene.simulation.killTarget(scene.target);
    scene.simulation.sizeBytes = SIZE;
    scene.moveTo(scene.simulation.target());
    scene.simulation.sizeBytes = grown;
    await scene.untilVoters(scene.simulation.replicas);
    expect(scene.target.replicator.sizeBytes).to.equal(grown);
    await scene.finish(scene.simulation.replicas);
  });

  it('makes the others follow the one that had grown when a target died in the middle', async () => {
    const scene = await Scene.begin(26, 3);
    await scene.replica(0).store.resize(SIZE + MIB);
    scene.simulation.killTarget(scene.target);
    scene.moveTo(scene.simulation.target());
    scene.simulation.sizeBytes = SIZE + MIB;
    for (const { volume } of scene.simulation.replicas) volume.sizeBytes = SIZE + MIB;
    await scene.untilVoters(scene.simulation.replicas);
    expect(scene.target.replicator.sizeBytes).to.equal(SIZE + MIB);
    for (const { store } of scene.simulation.replicas) {
      expect(store.identity.sizeBytes).to.equal(SIZE + MIB);
    }
    await scene.finish(scene.simulation.replicas);
  });

  it('never shrinks', async () => {
    const scene = await Scene.begin(24, 1);
    scene.simulation.sizeBytes -= 2 * MIB;
    expect(await grow(scene)).to.contain('cannot shrink');
    expect(scene.target.replicator.sizeBytes).to.equal(SIZE);
  });
});
