import { Disk, ScsiError } from '../initiator/disk.ts';
import { RegisterChecker } from '../crash/register-checker.ts';
import { fillSectors, readStamps, SECTOR_BYTES } from '../crash/sector.ts';
import type { Random } from '../support/random.ts';

const SECTORS = 256;
const MAX_SECTORS = 16;
const WORKERS = 4;
/** SAM-5 5.3.1: what other initiators may cause by rightful commands; the command is sent again. */
const RETRIED = new Set([0x08, 0x18, 0x28]);

/**
 * A peaceful session beside the attack: it writes and reads a few sectors of its own all the time,
 * checks all that it reads, and remembers how long it had to wait.
 */
export class Witness {
  operations = 0;
  slowestMs = 0;
  readonly #disk: Disk;
  readonly #firstSector: number;
  readonly #random: Random;
  readonly #checker: RegisterChecker;
  #stopping = false;
  #running: Promise<unknown> = Promise.resolve();

  /** Its sectors are zero when it starts, and nobody else writes them. */
  constructor(options: { disk: Disk; offsetBytes: number; random: Random }) {
    this.#disk = options.disk;
    this.#firstSector = options.offsetBytes / SECTOR_BYTES;
    this.#random = options.random;
    this.#checker = new RegisterChecker(SECTORS);
  }

  start(): void {
    this.#running = Promise.all(Array.from({ length: WORKERS }, () => this.#work()));
    this.#running.catch(() => undefined);
  }

  /** Rejects when a block was wrong or the session was ended. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#running;
  }

  async #work(): Promise<void> {
    while (!this.#stopping) {
      const began = performance.now();
      const count = this.#random.between(1, MAX_SECTORS);
      const sector = this.#random.below(SECTORS - count);
      if (this.#random.chance(0.5)) await this.#write(sector, count);
      else await this.#read(sector, count);
      this.operations++;
      this.slowestMs = Math.max(this.slowestMs, performance.now() - began);
      // The attack is the load here, not the witness.
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  async #write(sector: number, count: number): Promise<void> {
    const operation = this.#checker.startWrite(sector, count);
    const bytes = Buffer.allocUnsafeSlow(count * SECTOR_BYTES);
    fillSectors(bytes, sector, operation.stamp);
    await insist(() => this.#disk.write((this.#firstSector + sector) * SECTOR_BYTES, bytes));
    this.#checker.finishWrite(operation);
  }

  async #read(sector: number, count: number): Promise<void> {
    const operation = this.#checker.startRead(sector, count);
    const offset = (this.#firstSector + sector) * SECTOR_BYTES;
    const bytes = await insist(() => this.#disk.read(offset, count * SECTOR_BYTES));
    this.#checker.finishRead(operation, readStamps(bytes, sector));
  }
}

async function insist<T>(attempt: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof ScsiError) || !RETRIED.has(error.status)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }
}
