import { setTimeout as sleep } from 'node:timers/promises';
import type { Disk } from '../initiator/disk.ts';
import { controlFlags } from '../snapshots/control.ts';
import type { Daemon } from '../support/daemons.ts';
import { type Again, type Blow, type Part, randomBlow, type Shape } from './blow.ts';
import { countStruck, type Figures, noFigures } from './figures.ts';
import { LoadedVolume } from './loaded-volume.ts';
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

export class CrashCampaign extends LoadedVolume {
  readonly #shape: Shape;
  readonly #snapshots: Snapshots | null;
  readonly #struck = noFigures();

  constructor(options: CampaignOptions) {
    const { seed, directory, shape = THREE_REPLICAS, sizeBytes = SIZE_BYTES } = options;
    const { snapshots = false, nodeFlags = [] } = options;
    const targetFlags = snapshots ? controlFlags(directory) : {};
    super({ seed, directory, sizeBytes, ...shape, nodeFlags, targetFlags });
    this.#shape = shape;
    this.#snapshots = snapshots ? new Snapshots(this.volume, this.load, this.random) : null;
  }

  /** What happens in a round is decided by the seed. */
  randomBlow(): Blow {
    return randomBlow(this.random, this.#shape);
  }

  /** What was struck and what was answered so far; the caller counts the rounds. */
  get figures(): Omit<Figures, 'rounds'> {
    const { killed, stopped } = this.#struck;
    const { answered, unanswered, refused, longestMs } = this.load;
    return { killed, stopped, answered, unanswered, refused, longestMs };
  }

  /** Rejects with what was lost, stale, torn or different. */
  async round({ signal, parts, spreadMs, again }: Blow): Promise<void> {
    this.load.calm = false;
    this.load.start(this.disk);
    await this.pause(LOAD_MS);
    const logged = this.volume.target.daemon.log.length;
    const change = this.#snapshots?.change();
    if (change !== undefined) await this.pause(INTO_CHANGE_MS);
    await this.#strike(parts, signal, spreadMs);
    this.load.calm = true;
    await this.pause(AWAY_MS);
    await this.#goOn(parts);
    if (again !== null) await this.#strikeAgain(parts[0]!, again, logged);
    await this.volume.untilHealthy(HEALTHY_WITHIN_MS);
    await change;
    await this.load.stop();
    await this.load.verify(this.disk);
    await this.disk.flush();
    if (this.#snapshots === null) await this.compareImages();
    else await this.#compareSnapshots(this.#snapshots);
  }

  /** Then, in some rounds, the volume becomes what one of them is, or is killed in the middle. */
  async #compareSnapshots(snapshots: Snapshots): Promise<void> {
    await snapshots.compare();
    if (!this.random.chance(REVERTS)) return;
    await this.disk.session.logout();
    const part = this.random.pick<Part>(['target', 0, 1, 2]);
    const strike = async (): Promise<void> => {
      await this.pause(INTO_CHANGE_MS);
      const { daemon } = part === 'target' ? this.volume.target : this.volume.replicas[part]!;
      this.#count(part, 'SIGKILL');
      await daemon.kill9();
      await this.startAgain([part]);
    };
    const login = async (): Promise<Disk> => {
      await this.volume.untilHealthy(HEALTHY_WITHIN_MS);
      await this.login();
      return this.disk;
    };
    const disk = await snapshots.revert(this.random.chance(0.5) ? strike : null, login);
    if (disk === null) await login();
  }

  async #strike(parts: readonly Part[], signal: Blow['signal'], spreadMs: number): Promise<void> {
    const struck: Daemon[] = [];
    for (const part of parts) {
      if (spreadMs > 0 && struck.length > 0) await sleep(this.random.below(spreadMs));
      const { daemon } = part === 'target' ? this.volume.target : this.volume.replicas[part]!;
      this.#count(part, signal);
      daemon.child.kill(signal);
      struck.push(daemon);
    }
    if (parts.includes('target')) await this.#leaveAfter(signal);
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

  async #leaveAfter(signal: Blow['signal']): Promise<void> {
    if (signal === 'SIGTERM') await sleep(LOGOUT_AFTER_MS);
    await this.leave();
  }

  async #goOn(parts: readonly Part[]): Promise<void> {
    await this.startAgain(parts);
    if (!parts.includes('target')) return;
    await this.login();
    this.load.start(this.disk);
  }

  /** Once the replica that came back is being resynchronised. */
  async #strikeAgain(returning: Part, again: Again, logged: number): Promise<void> {
    await this.#untilLogged('resynchronisation begins', logged);
    await this.pause(INTO_RESYNC_MS);
    const others = [...this.volume.replicas.keys()].filter((index) => index !== returning);
    const parts: Record<Again, readonly Part[]> = {
      'the returning replica': [returning],
      'another replica': [this.random.pick(others)],
      'the target': ['target'],
      everything: ['target', returning, ...others],
    };
    await this.#strike(parts[again], 'SIGKILL', 0);
    await this.pause(AWAY_MS);
    await this.#goOn(parts[again]);
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
}
