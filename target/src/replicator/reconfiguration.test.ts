/**
 * Goal: replicas are added, replaced, removed and emptied while a volume serves, and nothing that
 * was acknowledged is lost or read stale, whoever dies in the middle of it.
 * Method: real stores on simulated disks, virtual time; first one change at a time, then changes
 * and deaths by a seed, under a load that knows what each block may hold.
 */
import { expect } from 'chai';
import { ChangeRefused } from './roster.ts';
import { addressesOf, MIB, Scene } from './scene.test-support.ts';
import type { SimulatedReplica } from './simulated-replica.test-support.ts';

describe('changing the replicas of a volume that serves', function () {
  this.timeout(60_000);

  it('adds one: it gets all data before a record names it', async () => {
    const scene = await Scene.begin(1, 2);
    await scene.simulation.runUntil(() => {
      scene.load.write();
      return scene.load.acknowledged > 30;
    }, 60_000);
    await scene.add();
    scene.declare(scene.simulation.replicas);
    await scene.untilVoters(scene.simulation.replicas);
    await scene.finish(scene.simulation.replicas);
  });

  it('goes from one copy to three, and back to one that was added', async () => {
    const scene = await Scene.begin(2, 1);
    const added = [await scene.add(), await scene.add()];
    scene.declare(scene.simulation.replicas);
    await scene.untilVoters(scene.simulation.replicas);
    scene.declare(added);
    await scene.untilVoters(added);
    scene.declare(added.slice(1));
    await scene.untilVoters(added.slice(1));
    scene.replica(0).kill(false);
    await scene.finish(added.slice(1));
  });

  it('replaces a lost one', async () => {
    const scene = await Scene.begin(3, 3);
    scene.replica(1).kill(false);
    const kept = [scene.replica(0), scene.replica(2), await scene.add()];
    scene.declare(kept);
    await scene.untilVoters(kept);
    await scene.finish(kept);
  });

  it('replaces a lost one also when the target has never met it', async () => {
    const scene = await Scene.begin(4, 3);
    scene.replica(1).kill(false);
    scene.simulation.killTarget(scene.target);
    const kept = [scene.replica(0), scene.replica(2), await scene.add()];
    scene.moveTo(scene.simulation.target({ addresses: addressesOf(kept) }));
    scene.declare(kept);
    await scene.untilVoters(kept);
    await scene.finish(kept);
  });

  it('lets a witness come when copies become two, and go when they become three', async () => {
    const scene = await Scene.begin(5, 3);
    const witness = await scene.add('witness');
    const two = [scene.replica(0), scene.replica(1), witness];
    scene.declare(two);
    await scene.untilVoters(two);
    // One of two copies dies: with the witness the volume goes on.
    scene.replica(0).kill(false);
    const before = scene.load.acknowledged;
    const goesOn = await scene.simulation.runUntil(() => {
      scene.load.write();
      return scene.load.acknowledged > before + 5;
    }, 60_000);
    expect(goesOn).to.equal(true);
    await scene.replica(0).start();
    const three = [scene.replica(0), scene.replica(1), await scene.add()];
    scene.declare(three);
    await scene.untilVoters(three);
    await scene.finish(three);
  });

  it('keeps reservations and settings when every voter that had them has left', async () => {
    const scene = await Scene.begin(6, 2);
    const { simulation } = scene;
    const write = scene.target.replicator.writeDocument('settings', Buffer.from('kept'));
    let written = false;
    void write.then(() => (written = true));
    expect(await simulation.runUntil(() => written, 10_000)).to.equal(true);
    const next = [await scene.add(), await scene.add(), await scene.add()];
    scene.declare(simulation.replicas);
    await scene.untilVoters(simulation.replicas);
    scene.declare(next);
    await scene.untilVoters(next);
    simulation.killTarget(scene.target);
    scene.moveTo(simulation.target({ addresses: addressesOf(next) }));
    let content: string | null = null;
    void scene.target.replicator
      .readDocument('settings')
      .then((bytes) => (content = Buffer.from(bytes ?? []).toString()));
    // Read when the volume is there; until then the call is refused at once.
    await simulation.runUntil(() => simulation.healthy(scene.target), 30_000);
    void scene.target.replicator
      .readDocument('settings')
      .then((bytes) => (content = Buffer.from(bytes ?? []).toString()));
    await simulation.runUntil(() => content !== null, 10_000);
    expect(content).to.equal('kept');
  });

  it('takes an emptied replica for a stranger: it leaves the voters, is filled, and comes back', async () => {
    const scene = await Scene.begin(7, 3);
    await scene.simulation.runUntil(() => {
      scene.load.write();
      return scene.load.acknowledged > 20;
    }, 60_000);
    scene.empty(scene.replica(2));
    await scene.replica(2).start();
    const seen = new Set<string>();
    await scene.simulation.runUntil(() => {
      seen.add(String(scene.target.replicator.assembly.record?.voters.length));
      return seen.has('2');
    }, 30_000);
    expect([...seen]).to.deep.equal(['3', '2']);
    await scene.untilVoters(scene.simulation.replicas);
    await scene.finish(scene.simulation.replicas);
  });

  it('goes on with a copy that was lost just before the other one was emptied', async () => {
    const scene = await Scene.begin(16, 2);
    const { simulation } = scene;
    const witness = await scene.add('witness');
    const all = [scene.replica(0), scene.replica(1), witness];
    scene.declare(all);
    await scene.untilVoters(all);
    // A record without the first is at the witness, and not at the second yet.
    const named = (replica: SimulatedReplica): number | undefined =>
      replica.store.state().record?.inSync.length;
    const atMinority = (): boolean => {
      scene.load.write();
      return named(witness) === 1 && named(scene.replica(1)) === 2;
    };
    scene.replica(0).kill(false);
    expect(await simulation.runUntil(atMinority, 30_000)).to.equal(true);
    scene.empty(scene.replica(1));
    await scene.replica(0).start();
    await scene.replica(1).start();
    await scene.untilVoters(all);
    await scene.finish(all);
  });

  it('admits no stranger and removes nobody before somebody has declared the list', async () => {
    const scene = await Scene.begin(8, 3);
    const stranger = await scene.add();
    scene.simulation.killTarget(scene.target);
    const some = [scene.replica(0), scene.replica(1), stranger];
    scene.moveTo(scene.simulation.target({ addresses: addressesOf(some), graceMs: 100 }));
    await scene.simulation.runFor(20_000);
    const { assembly } = scene.target.replicator;
    expect(assembly.record?.voters).to.have.length(3).and.not.to.include(stranger.id);
    expect(assembly.members[2]?.lastError).to.contain('not a member');
  });

  it('refuses to go on with strangers only, and with less than a majority', async () => {
    const scene = await Scene.begin(9, 3);
    const stranger = await scene.add();
    expect(() => scene.declare([stranger])).to.throw(ChangeRefused, 'add the new ones first');
    scene.replica(2).kill(false);
    await scene.simulation.runFor(2_000);
    expect(() => scene.declare([scene.replica(0), scene.replica(2)])).to.throw(
      ChangeRefused,
      'must be connected',
    );
    scene.declare([scene.replica(0), scene.replica(1)]);
    await scene.untilVoters([scene.replica(0), scene.replica(1)]);
  });
});

/** Changes and deaths by chance; then everything comes back. */
const run = async (seed: number, steps: number): Promise<number> => {
  const scene = await Scene.begin(seed, 1 + (seed % 3));
  const { simulation } = scene;
  const { random } = simulation;
  let wanted = [...simulation.replicas];
  const declare = (): void => {
    try {
      scene.declare(wanted);
    } catch (error) {
      if (!(error instanceof ChangeRefused)) throw error;
    }
  };
  for (let step = 0; step < steps; step++) {
    const chance = random();
    const victim = simulation.replicas[Math.floor(random() * simulation.replicas.length)]!;
    if (chance < 0.3) {
      scene.load.write();
    } else if (chance < 0.303) {
      const next = wanted.filter(() => random() < 0.7);
      if (simulation.replicas.length < 9 && random() < 0.7) {
        next.push(await scene.add(random() < 0.3 ? 'witness' : 'data'));
      }
      if (!next.some(({ volume }) => volume.role === 'data')) continue;
      const before = wanted;
      wanted = next;
      try {
        scene.declare(wanted);
      } catch (error) {
        if (!(error instanceof ChangeRefused)) throw error;
        wanted = before;
      }
    } else if (chance < 0.306) {
      victim.kill(false);
    } else if (chance < 0.32) {
      if (!victim.alive) await victim.start();
    } else if (chance < 0.322) {
      for (const link of victim.links) link.cut();
    } else if (chance < 0.324) {
      simulation.killTarget(scene.target);
      // As the orchestrator does at every start: whoever may still be a voter is named, then who
      // is wanted.
      scene.moveTo(simulation.target({ holdMs: 2_000, graceMs: random() * 500 }));
      declare();
    } else if (chance < 0.325) {
      if (simulation.sizeBytes < 12 * MIB) void scene.grow();
    } else if (chance < 0.3253 && simulation.healthy(scene.target) && scene.copies > 1) {
      scene.empty(victim);
    } else {
      await simulation.step();
    }
  }
  for (const replica of simulation.replicas) if (!replica.alive) await replica.start();
  declare();
  await scene.untilVoters(wanted);
  void scene.grow();
  await simulation.runUntil(
    () => scene.target.replicator.sizeBytes === simulation.sizeBytes,
    10_000,
  );
  expect(scene.target.replicator.sizeBytes).to.equal(simulation.sizeBytes);
  await scene.finish(wanted);
  return scene.load.acknowledged;
};

describe('replicas that come and go by chance', function () {
  this.timeout(Number(process.env['SIMULATION_TIMEOUT'] ?? 60_000));
  const seeds = Number(process.env['SIMULATION_SEEDS'] ?? 12);
  const first = Number(process.env['SIMULATION_FIRST_SEED'] ?? 1);

  it('lose no acknowledged write', async () => {
    let acknowledged = 0;
    for (let seed = first; seed < first + seeds; seed++) {
      try {
        acknowledged += await run(seed, 2500);
      } catch (error) {
        throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
      }
    }
    expect(acknowledged).to.be.greaterThan(seeds * 10);
  });
});
