import { setTimeout as sleep } from 'node:timers/promises';
import type { Disk } from '../initiator/disk.ts';
import { ScsiError } from '../initiator/disk.ts';
import { SessionLost } from '../initiator/session.ts';
import type { Random } from '../support/random.ts';
import type { FlushChecker } from './flush-checker.ts';
import type { Operation, Stamp } from './register-checker.ts';
import { RegisterChecker } from './register-checker.ts';
import { fillSectors, readStamps, SECTOR_BYTES } from './sector.ts';

const WORKERS = 24;
/** Between two operations of one worker while the load is calm. Milliseconds. */
const CALM_PAUSE_MS = 40;
const MAX_SECTORS = 128;
/** Most operations meet in a few small windows, so that they overlap; the others go anywhere. */
const WINDOWS = 20;
const WINDOW_SECTORS = 192;
const ANYWHERE = 0.1;
const VERIFY_BYTES = 256 * 1024;
const VERIFY_DEPTH = 4;

/**
 * Many workers that read, write, unmap and flush overlapping ranges at once; each answer is checked
 * when it comes. One checker goes through the whole life of a volume.
 */
export class CheckingLoad {
  checker: RegisterChecker;
  /** Besides, what has to be there when all machines have lost their power. */
  flushChecker: FlushChecker | null = null;
  readonly #sectors: number;
  readonly #random: Random;
  #stopping = false;
  /**
   * Little is going on, so that whoever comes back is not held up by it, and yet every moment is
   * watched.
   */
  calm = false;
  #running: Promise<void> = Promise.resolve();
  /** The longest that an operation took which was answered with GOOD. Milliseconds. */
  longestMs = 0;
  /** Operations that were answered with GOOD. */
  answered = 0;
  /** Operations whose session ended first. */
  unanswered = 0;
  /** Other statuses: allowed while too few replicas are there. */
  refused = 0;

  constructor({ sizeBytes, random }: { sizeBytes: number; random: Random }) {
    this.#sectors = sizeBytes / SECTOR_BYTES;
    this.#random = random;
    this.checker = new RegisterChecker(this.#sectors);
  }

  /** Runs until stop() or until the session ends. A Violation rejects what stop() returns. */
  start(disk: Disk): void {
    this.#stopping = false;
    this.#running = Promise.all(Array.from({ length: WORKERS }, () => this.#work(disk))).then(
      () => undefined,
    );
    // Whoever awaits stop() sees it; until then it is no unhandled rejection.
    this.#running.catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#running;
  }

  /** Resolves when stop() or the end of the session has ended it; rejects as stop() does. */
  ended(): Promise<void> {
    return this.#running;
  }

  /** All sectors hold this now, and whatever was before counts no more. */
  startOver(stamps: readonly Stamp[]): void {
    this.checker = new RegisterChecker(this.#sectors, { stamps, last: this.checker.lastStamp });
    this.flushChecker = null;
  }

  /** What each sector holds, unchecked. */
  async stamps(disk: Disk): Promise<Stamp[]> {
    const stamps: Stamp[] = [];
    const step = VERIFY_BYTES / SECTOR_BYTES;
    for (let sector = 0; sector < this.#sectors; sector += step) {
      const count = Math.min(step, this.#sectors - sector);
      const bytes = await disk.read(sector * SECTOR_BYTES, count * SECTOR_BYTES);
      for (const stamp of readStamps(bytes, sector)) stamps.push(stamp);
    }
    return stamps;
  }

  /** Reads every sector of the volume. */
  async verify(disk: Disk): Promise<void> {
    let next = 0;
    const step = VERIFY_BYTES / SECTOR_BYTES;
    const reader = async (): Promise<void> => {
      while (next < this.#sectors) {
        const sector = next;
        next += step;
        await this.#read(disk, sector, Math.min(step, this.#sectors - sector));
      }
    };
    await Promise.all(Array.from({ length: VERIFY_DEPTH }, reader));
  }

  async #work(disk: Disk): Promise<void> {
    while (!this.#stopping) {
      if (this.calm) await sleep(CALM_PAUSE_MS);
      const startedMs = performance.now();
      try {
        await this.#one(disk);
        this.answered++;
        this.longestMs = Math.max(this.longestMs, performance.now() - startedMs);
      } catch (error) {
        if (error instanceof SessionLost) {
          this.unanswered++;
          return;
        }
        if (!(error instanceof ScsiError)) throw error;
        this.refused++;
      }
    }
  }

  #one(disk: Disk): Promise<void> {
    const random = this.#random;
    const { sector, count } = this.#place();
    const choice = random.below(100);
    if (choice < 45) return this.#read(disk, sector, count);
    if (choice < 50) return this.#unmap(disk, sector, count);
    if (choice < 51) return this.#flush(disk);
    return this.#write(disk, sector, count, random.chance(0.02));
  }

  #place(): { sector: number; count: number } {
    const random = this.#random;
    // Half are aligned blocks of 4 KiB, as file systems write them.
    const aligned = random.chance(0.5);
    const count = aligned ? 8 * random.between(1, 4) : random.between(1, MAX_SECTORS);
    if (random.chance(ANYWHERE)) {
      return { sector: random.below(this.#sectors - count), count };
    }
    const window = Math.floor(this.#sectors / WINDOWS) * random.below(WINDOWS);
    const offset = random.below(WINDOW_SECTORS - count + 1);
    return { sector: window + (aligned ? offset & ~7 : offset), count };
  }

  async #read(disk: Disk, sector: number, count: number): Promise<void> {
    const operation = this.checker.startRead(sector, count);
    const bytes = await this.#answer(
      operation,
      disk.read(sector * SECTOR_BYTES, count * SECTOR_BYTES),
    );
    this.checker.finishRead(operation, readStamps(bytes, sector));
  }

  async #write(disk: Disk, sector: number, count: number, durable: boolean): Promise<void> {
    const operation = this.checker.startWrite(sector, count);
    const bytes = Buffer.allocUnsafeSlow(count * SECTOR_BYTES);
    fillSectors(bytes, sector, operation.stamp);
    const written = disk.write(sector * SECTOR_BYTES, bytes, { forceUnitAccess: durable });
    await this.#changed(operation, written, durable);
  }

  async #unmap(disk: Disk, sector: number, count: number): Promise<void> {
    const operation = this.checker.startUnmap(sector, count);
    if (operation === null) {
      await this.#write(disk, sector, count, false);
      return;
    }
    const unmapped = disk.unmap(sector * SECTOR_BYTES, count * SECTOR_BYTES);
    await this.#changed(operation, unmapped, false);
  }

  async #flush(disk: Disk): Promise<void> {
    const flush = this.flushChecker?.startFlush();
    await disk.flush();
    if (flush !== undefined) this.flushChecker?.finishFlush(flush);
  }

  async #changed(operation: Operation, answer: Promise<void>, durable: boolean): Promise<void> {
    const change = this.flushChecker?.startChange(operation);
    await this.#answer(operation, answer);
    this.checker.finishWrite(operation);
    if (change !== undefined) this.flushChecker?.finishChange(change, durable);
  }

  async #answer<T>(operation: Operation, answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      this.checker.abandon(operation);
      throw error;
    }
  }
}
