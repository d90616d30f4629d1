/**
 * Goal: replicas are added, replaced, removed and emptied while a volume serves, and nothing that
 * was acknowledged is lost or read stale, whoever dies in the middle of it.
 * Method: real stores on simulated disks, virtual time; first one change at a time, then changes
 * and deaths by a seed, under a load that knows what each block may hold.
 */
import { strict as assert } from 'node:assert';
import { expect } from 'chai';
import { SimulatedDisk } from '../../../replica/src/store/simulated-disk.ts';
import { ChangeRefused } from './roster.ts';
import type { SimulatedReplica } from './simulated-replica.test-support.ts';
import { operation, Simulation, type SimulatedTarget } from './simulation.test-support.ts';

const MIB = 1024 * 1024;
const BLOCK = 4096;
const SIZE = 4 * MIB;
const BLOCKS = 24;
const STRIDE = SIZE / BLOCKS - ((SIZE / BLOCKS) % BLOCK);

/** One write at a time; of each block it knows what a read may return. */
class Load {
  readonly #simulation: Simulation;
  readonly #possible = Array.from({ length: BLOCKS }, () => new Set([0]));
  #value = 0;
  target: SimulatedTarget;
  acknowledged = 0;
  /** A write is under way. */
  busy = false;

  constructor(simulation: Simulation, target: SimulatedTarget) {
    this.#simulation = simulation;
    this.target = target;
  }

  write(): void {
    if (this.busy) return;
    const block = Math.floor(this.#simulation.random() * BLOCKS);
    const value = ++this.#value;
    const { target } = this;
    const possible = this.#possible[block]!;
    possible.add(value);
    this.busy = true;
    const data = Buffer.alloc(BLOCK);
    data.writeUInt32LE(value);
    target.replicator.submit(
      operation('write', block * STRIDE, BLOCK, [data], (error) => {
        if (target !== this.target) return;
        this.busy = false;
        if (error !== null) return;
        this.acknowledged++;
        this.#possible[block] = new Set([value]);
      }),
    );
  }

  moveTo(target: SimulatedTarget): void {
    this.target = target;
    this.busy = false;
  }

  async verify(): Promise<void> {
    for (let block = 0; block < BLOCKS; block++) {
      let answered = false;
      this.target.replicator.submit(
        operation('read', block * STRIDE, BLOCK, [], (error, io) => {
          assert.equal(error, null);
          const value = Buffer.concat(io.chunks).readUInt32LE();
          const allowed = [...this.#possible[block]!];
          assert(allowed.includes(value), `block ${block} holds ${value}, not ${allowed.join()}`);
          this.#possible[block] = new Set([value]);
          answered = true;
        }),
      );
      expect(await this.#simulation.runUntil(() => answered, 60_000)).to.equal(true);
    }
  }
}

const voters = ({ replicator }: SimulatedTarget): string =>
  (replicator.assembly.record?.voters ?? []).map((id) => id.slice(0, 8)).join();

const addressesOf = (replicas: readonly SimulatedReplica[]): string[] =>
  replicas.map(({ address }) => address);

const identical = (replicas: readonly SimulatedReplica[]): void => {
  const images = replicas
    .filter(({ volume }) => volume.role === 'data')
    .map(({ disk, sizeBytes }) => {
      const image = Buffer.alloc(sizeBytes);
      disk.open('000001.img').read(image, 0, image.length, 0);
      return image;
    });
  for (const image of images) assert(image.equals(images[0]!), 'replicas are identical');
};

class Scene {
  readonly simulation: Simulation;
  readonly load: Load;
  target: SimulatedTarget;

  constructor(simulation: Simulation, target: SimulatedTarget) {
    this.simulation = simulation;
    this.target = target;
    this.load = new Load(simulation, target);
  }

  static async begin(seed: number, replicas: number): Promise<Scene> {
    const simulation = new Simulation(seed, { replicas, sizeBytes: SIZE });
    for (const replica of simulation.replicas) await replica.start();
    const target = simulation.target();
    expect(await simulation.runUntil(() => simulation.healthy(target), 10_000)).to.equal(true);
    return new Scene(simulation, target);
  }

  replica(index: number): SimulatedReplica {
    return this.simulation.replicas[index]!;
  }

  async add(role: 'data' | 'witness' = 'data'): Promise<SimulatedReplica> {
    const replica = this.simulation.addReplica(role);
    await replica.start();
    return replica;
  }

  /** Somebody removes the directory. */
  empty(replica: SimulatedReplica): void {
    replica.kill(false);
    replica.disk = new SimulatedDisk(this.simulation.random);
  }

  declare(replicas: readonly SimulatedReplica[]): void {
    this.target.replicator.assembly.declare(addressesOf(replicas));
  }

  /** Writes until these and nobody else are voters, and all of them are in sync. */
  async untilVoters(replicas: readonly SimulatedReplica[]): Promise<void> {
    const wanted = replicas.map(({ id }) => id).sort();
    const { assembly } = this.target.replicator;
    const done = (): boolean => {
      this.load.write();
      return (
        assembly.record?.voters.join() === wanted.join() &&
        assembly.members.length === wanted.length &&
        this.simulation.healthy(this.target)
      );
    };
    assert(
      await this.simulation.runUntil(done, 90_000),
      `voters ${voters(this.target)}; ${assembly.waitingFor}; ${assembly.members
        .map((member) => `${member.address} ${member.state.kind} ${member.lastError}`)
        .join(
          '; ',
        )}${process.env['SIMULATION_LOG'] === undefined ? '' : `\n${this.simulation.log.join('\n')}`}`,
    );
  }

  async finish(replicas: readonly SimulatedReplica[]): Promise<void> {
    await this.simulation.runUntil(() => !this.load.busy, 60_000);
    await this.load.verify();
    await this.simulation.runFor(200);
    identical(replicas);
  }

  moveTo(target: SimulatedTarget): void {
    this.target = target;
    this.load.moveTo(target);
  }
}

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
    } else if (chance < 0.3243 && simulation.healthy(scene.target) && wanted.length > 2) {
      scene.empty(victim);
    } else {
      await simulation.step();
    }
  }
  for (const replica of simulation.replicas) if (!replica.alive) await replica.start();
  declare();
  await scene.untilVoters(wanted);
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
