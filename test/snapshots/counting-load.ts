/**
 * A writer that counts up through the blocks, one write after the other, so that the volume tells
 * which point of the order it is at; other writes go on beside. Needs 64 MiB.
 */
import { expect } from 'chai';
import type { Disk } from '../initiator/disk.ts';

const MIB = 1024 * 1024;
const BLOCK = 4096;
const COUNTED = 64;
const NOISE_AT = 32 * MIB;

/** The last count that fell on a block when `count` was written last. */
const countIn = (block: number, count: number): number => {
  const last = count - ((((count - block) % COUNTED) + COUNTED) % COUNTED);
  return Math.max(0, last);
};

export class CountingLoad {
  readonly #disk: Disk;
  acknowledged = 0;
  begun = 0;
  #stopped = false;
  #ended: Promise<unknown> = Promise.resolve();

  constructor(disk: Disk, acknowledged = 0) {
    this.#disk = disk;
    this.acknowledged = acknowledged;
    this.begun = acknowledged;
  }

  start(): void {
    const noise = Array.from({ length: 8 }, (_, lane) => this.#noise(lane));
    this.#ended = Promise.all([this.#count(), ...noise]);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#ended;
  }

  async #count(): Promise<void> {
    const data = Buffer.alloc(BLOCK);
    while (!this.#stopped) {
      const count = ++this.begun;
      for (let at = 0; at < BLOCK; at += 4) data.writeUInt32LE(count, at);
      await this.#disk.write((count % COUNTED) * MIB * 0.25, data);
      this.acknowledged = count;
    }
  }

  async #noise(lane: number): Promise<void> {
    const data = Buffer.alloc(2 * BLOCK, lane + 1);
    for (let turn = 0; !this.#stopped; turn++) {
      await this.#disk.write(NOISE_AT + ((turn * 8 + lane) % 2048) * data.length, data);
    }
  }
}

/** The count that the volume is at; fails where it is at no point of the order. */
export const pointOf = async (disk: Disk): Promise<number> => {
  const counts: number[] = [];
  for (let block = 0; block < COUNTED; block++) {
    const data = await disk.read(block * MIB * 0.25, BLOCK);
    for (let at = 0; at < BLOCK; at += 4)
      expect(data.readUInt32LE(at)).to.equal(data.readUInt32LE(0));
    counts.push(data.readUInt32LE(0));
  }
  const point = Math.max(...counts);
  expect(counts).to.deep.equal(counts.map((_, block) => countIn(block, point)));
  return point;
};
