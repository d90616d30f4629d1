import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { shuffled } from '../crash/blow.ts';
import { CheckingLoad } from '../crash/checking-load.ts';
import { FlushChecker } from '../crash/flush-checker.ts';
import { firstDifference } from '../crash/images.ts';
import { type Disk, openDisk } from '../initiator/disk.ts';
import { compileMachine, ReplicaMachine } from '../machine/machine.ts';
import { Random } from '../support/random.ts';
import { ReplicatedVolume } from '../support/replicated-volume.ts';

/** What happens at one moment of a round. */
export interface Outage {
  /** Replicas whose machines lose their power. */
  readonly powerless: readonly number[];
  /** Replicas whose processes are killed besides; their machines stay up. */
  readonly killed: readonly number[];
  readonly target: boolean;
}

export interface PowerCampaignOptions {
  readonly directory: string;
  readonly seed: number;
  /** Flags of Node for every daemon. */
  readonly nodeFlags?: readonly string[];
}

const REPLICAS = 3;
const SIZE_BYTES = 8 * 1024 * 1024;
const LOAD_MS = { least: 30, most: 200 };
const START_SPREAD_MS = { least: 0, most: 40 };
const LOG_LINES_SHOWN = 25;

export function describeOutage({ powerless, killed, target }: Outage): string {
  const parts = [`machines ${powerless.join(', ')} lose their power`];
  if (killed.length > 0) parts.push(`replicas ${killed.join(', ')} are killed`);
  if (target) parts.push('the target is killed');
  return parts.join('; ');
}

/** Rounds of load, a loss of power, repair, and a look at everything. */
export class PowerCampaign {
  readonly load: CheckingLoad;
  readonly #volume: ReplicatedVolume;
  readonly #machines: readonly ReplicaMachine[];
  readonly #random: Random;
  #disk: Disk | null = null;
  /** Sectors that were put back to what they had been. */
  lostSectors = 0;
  /** Sectors that had changed, or must have, when all machines lost their power. */
  readonly total = { rounds: 0, changed: 0, durable: 0 };

  constructor({ directory, seed, nodeFlags = [] }: PowerCampaignOptions) {
    compileMachine();
    this.#random = new Random(seed);
    this.load = new CheckingLoad({ sizeBytes: SIZE_BYTES, random: this.#random });
    this.#machines = Array.from(
      { length: REPLICAS },
      (_, index) => new ReplicaMachine(join(directory, `machine-${index}`)),
    );
    this.#volume = new ReplicatedVolume({
      directory,
      sizeBytes: SIZE_BYTES,
      replicas: REPLICAS,
      kind: 'unix',
      nodeFlags,
      replicaSettings: (index) => this.#machines[index]!.settings(),
    });
  }

  async start(): Promise<void> {
    await this.#volume.start();
    this.#disk = await openDisk(this.#volume.portal);
  }

  async stop(): Promise<void> {
    this.#disk?.session.destroy();
    await this.#volume.stop();
  }

  randomOutage(): Outage {
    const random = this.#random;
    const order = shuffled(random, [...this.#machines.keys()]);
    const powerless = order.slice(0, random.pick([1, 1, 2, 2, 3]));
    const others = order.slice(powerless.length);
    const killed = others.slice(0, random.below(others.length + 1));
    return { powerless, killed, target: random.chance(0.5) };
  }

  /** The last words of every daemon, to understand a failure. */
  lastWords(): string {
    return [this.#volume.target, ...this.#volume.replicas]
      .map((running) => running?.daemon.log.slice(-LOG_LINES_SHOWN).join('\n') ?? '')
      .join('\n--\n');
  }

  /** Rejects with what was lost, stale, torn or different. */
  async round(outage: Outage): Promise<void> {
    const total = outage.powerless.length === REPLICAS;
    if (total) this.load.flushChecker = new FlushChecker(await this.load.stamps(this.#disk!));
    this.load.calm = false;
    this.load.start(this.#disk!);
    await this.#pause(LOAD_MS);
    await this.#strike(outage, total);
    this.load.calm = true;
    await this.#startAgain(outage);
    if (outage.target || total) {
      this.#disk = await openDisk(this.#volume.portal);
      this.load.checker.settle();
      if (total) await this.#lookAfterTotalLoss();
      this.load.start(this.#disk);
    }
    await this.#volume.untilHealthy();
    await this.load.stop();
    await this.load.verify(this.#disk!);
    await this.#disk!.flush();
    const difference = await firstDifference(this.#volume.imagePaths(), SIZE_BYTES);
    if (difference !== null) throw new Error(`in-sync replicas are not identical: ${difference}`);
  }

  async #strike({ powerless, killed, target }: Outage, total: boolean): Promise<void> {
    const replicas = [...powerless, ...killed];
    const struck = replicas.map((index) => this.#volume.replicas[index]!.daemon);
    if (target) struck.push(this.#volume.target.daemon);
    for (const daemon of struck) daemon.child.kill('SIGKILL');
    await Promise.all(struck.map((daemon) => daemon.exited));
    if (target || total) {
      // Every worker must have seen the end of what is in flight.
      this.#disk!.session.destroy();
      await this.load.stop();
    }
    for (const index of killed) this.#machines[index]!.processEnded();
    for (const index of powerless) {
      this.lostSectors += this.#machines[index]!.losePower(this.#random).lost;
    }
  }

  async #startAgain({ powerless, killed, target }: Outage): Promise<void> {
    const starting: Promise<void>[] = [];
    const parts = [...powerless, ...killed, ...(target ? (['target'] as const) : [])];
    for (const part of shuffled(this.#random, parts)) {
      if (starting.length > 0) await this.#pause(START_SPREAD_MS);
      const start =
        part === 'target' ? this.#volume.startTarget() : this.#volume.startReplica(part);
      // Awaited below; one that fails before that is no unhandled rejection.
      start.catch(() => undefined);
      starting.push(start);
    }
    await Promise.all(starting);
  }

  /** What was answered may be gone; what was flushed must be there. */
  async #lookAfterTotalLoss(): Promise<void> {
    const { flushChecker } = this.load;
    const stamps = await this.load.stamps(this.#disk!);
    flushChecker!.check(stamps);
    const { changed, durable } = flushChecker!.counts;
    this.total.rounds++;
    this.total.changed += changed;
    this.total.durable += durable;
    this.load.startOver(stamps);
  }

  #pause({ least, most }: { least: number; most: number }): Promise<void> {
    return sleep(this.#random.between(least, most));
  }
}
