/**
 * Goal: a snapshot is a point in the order of writes, the same on all members, whatever dies while
 * snapshots are made, deleted and reverted to. Method: the replicator and real stores under a
 * seeded schedule. One writer counts up through the blocks, one write after the other, so that any
 * point in the order is known by what it holds: in block b the last count that fell on it.
 */
import { strict as assert } from 'node:assert';
import { expect } from 'chai';
import { crc32Range } from '@openebs/replica/protocol';
import type { Store } from '@openebs/replica/store';
import { splitHoldings } from './layer-copy.ts';
import { LayerError } from './layer-error.ts';
import { snapshotsOf, withoutMerged } from './layer-tree.ts';
import { operation, Simulation, type SimulatedTarget } from './simulation.test-support.ts';

const BLOCK = 4096;
/** In two extents of one region and in one of another. */
const BLOCKS = [0, 1, 2, 255, 256, 257, 300, 1100, 1101].map((index) => index * BLOCK);
const AT = '2026-11-24T11:00:00.000Z';

/** What the blocks held at some moment: the counts, in the order of BLOCKS. */
type Image = readonly number[];

interface Point {
  /** Counts between which the point lies: acknowledged before it, begun after it. */
  readonly least: number;
  most: number;
  /** It was made, and nobody has tried to delete it. */
  kept: boolean;
}

class Counter {
  readonly simulation: Simulation;
  target: SimulatedTarget;
  /** The image of each point in the order of writes, by the number of its last write. */
  readonly history: Image[] = [BLOCKS.map(() => 0)];
  acknowledged = 0;
  readonly points = new Map<string, Point>();
  busy = false;
  changes = 0;
  #names = 0;
  #writing = false;

  constructor(simulation: Simulation, target: SimulatedTarget) {
    this.simulation = simulation;
    this.target = target;
  }

  /** The next write, if the one before has been answered. */
  write(): void {
    if (this.#writing) return;
    const count = this.history.length;
    const at = count % BLOCKS.length;
    const image = [...this.history[count - 1]!];
    image[at] = count;
    this.history.push(image);
    this.#submit(count, BLOCKS[at]!);
  }

  #submit(count: number, offsetBytes: number): void {
    const { target } = this;
    const data = Buffer.alloc(BLOCK);
    for (let at = 0; at < BLOCK; at += 4) data.writeUInt32LE(count, at);
    this.#writing = true;
    target.replicator.submit(
      operation('write', offsetBytes, BLOCK, [data], (error) => {
        if (target !== this.target) return;
        if (error !== null) {
          this.simulation.after(50, () => this.#submit(count, offsetBytes));
          return;
        }
        this.#writing = false;
        this.acknowledged = count;
      }),
    );
  }

  /** Another target; what the old one had under way is written again. */
  moveTo(target: SimulatedTarget): void {
    this.target = target;
    this.busy = false;
    const count = this.history.length - 1;
    if (this.#writing) this.#submit(count, BLOCKS[count % BLOCKS.length]!);
  }

  /** A change of the layers by chance, one at a time; an attempt that fails is none. */
  change(): void {
    if (this.busy) return;
    const { random } = this.simulation;
    const { layers } = this.target.replicator.assembly;
    const names = snapshotsOf(layers.tree ?? EMPTY).map(({ name }) => name);
    const victim = names[Math.floor(random() * names.length)];
    if (victim === undefined || names.length < 3 || random() < 0.5) {
      const name = `s${++this.#names}`;
      const point = { least: this.acknowledged, most: Infinity, kept: false };
      this.points.set(name, point);
      this.#run(layers.snapshot(name, AT), () => {
        point.most = this.history.length - 1;
        point.kept = true;
      });
    } else {
      const point = this.points.get(victim);
      if (point !== undefined) point.kept = false;
      this.#run(layers.delete(victim), () => this.points.delete(victim));
    }
  }

  #run(work: Promise<unknown>, done: () => void): void {
    const { target } = this;
    this.busy = true;
    const ended = (): void => {
      if (target === this.target) this.busy = false;
    };
    work.then(
      () => {
        if (target !== this.target) return;
        done();
        this.changes++;
        ended();
      },
      (error: unknown) => {
        ended();
        assert(!target.alive || error instanceof LayerError, String(error));
      },
    );
  }

  async read(): Promise<Image> {
    const image: number[] = [];
    for (const offsetBytes of BLOCKS) {
      let answered = false;
      this.target.replicator.submit(
        operation('read', offsetBytes, BLOCK, [], (error, io) => {
          assert.equal(error, null);
          const bytes = Buffer.concat(io.chunks);
          const count = bytes.readUInt32LE(0);
          for (let at = 0; at < BLOCK; at += 4) assert.equal(bytes.readUInt32LE(at), count);
          image.push(count);
          answered = true;
        }),
      );
      assert(await this.simulation.runUntil(() => answered, 10_000));
    }
    return image;
  }

  async revert(name: string): Promise<void> {
    let answer: unknown = null;
    this.target.replicator.assembly.layers
      .revert(name, `before-${name}`, AT)
      .then((outcome) => (answer = outcome))
      .catch((error: unknown) => (answer = error));
    assert(await this.simulation.runUntil(() => answer !== null, 60_000));
    assert(!(answer instanceof Error), String(answer));
  }
}

const EMPTY = { nextId: 1, head: 0, layers: [] };

const ZEROES = crc32Range(Buffer.alloc(BLOCK), 0, BLOCK);

/**
 * The sum of each block as it is seen through a layer. What the layers themselves hold may differ:
 * a write that one member alone had is taken back by writing what its parent holds.
 */
const seenThrough = (store: Store, id: number | null, sizeBytes: number): number[] => {
  const seen = new Array<number>(sizeBytes / BLOCK).fill(ZEROES);
  const open = new Set(seen.keys());
  const { layers } = store.state();
  let layer = layers.find((each) => each.id === id);
  while (layer !== undefined) {
    const { data, zero } = splitHoldings(store.layerAllocation(layer.id, 0, sizeBytes));
    const has = (bits: Uint8Array, block: number): boolean =>
      (bits[block >>> 3]! & (1 << (block & 7))) !== 0;
    for (const block of [...open]) {
      if (has(data, block)) {
        const sums = Buffer.from(store.layerChecksums(layer.id, Math.floor(block / 256)));
        seen[block] = sums.readUInt32LE((block % 256) * 4);
      }
      if (has(data, block) || has(zero, block)) open.delete(block);
    }
    const { parent } = layer;
    layer = layers.find((each) => each.id === parent);
  }
  return seen;
};

/** Every snapshot is the same on each member, when all merges have been done. */
const expectEqualLayers = async (simulation: Simulation): Promise<void> => {
  const merged = await simulation.runUntil(
    () =>
      simulation.replicas.every(({ store }) => {
        const { layers, headLayer } = store.state();
        return withoutMerged(layers, headLayer).length === layers.length;
      }),
    60_000,
  );
  assert(merged, 'all merges end');
  const [first, ...others] = simulation.replicas.map(({ store }) =>
    [...store.state().layers]
      .sort((a, b) => a.id - b.id)
      .map((layer) => ({
        ...{ id: layer.id, parent: layer.parent, name: layer.name, complete: layer.complete },
        seen: layer.name === null ? [] : seenThrough(store, layer.id, simulation.sizeBytes),
      })),
  );
  for (const other of others) expect(other, 'the members have the same').to.deep.equal(first);
};

const begin = async (seed: number): Promise<Counter> => {
  const simulation = new Simulation(seed, { sizeBytes: 5 * 2 ** 20 });
  for (const replica of simulation.replicas) await replica.start();
  const target = simulation.target({ holdMs: 2_000, graceMs: 200 });
  assert(await simulation.runUntil(() => simulation.healthy(target), 30_000));
  return new Counter(simulation, target);
};

const settle = async ({ simulation }: Counter, counter: Counter): Promise<void> => {
  for (const replica of simulation.replicas) if (!replica.alive) await replica.start();
  const { target } = counter;
  const healthy = (): boolean => simulation.healthy(target) && !counter.busy;
  assert(
    await simulation.runUntil(healthy, 120_000),
    `not healthy: ${target.replicator.assembly.waitingFor} ${target.replicator.assembly.members
      .map(({ state, lastError }) => `${state.kind} ${lastError}`)
      .join('; ')}\n${simulation.log.slice(-40).join('\n')}`,
  );
};

/** Every snapshot that there is holds one point of the order, between its begin and its end. */
const verify = async (counter: Counter): Promise<number> => {
  const { simulation, target } = counter;
  await settle(counter, counter);
  await expectEqualLayers(simulation);
  const found = snapshotsOf(target.replicator.assembly.layers.tree ?? EMPTY);
  for (const [name, { kept }] of counter.points) {
    if (!kept) continue;
    expect(
      found.map((each) => each.name),
      'no snapshot is lost',
    ).to.include(name);
  }
  for (const { name } of found) {
    const point = counter.points.get(name);
    if (point === undefined) continue;
    await counter.revert(name);
    const image = await counter.read();
    const at = Math.max(...image);
    expect(image, `${name} is a point in the order`).to.deep.equal(counter.history[at]);
    expect(at, `${name} has all that was acknowledged before`).to.be.at.least(point.least);
    expect(at, `${name} has nothing from after`).to.be.at.most(point.most);
  }
  await settle(counter, counter);
  await expectEqualLayers(simulation);
  return found.length;
};

const run = async (seed: number, steps: number): Promise<Counter> => {
  const counter = await begin(seed);
  const { simulation } = counter;
  const { random } = simulation;
  for (let step = 0; step < steps; step++) {
    const chance = random();
    const victim = simulation.replicas[Math.floor(random() * 3)]!;
    if (chance < 0.2) counter.write();
    else if (chance < 0.215) counter.change();
    else if (chance < 0.22) victim.kill(false);
    else if (chance < 0.25) {
      if (!victim.alive) await victim.start();
    } else if (chance < 0.252) for (const link of victim.links) link.cut();
    else if (chance < 0.254) {
      simulation.killTarget(counter.target);
      counter.moveTo(simulation.target({ holdMs: 2_000, graceMs: random() * 500 }));
    } else await simulation.step();
  }
  return counter;
};

describe('snapshots under simulation', function () {
  this.timeout(Number(process.env['SIMULATION_TIMEOUT'] ?? 60_000));
  const seeds = Number(process.env['SIMULATION_SEEDS'] ?? 8);
  const first = Number(process.env['SIMULATION_FIRST_SEED'] ?? 1);
  const steps = Number(process.env['SIMULATION_STEPS'] ?? 2_000);

  it('are points in the order of writes, and the same on all members, whatever dies', async () => {
    let found = 0;
    let changes = 0;
    for (let seed = first; seed < first + seeds; seed++) {
      try {
        const counter = await run(seed, steps);
        found += await verify(counter);
        changes += counter.changes;
      } catch (error) {
        throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
      }
    }
    expect(found, 'snapshots that were verified').to.be.greaterThan(seeds);
    expect(changes, 'changes that were made').to.be.greaterThan(seeds * 2);
  });
});
