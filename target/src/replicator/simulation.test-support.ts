import { strict as assert } from 'node:assert';
import type { ReplicaRole } from '@openebs/replica/protocol';
import { Histogram, LATENCY_BOUNDS_SECONDS } from '@openebs/replica/runtime';
import { seededRandom } from '../../../replica/src/store/simulated-volume.ts';
import type { VolumeError, VolumeIo } from '../volume.ts';
import type { Environment } from './environment.ts';
import { Replicator } from './replicator.ts';
import { SimulatedLink } from './simulated-link.test-support.ts';
import { SimulatedReplica, type World } from './simulated-replica.test-support.ts';
import { SlabPool } from '@openebs/replica/runtime';
import { createStatistics } from './statistics.ts';

const MIB = 1024 * 1024;
const VOLUME_ID = '5f0c1d1e-7e57-4b0a-8a54-6d656d6f7279';

interface Event {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** A target process in the simulation. */
export interface SimulatedTarget {
  readonly replicator: Replicator;
  alive: boolean;
  /** No connection that it begins comes about. */
  cutOff: boolean;
  fenced: boolean;
}

/** Virtual time; replicas; one target after the other. */
export class Simulation implements World {
  now = 0;
  readonly random: () => number;
  sizeBytes: number;
  readonly replicas: SimulatedReplica[];
  readonly log: string[] = [];
  #events: Event[] = [];
  #order = 0;

  constructor(seed: number, { replicas = 3, sizeBytes = 4 * MIB } = {}) {
    this.random = seededRandom(seed);
    this.sizeBytes = sizeBytes;
    const volume = { volumeId: VOLUME_ID, sizeBytes, role: 'data' as const };
    this.replicas = Array.from(
      { length: replicas },
      (_, i) => new SimulatedReplica(i, this, volume),
    );
  }

  /** One that no target knows yet; it does not run. */
  addReplica(role: ReplicaRole = 'data'): SimulatedReplica {
    const volume = { volumeId: VOLUME_ID, sizeBytes: this.sizeBytes, role };
    const replica = new SimulatedReplica(this.replicas.length, this, volume);
    this.replicas.push(replica);
    return replica;
  }

  after(delayMs: number, callback: () => void): () => void {
    const event = { at: this.now + Math.max(0, delayMs), order: this.#order++, run: callback };
    this.#events.push(event);
    return () => {
      this.#events = this.#events.filter((each) => each !== event);
    };
  }

  target({
    holdMs = 30_000,
    graceMs = 5_000,
    addresses = this.replicas.map(({ address }) => address),
  } = {}): SimulatedTarget {
    const environment: Environment = {
      now: () => this.now,
      after: (delayMs, callback) => this.after(delayMs, () => target.alive && callback()),
      defer: (callback) => queueMicrotask(callback),
      random: this.random,
      dial: (address, events) => {
        const replica = this.replicas.find((each) => each.address === address);
        assert(replica !== undefined);
        const link = new SimulatedLink(replica, this, events, () => target.alive);
        if (target.cutOff) link.cut();
        return link;
      },
      log: (_level, fields, message) => {
        this.log.push(`${this.now.toFixed(1)} ${message} ${JSON.stringify(fields)}`);
      },
    };
    const target: SimulatedTarget = {
      alive: true,
      cutOff: false,
      fenced: false,
      replicator: new Replicator({
        volumeId: VOLUME_ID,
        sizeBytes: this.sizeBytes,
        replicas: addresses,
        environment,
        statistics: createStatistics(() => new Histogram(LATENCY_BOUNDS_SECONDS)),
        pool: new SlabPool(2 ** 23),
        holdMs,
        graceMs,
      }),
    };
    target.replicator.onChange((change) => {
      if (change === 'fenced') target.fenced = true;
    });
    target.replicator.start();
    return target;
  }

  killTarget(target: SimulatedTarget): void {
    target.alive = false;
    for (const replica of this.replicas) {
      for (const link of [...replica.links]) if (!link.ofLiveTarget) link.cut();
    }
  }

  /** The next event, and everything that follows from it at once. */
  async step(): Promise<void> {
    let next: Event | undefined;
    for (const event of this.#events) {
      if (
        next === undefined ||
        event.at < next.at ||
        (event.at === next.at && event.order < next.order)
      ) {
        next = event;
      }
    }
    if (next !== undefined) {
      this.#events.splice(this.#events.indexOf(next), 1);
      this.now = next.at;
      next.run();
    }
    await turn();
  }

  async runUntil(condition: () => boolean, withinMs: number): Promise<boolean> {
    const deadline = this.now + withinMs;
    while (!condition()) {
      if (this.now > deadline) return false;
      await this.step();
    }
    return true;
  }

  async runFor(ms: number): Promise<void> {
    await this.runUntil(() => false, ms);
  }

  healthy(target: SimulatedTarget): boolean {
    const { replicator } = target;
    const { assembly } = replicator;
    return (
      replicator.isOpen && assembly.members.every((member) => assembly.modeOf(member) === 'in-sync')
    );
  }
}

/** Microtasks, and the immediates in which simulated disks complete. */
const turn = (): Promise<void> =>
  new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

export const operation = (
  kind: VolumeIo['kind'],
  offsetBytes: number,
  lengthBytes: number,
  chunks: readonly Uint8Array[],
  done: (error: VolumeError | null, io: VolumeIo) => void,
): VolumeIo => {
  const io: VolumeIo = {
    kind,
    offsetBytes,
    lengthBytes,
    chunks,
    loan: null,
    lock: null,
    done: (error) => done(error, io),
  };
  return io;
};
