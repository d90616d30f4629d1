import { setTimeout as sleep } from 'node:timers/promises';
import { LoadedVolume } from '../crash/loaded-volume.ts';
import { newMachines, type ReplicaMachine } from '../machine/machine.ts';
import { controlFlags, listSnapshots, order } from '../snapshots/control.ts';
import { residentBytes } from '../support/process-usage.ts';

/** What may happen to a volume in the middle of its load. */
export const BLOWS = [
  'a replica is killed',
  'a machine loses its power',
  'a replica is stopped for a while',
  'the target is killed',
  'a snapshot is made',
  'a snapshot is deleted',
  'a scrub begins',
  'target and replica are killed',
] as const;
export type Blow = (typeof BLOWS)[number];

const REPLICAS = 3;
const SIZE_BYTES = 16 * 1024 * 1024;
const LEAST_SNAPSHOTS = 2;
const MOST_SNAPSHOTS = 6;
/** Between two blows, which may still be going on when the next one comes. Milliseconds. */
const BETWEEN_MS = { least: 200, most: 3_000 };
const AWAY_MS = { least: 0, most: 2_000 };
const STOPPED_MS = { least: 500, most: 15_000 };
const HEALTHY_WITHIN_MS = 120_000;

/** The resident memory of the daemons, at one moment. Bytes. */
export interface Memory {
  readonly target: number;
  /** Of the largest. */
  readonly replica: number;
}

/**
 * One volume, and everything at once: load whose answers are checked, daemons killed, machines
 * without power, stopped processes, snapshots and scrubs, each at its own moments. The order in
 * which things begin is decided by the seed.
 */
export class Storm extends LoadedVolume {
  readonly memory: Memory[] = [];
  readonly counts = new Map<Blow, number>();
  /** Orders that a target would not take at that moment. */
  refusedOrders = 0;
  readonly #machines: readonly ReplicaMachine[];
  #snapshots = 0;
  /** Replicas that something is being done to: one at a time, so that a majority stays. */
  #struck = new Set<number>();
  #targetStruck = false;

  constructor({ directory, seed }: { directory: string; seed: number }) {
    const machines = newMachines(directory, REPLICAS);
    super({
      seed,
      directory,
      sizeBytes: SIZE_BYTES,
      replicas: REPLICAS,
      targetFlags: controlFlags(directory),
      replicaSettings: (index) => machines[index]!.settings(),
    });
    this.#machines = machines;
  }

  /** Load and blows for so long, then calm, and a look at every sector. */
  async round(lengthMs: number): Promise<void> {
    const endMs = performance.now() + lengthMs;
    this.load.calm = false;
    this.load.start(this.disk);
    const blows: Promise<void>[] = [];
    const failures: unknown[] = [];
    while (performance.now() < endMs && failures.length === 0) {
      await this.pause(BETWEEN_MS);
      this.#weigh();
      const blow = this.random.pick(BLOWS);
      blows.push(this.#strike(blow).catch((error: unknown) => void failures.push(error)));
    }
    await Promise.all(blows);
    if (failures.length > 0) throw new AggregateError(failures, 'a blow had no end');
    this.load.calm = true;
    await this.volume.untilHealthy(HEALTHY_WITHIN_MS);
    await this.load.stop();
    await this.load.verify(this.disk);
  }

  async #strike(blow: Blow): Promise<void> {
    const replica = this.random.below(REPLICAS);
    const both = blow === 'target and replica are killed';
    const target = both || blow === 'the target is killed';
    const replicas = both || blow.startsWith('a replica') || blow.startsWith('a machine');
    if (target && this.#targetStruck) return;
    if (replicas && this.#struck.size > 0) return;
    this.counts.set(blow, (this.counts.get(blow) ?? 0) + 1);
    this.#targetStruck ||= target;
    if (replicas) this.#struck.add(replica);
    try {
      await this.#carryOut(blow, replica);
    } finally {
      if (target) this.#targetStruck = false;
      this.#struck.delete(replica);
    }
  }

  async #carryOut(blow: Blow, replica: number): Promise<void> {
    switch (blow) {
      case 'a replica is killed':
        await this.#killReplica(replica, false);
        return;
      case 'a machine loses its power':
        await this.#killReplica(replica, true);
        return;
      case 'a replica is stopped for a while':
        await this.#stopReplica(replica);
        return;
      case 'the target is killed':
        await this.#killTarget();
        return;
      case 'target and replica are killed':
        await Promise.all([this.#killReplica(replica, false), this.#killTarget()]);
        return;
      case 'a snapshot is made':
        if ((await this.#snapshotNames()).length >= MOST_SNAPSHOTS) return;
        await this.#order('POST', '/v1/snapshots', { name: `s${++this.#snapshots}` });
        return;
      case 'a snapshot is deleted': {
        const names = await this.#snapshotNames();
        if (names.length <= LEAST_SNAPSHOTS) return;
        await this.#order('DELETE', `/v1/snapshots/${this.random.pick(names)}`);
        return;
      }
      case 'a scrub begins':
        await this.#order('POST', '/v1/scrub', {});
    }
  }

  async #killReplica(index: number, losesPower: boolean): Promise<void> {
    await this.volume.replicas[index]!.daemon.kill9();
    const machine = this.#machines[index]!;
    machine.processEnded();
    if (losesPower) machine.losePower(this.random);
    await this.pause(AWAY_MS);
    await this.volume.startReplica(index);
    // The next one may be struck when this one has everything again.
    await this.#untilInSync();
  }

  async #stopReplica(index: number): Promise<void> {
    const { child } = this.volume.replicas[index]!.daemon;
    child.kill('SIGSTOP');
    await this.pause(STOPPED_MS);
    child.kill('SIGCONT');
    await this.#untilInSync();
  }

  async #killTarget(): Promise<void> {
    await this.volume.target.daemon.kill9();
    await this.leave();
    await this.pause(AWAY_MS);
    await this.volume.startTarget();
    await this.login();
    this.load.start(this.disk);
  }

  /** Where the target is away, it is asked again once it is back. */
  async #untilInSync(): Promise<void> {
    const deadline = performance.now() + HEALTHY_WITHIN_MS;
    for (;;) {
      const leftMs = deadline - performance.now();
      try {
        await this.volume.untilHealthy(leftMs);
        return;
      } catch (error) {
        if (!(error instanceof TypeError) || leftMs < 0) throw error;
        await sleep(100);
      }
    }
  }

  async #snapshotNames(): Promise<readonly string[]> {
    try {
      return (await listSnapshots(this.volume)).map(({ name }) => name);
    } catch {
      return [];
    }
  }

  /** One that comes while the target is away, or not serving, is refused, and no fault. */
  async #order(method: 'POST' | 'DELETE', path: string, body?: object): Promise<void> {
    try {
      const { status } = await order(this.volume, method, path, body);
      if (status >= 400) this.refusedOrders++;
    } catch {
      this.refusedOrders++;
    }
  }

  #weigh(): void {
    const [target = 0, ...replicas] = this.volume.pids().map(residentBytes);
    if (this.#targetStruck || this.#struck.size > 0) return;
    this.memory.push({ target, replica: Math.max(...replicas) });
  }
}
