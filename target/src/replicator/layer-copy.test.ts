/**
 * Goal: frozen layers are copied as the head is: several extents at a time, and no faster than the
 * limit. Method: simulated replicas, one of which was away while a snapshot was made; each piece is
 * counted from the read at its source until the member has it.
 */
import { expect } from 'chai';
import type { Store } from '@openebs/replica/store';
import { REPLICATOR_LIMITS } from '../limits.ts';
import { operation, Simulation, type SimulatedTarget } from './simulation.test-support.ts';

const MIB = 1024 * 1024;
const BLOCK = 4096;
const EXTENTS = 32;
const AWAY = 2;
/** What an extent costs at least in the token bucket. */
const COST_BYTES = 32 * 1024;

class Scene {
  readonly simulation = new Simulation(7, { replicas: 3, sizeBytes: EXTENTS * MIB });
  target!: SimulatedTarget;
  pieces = 0;
  mostUnderWay = 0;
  #underWay = 0;

  async begin(): Promise<void> {
    const { simulation } = this;
    for (const replica of simulation.replicas) await replica.start();
    this.target = simulation.target();
    await this.#until(() => simulation.healthy(this.target));
    simulation.replicas[AWAY]!.kill(false);
    let written = 0;
    for (let extent = 0; extent < EXTENTS; extent++) {
      const data = Buffer.alloc(BLOCK, extent + 1);
      const io = operation('write', extent * MIB, BLOCK, [data], () => written++);
      this.target.replicator.submit(io);
    }
    await this.#until(() => written === EXTENTS);
    let made = false;
    const { layers } = this.target.replicator.assembly;
    layers.snapshot('point', '2026-11-24T11:00:00.000Z').then(
      () => (made = true),
      () => undefined,
    );
    await this.#until(() => made);
  }

  /** Simulated time until the member that was away is in sync. ms. */
  async bringBack(): Promise<number> {
    const { simulation } = this;
    for (const replica of simulation.replicas) {
      if (replica === simulation.replicas[AWAY]) await replica.start();
      else this.#countReads(replica.store);
    }
    this.#countFills(simulation.replicas[AWAY]!.store);
    const startedMs = simulation.now;
    await this.#until(() => simulation.healthy(this.target));
    return simulation.now - startedMs;
  }

  #countReads(store: Store): void {
    const read = store.readLayer.bind(store);
    store.readLayer = (layer, request) => {
      this.pieces++;
      this.mostUnderWay = Math.max(this.mostUnderWay, ++this.#underWay);
      read(layer, request);
    };
  }

  #countFills(store: Store): void {
    const fill = store.fillLayer.bind(store);
    store.fillLayer = (layer, what, done) => {
      this.#underWay--;
      fill(layer, what, done);
    };
  }

  async #until(condition: () => boolean): Promise<void> {
    expect(await this.simulation.runUntil(condition, 60_000)).to.equal(true);
  }
}

describe('a frozen layer that a member lacks', () => {
  it('is copied several extents at a time', async () => {
    const scene = new Scene();
    await scene.begin();
    await scene.bringBack();
    expect(scene.pieces).to.equal(EXTENTS);
    expect(scene.mostUnderWay).to.equal(REPLICATOR_LIMITS.rebuildWidth);
  });

  it('is copied no faster than the limit', async () => {
    const scene = new Scene();
    await scene.begin();
    scene.target.replicator.assembly.resync.pace.limitBytesPerSecond = (EXTENTS * COST_BYTES) / 4;
    // One extent may be caught up at once.
    expect(await scene.bringBack()).to.be.within(2_500, 30_000);
    expect(scene.pieces).to.equal(EXTENTS);
  });
});
