import { shuffled } from '../crash/blow.ts';
import { FlushChecker } from '../crash/flush-checker.ts';
import { LoadedVolume } from '../crash/loaded-volume.ts';
import { newMachines, type ReplicaMachine } from '../machine/machine.ts';
import type { ReplicaSettings } from '../support/replicated-volume.ts';

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

export function describeOutage({ powerless, killed, target }: Outage): string {
  const parts = [`machines ${powerless.join(', ')} lose their power`];
  if (killed.length > 0) parts.push(`replicas ${killed.join(', ')} are killed`);
  if (target) parts.push('the target is killed');
  return parts.join('; ');
}

/** Rounds of load, a loss of power, repair, and a look at everything. */
export class PowerCampaign extends LoadedVolume {
  readonly #machines: readonly ReplicaMachine[];
  /** Sectors that were put back to what they had been. */
  lostSectors = 0;
  /** Sectors that had changed, or must have, when all machines lost their power. */
  readonly total = { rounds: 0, changed: 0, durable: 0 };

  constructor({ directory, seed, nodeFlags = [] }: PowerCampaignOptions) {
    const machines = newMachines(directory, REPLICAS);
    const replicaSettings = (index: number): ReplicaSettings => machines[index]!.settings();
    const replicas = REPLICAS;
    super({ seed, directory, sizeBytes: SIZE_BYTES, replicas, nodeFlags, replicaSettings });
    this.#machines = machines;
  }

  randomOutage(): Outage {
    const random = this.random;
    const order = shuffled(random, [...this.#machines.keys()]);
    const powerless = order.slice(0, random.pick([1, 1, 2, 2, 3]));
    const others = order.slice(powerless.length);
    const killed = others.slice(0, random.below(others.length + 1));
    return { powerless, killed, target: random.chance(0.5) };
  }

  /** Rejects with what was lost, stale, torn or different. */
  async round(outage: Outage): Promise<void> {
    const { powerless, killed, target } = outage;
    const total = powerless.length === REPLICAS;
    if (total) this.load.flushChecker = new FlushChecker(await this.load.stamps(this.disk));
    this.load.calm = false;
    this.load.start(this.disk);
    await this.pause(LOAD_MS);
    await this.#strike(outage, total);
    this.load.calm = true;
    await this.startAgain([...powerless, ...killed, ...(target ? (['target'] as const) : [])]);
    if (target || total) {
      await this.login();
      if (total) await this.#lookAfterTotalLoss();
      this.load.start(this.disk);
    }
    await this.volume.untilHealthy();
    await this.load.stop();
    await this.load.verify(this.disk);
    await this.disk.flush();
    await this.compareImages();
  }

  async #strike({ powerless, killed, target }: Outage, total: boolean): Promise<void> {
    const replicas = [...powerless, ...killed];
    const struck = replicas.map((index) => this.volume.replicas[index]!.daemon);
    if (target) struck.push(this.volume.target.daemon);
    for (const daemon of struck) daemon.child.kill('SIGKILL');
    await Promise.all(struck.map((daemon) => daemon.exited));
    if (target || total) await this.leave();
    for (const index of killed) this.#machines[index]!.processEnded();
    for (const index of powerless) {
      this.lostSectors += this.#machines[index]!.losePower(this.random).lost;
    }
  }

  /** What was answered may be gone; what was flushed must be there. */
  async #lookAfterTotalLoss(): Promise<void> {
    const { flushChecker } = this.load;
    const stamps = await this.load.stamps(this.disk);
    flushChecker!.check(stamps);
    const { changed, durable } = flushChecker!.counts;
    this.total.rounds++;
    this.total.changed += changed;
    this.total.durable += durable;
    this.load.startOver(stamps);
  }
}
