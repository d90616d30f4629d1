import { expect } from 'chai';
import type { VolumeError, VolumeIo } from '../../target/src/volume.ts';
import type { ClusterOptions } from '../simulator/cluster.ts';
import { Cluster } from '../simulator/cluster.ts';
import type { ReplicaMachine } from '../simulator/machine.ts';
import { MAINTENANCE_MS } from '../simulator/machine.ts';
import { Site } from '../simulator/site.ts';
import type { SimulatedTarget } from '../simulator/target.ts';
import { simulated, World } from '../simulator/world.ts';

export const MIB = 1024 * 1024;
export const BLOCK = 4096;
export const IMAGE = '000001.img';

/** The answer to one operation, when there is one. */
export interface Answer {
  done: boolean;
  tookMs: number;
  error: VolumeError | null;
  /** What was read. */
  data: Buffer;
}

/**
 * A volume of the simulator of which a test says what happens, one thing after the other: nobody
 * starts, adds or declares anything by himself. The invariants that the cluster watches hold too.
 */
export class Stage {
  readonly world: World;
  readonly cluster: Cluster;
  /** The one that was started last. */
  target!: SimulatedTarget;

  constructor(world: World, options: Partial<ClusterOptions>) {
    this.world = world;
    this.cluster = new Cluster(new Site(world), {
      dataReplicas: 3,
      witness: false,
      sizeBytes: 4 * MIB,
      holdMs: 30_000,
      graceMs: 5_000,
      maintenanceMs: MAINTENANCE_MS,
      scrubBytesPerSecond: null,
      ...options,
    });
    this.cluster.stopOrchestrating();
  }

  /** In the order in which they came. */
  get replicas(): readonly ReplicaMachine[] {
    return this.cluster.machines;
  }

  replica(index: number): ReplicaMachine {
    return this.replicas[index]!;
  }

  /** All of it that was said so far. */
  get log(): string {
    return this.world.trace.join('\n');
  }

  start(...replicas: readonly ReplicaMachine[]): void {
    for (const replica of replicas) replica.start();
    this.until(() => replicas.every(({ serving }) => serving));
  }

  startTarget(members = this.replicas): SimulatedTarget {
    this.target = this.cluster.startTarget(members);
    return this.target;
  }

  /** One that no target knows yet. */
  add(role: 'data' | 'witness' = 'data'): ReplicaMachine {
    const replica = this.cluster.addMachine(role);
    replica.whole = role === 'witness';
    this.start(replica);
    return replica;
  }

  /** Who shall be the members. */
  declare(replicas: readonly ReplicaMachine[]): void {
    this.target.replicator.assembly.declare(replicas.map(({ address }) => address));
  }

  until(condition: () => boolean, withinMs = 60_000): void {
    // What the test has just called goes on at this moment, not with the next event.
    this.world.drain();
    const came = this.world.runUntil(() => {
      this.cluster.check();
      return condition();
    }, withinMs);
    if (came) return;
    const { phase, waitingFor, members } = this.target.replicator.assembly;
    const states = members.map(
      ({ address, state, lastError }) => `${address} ${state.kind} ${lastError ?? ''}`,
    );
    throw new Error(
      `${String(condition)}: not within ${withinMs} ms; ${phase}; ${waitingFor}; ` +
        `${states.join('; ')}\n${this.world.trace.slice(-20).join('\n')}`,
    );
  }

  untilHealthy(target = this.target): void {
    this.until(() => target.healthy);
  }

  runFor(ms: number): void {
    this.world.drain();
    this.world.runFor(ms);
  }

  /** What `work` comes to, or the error with which it fails. */
  settled<T>(work: Promise<T>): T {
    let outcome: PromiseSettledResult<T> | null = null;
    void Promise.allSettled([work]).then(([settled]) => (outcome = settled));
    this.until(() => outcome !== null);
    const settled = outcome as unknown as PromiseSettledResult<T>;
    if (settled.status === 'rejected') throw settled.reason;
    return settled.value;
  }

  submit(
    kind: VolumeIo['kind'],
    offsetBytes = 0,
    content: Uint8Array = Buffer.alloc(BLOCK),
    target = this.target,
  ): Answer {
    const answer: Answer = { done: false, tookMs: 0, error: null, data: Buffer.alloc(0) };
    const isWrite = kind === 'write' || kind === 'write-atomic';
    const begunMs = this.world.now;
    // Lent until submit() returns.
    const lent = Buffer.from(content);
    const io: VolumeIo = {
      kind,
      offsetBytes,
      lengthBytes: kind === 'flush' ? 0 : content.length,
      chunks: isWrite ? [lent] : [],
      loan: null,
      lock: null,
      done: (error) => {
        expect(answer.done, 'answered once').to.equal(false);
        answer.done = true;
        answer.tookMs = this.world.now - begunMs;
        answer.error = error;
        if (kind === 'read') answer.data = Buffer.concat(io.chunks);
        io.loan?.release();
      },
    };
    target.process.run(() => target.replicator.submit(io));
    lent.fill(0xee);
    return answer;
  }

  /** Until it is answered. */
  io(...operation: Parameters<Stage['submit']>): Answer {
    const answer = this.submit(...operation);
    this.until(() => answer.done, 120_000);
    return answer;
  }

  /** What the replica has in its first layer, whatever its checksums say. */
  image({ disk }: ReplicaMachine, offsetBytes = 0, lengthBytes = this.cluster.sizeBytes): Buffer {
    const image = Buffer.alloc(lengthBytes);
    disk.open(IMAGE).read(image, 0, lengthBytes, offsetBytes);
    return image;
  }

  /** Two bytes of the file are others, and nobody was told. */
  rot({ disk }: ReplicaMachine, offsetBytes: number, file = IMAGE): void {
    disk.open(file).write(Buffer.from([0xba, 0xad]), offsetBytes);
  }
}

/** The body of a test, which begins when all of a new volume is healthy. */
export const onStage =
  (options: Partial<ClusterOptions>, play: (stage: Stage) => void): (() => Promise<void>) =>
  () => {
    const world = new World(1, true);
    const stage = new Stage(world, options);
    return simulated(
      (error) => world.fail(error as Error),
      () => {
        for (const replica of stage.replicas) replica.start();
        stage.startTarget();
        stage.untilHealthy();
        play(stage);
      },
    );
  };
