import type { Disk } from '../initiator/disk.ts';
import { listSnapshots, order } from '../snapshots/control.ts';
import type { Random } from '../support/random.ts';
import type { ReplicatedVolume } from '../support/replicated-volume.ts';
import { until } from '../support/until.ts';
import type { CheckingLoad } from './checking-load.ts';
import { type Stamp, Violation } from './register-checker.ts';

/** A snapshot, and for each sector what it may hold: what the volume may have held meanwhile. */
interface Point {
  readonly name: string;
  readonly held: readonly (readonly Stamp[])[];
  /** Its making or its deletion had no answer: it is there or not. */
  unsure: boolean;
}

interface Integrity {
  readonly scrub: {
    readonly state: string;
    readonly lastCompletedAt: string | null;
    readonly badBlocks: number;
    readonly divergentBlocks: number;
  };
}

const MOST_SNAPSHOTS = 4;
const SCRUB_WITHIN_MS = 60_000;

/**
 * Snapshots of a volume under a checking load, made, deleted and gone back to while daemons are
 * killed. What was answered is so afterwards; what had no answer is done wholly or not at all; and
 * a snapshot holds in each sector what a read at its time could have returned.
 */
export class Snapshots {
  readonly #volume: ReplicatedVolume;
  readonly #load: CheckingLoad;
  readonly #random: Random;
  #points: Point[] = [];
  #names = 0;

  constructor(volume: ReplicatedVolume, load: CheckingLoad, random: Random) {
    this.#volume = volume;
    this.#load = load;
    this.#random = random;
  }

  /** One more or one less, while writes go on and whoever has to do it may be killed. */
  async change(): Promise<void> {
    const known = this.#points.filter(({ unsure }) => !unsure);
    const full = known.length >= MOST_SNAPSHOTS;
    if (known.length > 0 && (full || this.#random.chance(0.4))) {
      await this.#delete(this.#random.pick(known));
    } else {
      await this.#make();
    }
  }

  async #make(): Promise<void> {
    const name = `s${++this.#names}`;
    const { checker } = this.#load;
    const moment = checker.startMoment();
    const done = await this.#order('POST', '/v1/snapshots', { name });
    this.#points.push({ name, held: checker.finishMoment(moment), unsure: !done });
  }

  async #delete(point: Point): Promise<void> {
    point.unsure = true;
    if (await this.#order('DELETE', `/v1/snapshots/${point.name}`)) this.#forget(point);
  }

  /** At rest. Throws where one is missing that was made, or there that was deleted. */
  async compare(): Promise<void> {
    const listed = (await listSnapshots(this.#volume)).map(({ name }) => name);
    for (const point of [...this.#points]) {
      if (listed.includes(point.name)) point.unsure = false;
      else if (point.unsure) this.#forget(point);
      else throw new Violation(`snapshot ${point.name} was made and is not there`);
    }
    const unknown = listed.find((name) => !this.#points.some((point) => point.name === name));
    if (unknown !== undefined) throw new Violation(`snapshot ${unknown} was deleted and is there`);
    await this.#scrub();
  }

  /**
   * Nobody is logged in and nothing is under way. Returns the disk after a new login; null where
   * there is no snapshot to go back to.
   */
  async revert(
    struck: (() => Promise<void>) | null,
    login: () => Promise<Disk>,
  ): Promise<Disk | null> {
    if (this.#points.length === 0) return null;
    const point = this.#random.pick(this.#points);
    const keepAs = `kept-${++this.#names}`;
    const { checker } = this.#load;
    const held = checker.finishMoment(checker.startMoment());
    const [done] = await Promise.all([
      this.#order('POST', `/v1/snapshots/${point.name}/revert`, { keepAs }),
      struck?.(),
    ]);
    const disk = await login();
    const kept = (await listSnapshots(this.#volume)).some(({ name }) => name === keepAs);
    if (done && !kept) throw new Violation(`a revert was answered and ${keepAs} is not there`);
    if (!kept) return disk;
    const stamps = await this.#load.stamps(disk);
    for (const [sector, stamp] of stamps.entries()) {
      const may = point.held[sector] ?? [];
      if (!may.includes(stamp)) {
        throw new Violation(
          `sector ${sector} of snapshot ${point.name} holds ${stamp}; it may hold ${may.join(', ')}`,
        );
      }
    }
    this.#load.startOver(stamps);
    const now = { name: keepAs, held, unsure: false };
    this.#points.push(now);
    if (this.#random.chance(0.5)) await this.#delete(now);
    return disk;
  }

  /** Each replica verifies all layers, and the volume is compared between them. */
  async #scrub(): Promise<void> {
    const before = (await this.#integrity()).scrub.lastCompletedAt;
    await order(this.#volume, 'POST', '/v1/scrub', {});
    const isOver = async (): Promise<boolean> => {
      const { scrub } = await this.#integrity();
      return scrub.state === 'idle' && scrub.lastCompletedAt !== before;
    };
    await until('the scrub ends', isOver, SCRUB_WITHIN_MS);
    const { badBlocks, divergentBlocks } = (await this.#integrity()).scrub;
    if (badBlocks + divergentBlocks === 0) return;
    throw new Violation(
      `in-sync replicas are not identical: ${divergentBlocks} blocks differ, ${badBlocks} are bad`,
    );
  }

  async #integrity(): Promise<Integrity> {
    const status: unknown = await this.#volume.status();
    return (status as { integrity: Integrity }).integrity;
  }

  /** False: there was no answer, or it was refused. */
  async #order(method: 'POST' | 'DELETE', path: string, body?: object): Promise<boolean> {
    try {
      return (await order(this.#volume, method, path, body)).status === 200;
    } catch {
      // Its target was killed.
      return false;
    }
  }

  #forget(point: Point): void {
    this.#points = this.#points.filter((each) => each !== point);
  }
}
