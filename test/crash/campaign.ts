import { setTimeout as sleep } from 'node:timers/promises';
import type { Disk } from '../initiator/disk.ts';
import { openDisk } from '../initiator/disk.ts';
import { controlFlags } from '../snapshots/control.ts';
import type { Daemon } from '../support/daemons.ts';
import { Random } from '../support/random.ts';
import { ReplicatedVolume } from '../support/replicated-volume.ts';
import { type Again, type Blow, type Part, randomBlow, type Shape, shuffled } from './blow.ts';
import { CheckingLoad } from './checking-load.ts';
import { countStruck, type Figures, noFigures } from './figures.ts';
import { firstDifference } from './images.ts';
import { Snapshots } from './snapshots.ts';

/** Rounds of load, a blow, repair, and a look at everything. */
export interface CampaignOptions {
  readonly directory: string;
  readonly seed: number;
  readonly shape?: Shape;
  readonly sizeBytes?: number;
  /** Snapshots are made, deleted and gone back to as well. */
  readonly snapshots?: boolean;
  /** Flags of Node for every daemon. */
  readonly nodeFlags?: readonly string[];
}

const THREE_REPLICAS: Shape = { replicas: 3, witnesses: 0 };
const SIZE_BYTES = 8 * 1024 * 1024;
/** Load before the blow: long enough for writes to be everywhere on their way. Milliseconds. */
const LOAD_MS = { least: 15, most: 150 };
/** How long what was ended stays away. Milliseconds. */
const AWAY_MS = { least: 0, most: 60 };
/** Between the starts of two processes. Milliseconds. */
const START_SPREAD_MS = { least: 0, most: 40 };
/** Into a resynchronisation, before it is struck. Milliseconds. */
const INTO_RESYNC_MS = { least: 0, most: 40 };
/** A target that ends in order waits for initiators to log out; ours goes on so long. Millis. */
const LOGOUT_AFTER_MS = 100;
const RESYNC_WITHIN_MS = 60_000;
/** A machine that does much else besides is slow, and not wrong. */
const HEALTHY_WITHIN_MS = 120_000;
/** Into the making or deleting of a snapshot, or a revert, before daemons die. Milliseconds. */
const INTO_CHANGE_MS = { least: 0, most: 40 };
/** In this share of the rounds with snapshots the volume goes back to one. */
const REVERTS = 0.4;
const LOG_POLL_MS = 2;
const LOG_LINES_SHOWN = 25;

export class CrashCampaign {
  readonly load: CheckingLoad;
  readonly volume: ReplicatedVolume;
  readonly #shape: Shape;
  readonly #random: Random;
  readonly #sizeBytes: number;
  readonly #snapshots: Snapshots | null;
  readonly #struck = noFigures();
  #disk: Disk | null = null;

  constructor(options: CampaignOptions) {
    const { shape = THREE_REPLICAS, sizeBytes = SIZE_BYTES, nodeFlags = [] } = options;
    const { directory, snapshots = false } = options;
    this.#sizeBytes = sizeBytes;
    this.#shape = shape;
    this.#random = new Random(options.seed);
    this.load = new CheckingLoad({ sizeBytes, random: this.#random });
    this.volume = new ReplicatedVolume({
      directory,
      sizeBytes,
      ...shape,
      nodeFlags,
      kind: 'unix',
      ...(snapshots ? { targetFlags: controlFlags(directory) } : {}),
    });
    this.#snapshots = snapshots ? new Snapshots(this.volume, this.load, this.#random) : null;
  }

  async start(): Promise<void> {
    await this.volume.start();
    this.#disk = await openDisk(this.volume.portal);
  }

  async stop(): Promise<void> {
    this.#disk?.session.destroy();
    await this.volume.stop();
  }

  /** What happens in a round is decided by the seed. */
  randomBlow(): Blow {
    return randomBlow(this.#random, this.#shape);
  }

  /** What was struck and what was answered so far; the caller counts the rounds. */
  get figures(): Omit<Figures, 'rounds'> {
    const { killed, stopped } = this.#struck;
    const { answered, unanswered, refused, longestMs } = this.load;
    return { killed, stopped, answered, unanswered, refused, longestMs };
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

  /** Rejects with what was lost, stale, torn or different. */
  async round({ signal, parts, spreadMs, again }: Blow): Promise<void> {
    this.load.calm = false;
    this.load.start(this.#disk!);
    await this.#pause(LOAD_MS);
    const logged = this.volume.target.daemon.log.length;
    const change = this.#snapshots?.change();
    if (change !== undefined) await this.#pause(INTO_CHANGE_MS);
    await this.#strike(parts, signal, spreadMs);
    this.load.calm = true;
    await this.#pause(AWAY_MS);
    await this.#startAgain(parts);
    if (again !== null) await this.#strikeAgain(parts[0]!, again, logged);
    await this.volume.untilHealthy(HEALTHY_WITHIN_MS);
    await change;
    await this.load.stop();
    await this.load.verify(this.#disk!);
    await this.#disk!.flush();
    if (this.#snapshots === null) await this.#compareImages();
    else await this.#compareSnapshots(this.#snapshots);
  }

  /** Then, in some rounds, the volume becomes what one of them is, or is killed in the middle. */
  async #compareSnapshots(snapshots: Snapshots): Promise<void> {
    await snapshots.compare();
    if (!this.#random.chance(REVERTS)) return;
    await this.#disk!.session.logout();
    const part = this.#random.pick<Part>(['target', 0, 1, 2]);
    const strike = async (): Promise<void> => {
      await this.#pause(INTO_CHANGE_MS);
      const { daemon } = part === 'target' ? this.volume.target : this.volume.replicas[part]!;
      this.#count(part, 'SIGKILL');
      await daemon.kill9();
      await this.#startProcess(part);
    };
    const login = async (): Promise<Disk> => {
      await this.volume.untilHealthy(HEALTHY_WITHIN_MS);
      return openDisk(this.volume.portal);
    };
    const disk = await snapshots.revert(this.#random.chance(0.5) ? strike : null, login);
    this.#disk = disk ?? (await login());
  }

  async #strike(parts: readonly Part[], signal: Blow['signal'], spreadMs: number): Promise<void> {
    const struck: Daemon[] = [];
    for (const part of parts) {
      if (spreadMs > 0 && struck.length > 0) await sleep(this.#random.below(spreadMs));
      const { daemon } = part === 'target' ? this.volume.target : this.volume.replicas[part]!;
      this.#count(part, signal);
      daemon.child.kill(signal);
      struck.push(daemon);
    }
    if (parts.includes('target')) await this.#leave(signal);
    for (const exit of await Promise.all(struck.map((daemon) => daemon.exited))) {
      if (signal === 'SIGTERM' && exit.code !== 0) {
        throw new Error(`a daemon ended with ${exit.code ?? exit.signal} after SIGTERM`);
      }
    }
  }

  #count(part: Part, signal: Blow['signal']): void {
    const strike = signal === 'SIGKILL' ? 'killed' : 'stopped';
    countStruck(this.#struck, strike, { part, shape: this.#shape });
  }

  async #leave(signal: Blow['signal']): Promise<void> {
    if (signal === 'SIGTERM') await sleep(LOGOUT_AFTER_MS);
    // The session's end fails what is in flight; every worker must have seen that.
    this.#disk!.session.destroy();
    await this.load.stop();
  }

  /** In any order, and not waiting for each other. */
  async #startAgain(parts: readonly Part[]): Promise<void> {
    const starting: Promise<void>[] = [];
    for (const part of shuffled(this.#random, parts)) {
      if (starting.length > 0) await this.#pause(START_SPREAD_MS);
      const start = this.#startProcess(part);
      // Awaited below; one that fails before that is no unhandled rejection.
      start.catch(() => undefined);
      starting.push(start);
    }
    await Promise.all(starting);
    if (!parts.includes('target')) return;
    this.#disk = await openDisk(this.volume.portal);
    this.load.checker.settle();
    this.load.start(this.#disk);
  }

  #startProcess(part: Part): Promise<void> {
    return part === 'target' ? this.volume.startTarget() : this.volume.startReplica(part);
  }

  /** Once the replica that came back is being resynchronised. */
  async #strikeAgain(returning: Part, again: Again, logged: number): Promise<void> {
    await this.#untilLogged('resynchronisation begins', logged);
    await this.#pause(INTO_RESYNC_MS);
    const others = [...this.volume.replicas.keys()].filter((index) => index !== returning);
    const parts: Record<Again, readonly Part[]> = {
      'the returning replica': [returning],
      'another replica': [this.#random.pick(others)],
      'the target': ['target'],
      everything: ['target', returning, ...others],
    };
    await this.#strike(parts[again], 'SIGKILL', 0);
    await this.#pause(AWAY_MS);
    await this.#startAgain(parts[again]);
  }

  async #untilLogged(message: string, from: number): Promise<void> {
    const { log } = this.volume.target.daemon;
    const deadline = performance.now() + RESYNC_WITHIN_MS;
    for (let at = from; ;) {
      for (; at < log.length; at++) if (log[at]!.includes(message)) return;
      if (performance.now() > deadline) throw new Error(`the target did not say "${message}"`);
      await sleep(LOG_POLL_MS);
    }
  }

  async #compareImages(): Promise<void> {
    const difference = await firstDifference(this.volume.imagePaths(), this.#sizeBytes);
    if (difference !== null) throw new Error(`in-sync replicas are not identical: ${difference}`);
  }

  #pause({ least, most }: { least: number; most: number }): Promise<void> {
    return sleep(this.#random.between(least, most));
  }
}
