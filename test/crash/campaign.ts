import { setTimeout as sleep } from 'node:timers/promises';
import type { Disk } from '../initiator/disk.ts';
import { openDisk } from '../initiator/disk.ts';
import { Random } from '../support/random.ts';
import { ReplicatedVolume } from '../support/replicated-volume.ts';
import { CheckingLoad } from './checking-load.ts';
import { firstDifference } from './images.ts';

/**
 * Rounds of load, a blow, repair, and a look at everything. A blow names the processes that it
 * ends; the signal is SIGKILL or, to see that an orderly stop loses nothing either, SIGTERM.
 */
export interface Blow {
  readonly signal: 'SIGKILL' | 'SIGTERM';
  readonly target: boolean;
  readonly replicas: readonly number[];
}

export interface CampaignOptions {
  readonly directory: string;
  readonly seed: number;
  readonly sizeBytes?: number;
}

const REPLICAS = 3;
const SIZE_BYTES = 32 * 1024 * 1024;
/** Load before the blow: long enough for writes to be everywhere on their way. Milliseconds. */
const LOAD_MS = { least: 40, most: 300 };
/** How long what was ended stays away. Milliseconds. */
const AWAY_MS = { least: 0, most: 250 };
/** Load after everything is back. Milliseconds. */
const AFTER_MS = 60;

export function describeBlow({ signal, target, replicas }: Blow): string {
  const names = [...(target ? ['target'] : []), ...replicas.map((index) => `replica ${index}`)];
  return `${signal} to ${names.join(', ')}`;
}

export class CrashCampaign {
  readonly load: CheckingLoad;
  readonly #volume: ReplicatedVolume;
  readonly #random: Random;
  readonly #sizeBytes: number;
  #disk: Disk | null = null;

  constructor({ directory, seed, sizeBytes = SIZE_BYTES }: CampaignOptions) {
    this.#sizeBytes = sizeBytes;
    this.#random = new Random(seed);
    this.load = new CheckingLoad({ sizeBytes, random: this.#random });
    this.#volume = new ReplicatedVolume({
      directory,
      sizeBytes,
      replicas: REPLICAS,
      kind: 'unix',
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

  /** What happens in one round is decided by the seed. */
  randomBlow(): Blow {
    const random = this.#random;
    const signal = random.chance(0.2) ? 'SIGTERM' : 'SIGKILL';
    const one = random.below(REPLICAS);
    const all = Array.from({ length: REPLICAS }, (_, index) => index);
    switch (random.below(6)) {
      case 0:
      case 1:
        return { signal, target: true, replicas: [] };
      case 2:
      case 3:
        return { signal, target: false, replicas: [one] };
      case 4:
        return { signal, target: true, replicas: [one] };
      default:
        return { signal, target: true, replicas: all };
    }
  }

  /** Rejects with what was lost, stale, torn or different. */
  async round(blow: Blow): Promise<void> {
    this.load.start(this.#disk!);
    await this.#pause(LOAD_MS);
    await this.#strike(blow);
    await this.#pause(AWAY_MS);
    await this.#volume.start();
    if (blow.target) await this.#loginAgain();
    await this.#volume.untilHealthy();
    await sleep(AFTER_MS);
    await this.load.stop();
    await this.load.verify(this.#disk!);
    await this.#disk!.flush();
    await this.#compareImages();
  }

  async #strike({ signal, target, replicas }: Blow): Promise<void> {
    const daemons = [
      ...(target ? [this.#volume.target] : []),
      ...replicas.map((index) => this.#volume.replicas[index]!),
    ].map(({ daemon }) => daemon);
    // All at the same moment; only then wait.
    for (const daemon of daemons) daemon.child.kill(signal);
    for (const exit of await Promise.all(daemons.map((daemon) => daemon.exited))) {
      if (signal === 'SIGTERM' && exit.code !== 0) {
        throw new Error(`a daemon ended with ${exit.code ?? exit.signal} after SIGTERM`);
      }
    }
  }

  async #loginAgain(): Promise<void> {
    // The old session's end fails what is in flight; every worker must have seen that.
    this.#disk!.session.destroy();
    await this.load.stop();
    this.#disk = await openDisk(this.#volume.portal);
    this.load.checker.settle();
    this.load.start(this.#disk);
  }

  async #compareImages(): Promise<void> {
    const paths = this.#volume.replicas.map((_, index) => this.#volume.imagePath(index));
    const difference = await firstDifference(paths, this.#sizeBytes);
    if (difference !== null) throw new Error(`in-sync replicas are not identical: ${difference}`);
  }

  #pause({ least, most }: { least: number; most: number }): Promise<void> {
    return sleep(this.#random.between(least, most));
  }
}
