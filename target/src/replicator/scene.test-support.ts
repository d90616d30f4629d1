import { strict as assert } from 'node:assert';
import { expect } from 'chai';
import { SimulatedDisk } from '../../../replica/src/store/simulated-disk.ts';
import { ChangeRefused } from './roster.ts';
import type { SimulatedReplica } from './simulated-replica.test-support.ts';
import { operation, Simulation, type SimulatedTarget } from './simulation.test-support.ts';

export const MIB = 1024 * 1024;
const BLOCK = 4096;
export const SIZE = 4 * MIB;
export const BLOCKS = 24;
const STRIDE = SIZE / BLOCKS - ((SIZE / BLOCKS) % BLOCK);

/** One write at a time; of each block it knows what a read may return. */
export class Load {
  readonly #simulation: Simulation;
  readonly #possible: Set<number>[] = [];
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
    const block = Math.floor(this.#simulation.random() * this.blocks);
    const value = ++this.#value;
    const { target } = this;
    this.#allowed(block).add(value);
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

  /** More of them when the volume has grown. */
  get blocks(): number {
    return Math.floor(this.target.replicator.sizeBytes / STRIDE);
  }

  #allowed(block: number): Set<number> {
    return (this.#possible[block] ??= new Set([0]));
  }

  async verify(): Promise<void> {
    for (let block = 0; block < this.blocks; block++) {
      let answered = false;
      this.target.replicator.submit(
        operation('read', block * STRIDE, BLOCK, [], (error, io) => {
          assert.equal(error, null);
          const value = Buffer.concat(io.chunks).readUInt32LE();
          const allowed = [...this.#allowed(block)];
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

export const addressesOf = (replicas: readonly SimulatedReplica[]): string[] =>
  replicas.map(({ address }) => address);

const identical = (replicas: readonly SimulatedReplica[], sizeBytes: number): void => {
  const images = replicas
    .filter(({ volume }) => volume.role === 'data')
    .map(({ disk }) => {
      const image = Buffer.alloc(sizeBytes);
      disk.open('000001.img').read(image, 0, image.length, 0);
      return image;
    });
  for (const image of images) {
    assert(images[0]?.equals(image) === true, 'replicas are identical');
  }
};

export class Scene {
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
    const replica = this.simulation.replicas[index];
    assert(replica !== undefined);
    return replica;
  }

  get copies(): number {
    return this.target.replicator.assembly.record?.inSync.length ?? 0;
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

  /** As the orchestrator does: recorded first, so that whoever starts from now on knows it. */
  grow(): Promise<string> {
    const { simulation, target } = this;
    simulation.sizeBytes += MIB + 8 * BLOCK;
    for (const { volume } of simulation.replicas) volume.sizeBytes = simulation.sizeBytes;
    return target.replicator.assembly.growth.grow(simulation.sizeBytes).then(
      () => 'grown',
      (error: unknown) => {
        assert(error instanceof ChangeRefused, String(error));
        return error.message;
      },
    );
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
    identical(replicas, this.simulation.sizeBytes);
  }

  moveTo(target: SimulatedTarget): void {
    this.target = target;
    this.load.moveTo(target);
  }
}
