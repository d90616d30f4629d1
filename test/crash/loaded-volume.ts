import { setTimeout as sleep } from 'node:timers/promises';
import { type Disk, openDisk } from '../initiator/disk.ts';
import { Random } from '../support/random.ts';
import { ReplicatedVolume, type ReplicatedVolumeOptions } from '../support/replicated-volume.ts';
import { type Part, shuffled } from './blow.ts';
import { CheckingLoad } from './checking-load.ts';
import { firstDifference } from './images.ts';

export interface LoadedVolumeOptions extends Omit<ReplicatedVolumeOptions, 'kind'> {
  readonly seed: number;
}

/** A span from which chance picks. Milliseconds. */
export interface Span {
  readonly least: number;
  readonly most: number;
}

/** Between the starts of two processes. */
const START_SPREAD_MS: Span = { least: 0, most: 40 };
const LOG_LINES_SHOWN = 25;

/** A volume, an initiator, and a load whose every answer is checked. All chance is the seed's. */
export class LoadedVolume {
  readonly load: CheckingLoad;
  readonly volume: ReplicatedVolume;
  protected readonly random: Random;
  readonly #sizeBytes: number;
  #disk: Disk | null = null;

  constructor({ seed, ...options }: LoadedVolumeOptions) {
    const { sizeBytes } = options;
    this.#sizeBytes = sizeBytes;
    this.random = new Random(seed);
    this.load = new CheckingLoad({ sizeBytes, random: this.random });
    this.volume = new ReplicatedVolume({ ...options, kind: 'unix' });
  }

  async start(): Promise<void> {
    await this.volume.start();
    await this.login();
  }

  async stop(): Promise<void> {
    this.#disk?.session.destroy();
    await this.volume.stop();
  }

  /** The last words of every daemon, to understand a failure. */
  lastWords(): string {
    const daemons = [this.volume.target, ...this.volume.replicas];
    return daemons
      .map((running, index) => {
        const name = index === 0 ? 'target' : `replica ${index - 1}`;
        return `${name}:\n${running?.daemon.log.slice(-LOG_LINES_SHOWN).join('\n') ?? ''}`;
      })
      .join('\n');
  }

  protected get disk(): Disk {
    if (this.#disk === null) throw new Error('nobody has logged in');
    return this.#disk;
  }

  /** To a target that has just started: what the one before left unanswered is decided. */
  protected async login(): Promise<void> {
    this.#disk = await openDisk(this.volume.portal);
    this.load.checker.settle();
  }

  /** The session's end fails what is in flight; every worker has seen that. */
  protected async leave(): Promise<void> {
    this.disk.session.destroy();
    await this.load.stop();
  }

  /** Processes that have ended, in any order, and not waiting for each other. */
  protected async startAgain(parts: readonly Part[]): Promise<void> {
    const starting: Promise<void>[] = [];
    for (const part of shuffled(this.random, parts)) {
      if (starting.length > 0) await this.pause(START_SPREAD_MS);
      const start = part === 'target' ? this.volume.startTarget() : this.volume.startReplica(part);
      // Awaited below; one that fails before that is no unhandled rejection.
      start.catch(() => undefined);
      starting.push(start);
    }
    await Promise.all(starting);
  }

  protected async compareImages(): Promise<void> {
    const difference = await firstDifference(this.volume.imagePaths(), this.#sizeBytes);
    if (difference !== null) throw new Error(`in-sync replicas are not identical: ${difference}`);
  }

  protected async pause({ least, most }: Span): Promise<void> {
    await sleep(this.random.between(least, most));
  }
}
