import { expect } from 'chai';
import fc from 'fast-check';
import { zlib } from '../runtime/builtin.ts';
import { BLOCK_BYTES, EXTENT_BYTES, MAX_ATOMIC_BYTES, SECTOR_BYTES } from '../protocol/types.ts';
import {
  SimulatedReplica,
  makeWrite,
  numberedSectors,
  seededRandom,
  versionOf,
} from './simulated-volume.ts';

/**
 * Goal: whatever sequence of operations, flushes, rests, restarts, kills and losses of power a
 * store goes through, it holds what it acknowledged, and a version that it tells as known belongs
 * to exactly the bytes that it holds. Method: a model keeps for each sector the number of the write
 * that filled it, and for each extent what it held at each version.
 */
const SIZE_BYTES = 5 * EXTENT_BYTES + 3 * SECTOR_BYTES;
const SECTORS = SIZE_BYTES / SECTOR_BYTES;
const SECTORS_PER_EXTENT = EXTENT_BYTES / SECTOR_BYTES;
const MAX_WRITE_SECTORS = 96;

class Model {
  /** Number of the write in each sector; 0 is zeroes. */
  readonly sectors = new Uint32Array(SECTORS);
  /** What a sector may hold after power was lost: everything since the last flush. */
  readonly #candidates = new Map<number, number[]>();
  /** By extent and version, the checksum of the sectors' numbers. */
  readonly #history = new Map<string, number>();

  fill(first: number, count: number, value: number): void {
    for (let sector = first; sector < first + count; sector += 1) {
      const candidates = this.#candidates.get(sector) ?? [this.sectors[sector]!];
      candidates.push(value);
      this.#candidates.set(sector, candidates);
      this.sectors[sector] = value;
    }
  }

  remember(first: number, count: number, version: string): void {
    const last = Math.floor((first + count - 1) / SECTORS_PER_EXTENT);
    for (let extent = Math.floor(first / SECTORS_PER_EXTENT); extent <= last; extent += 1)
      this.#history.set(`${extent} ${version}`, this.#digest(extent));
  }

  flushed(): void {
    this.#candidates.clear();
  }

  /** Takes what is found after a loss of power, if it is legal. */
  settle(found: Uint32Array): void {
    for (let sector = 0; sector < SECTORS; sector += 1) {
      const value = found[sector]!;
      const legal = this.#candidates.get(sector) ?? [this.sectors[sector]!];
      if (!legal.includes(value))
        expect.fail(`sector ${sector} holds ${value}, legal are ${legal.join()}`);
      this.sectors[sector] = value;
    }
    this.#candidates.clear();
  }

  /** What it holds of this range is on stable storage. */
  madeDurable(first: number, count: number): void {
    for (let sector = first; sector < first + count; sector += 1) this.#candidates.delete(sector);
  }

  checkVersion(extent: number, version: string): void {
    if (version === 'unknown') return;
    const held = version === '0/0' ? 0 : this.#history.get(`${extent} ${version}`);
    const zero = version === '0/0' ? this.#digest(extent, true) : held;
    expect(this.#digest(extent), `extent ${extent} at version ${version}`).to.equal(zero);
  }

  #digest(extent: number, zero = false): number {
    const start = extent * SECTORS_PER_EXTENT;
    const numbers = this.sectors.slice(start, start + SECTORS_PER_EXTENT);
    if (zero) numbers.fill(0);
    return zlib.crc32(new Uint8Array(numbers.buffer));
  }
}

class Run {
  readonly #random: () => number;
  readonly #replica: SimulatedReplica;
  readonly #model = new Model();
  #epoch = 0;
  #seq = 0;
  #value = 0;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    this.#replica = new SimulatedReplica('one', SIZE_BYTES, this.#random);
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  async start(): Promise<void> {
    await this.#replica.open();
    await this.#activate();
  }

  /** The only replica is its own source: every extent is reconciled by looking at it. */
  async #activate(): Promise<void> {
    this.#epoch += 1;
    this.#seq = 0;
    await this.#replica.promise(this.#epoch);
    if (this.#random() < 0.7)
      for (let extent = 0; extent < this.#replica.extents; extent += 1)
        if (this.#replica.versionText(extent) === 'unknown') this.#stamp(extent);
    await this.#replica.join(this.#epoch, 1, ['one']);
  }

  #stamp(extent: number): void {
    this.#seq += 1;
    const first = extent * SECTORS_PER_EXTENT;
    const count = Math.min(SECTORS_PER_EXTENT, SECTORS - first);
    this.#replica.store.apply({
      kind: 'stamp',
      version: versionOf(this.#epoch, this.#seq),
      offsetBytes: first * SECTOR_BYTES,
      lengthBytes: count * SECTOR_BYTES,
    });
    this.#model.remember(first, count, `${this.#epoch}/${this.#seq}`);
  }

  async step(): Promise<void> {
    const choice = this.#random();
    if (choice < 0.5) this.#write();
    else if (choice < 0.57) this.#unmap();
    else if (choice < 0.6) await this.#writeAtomic();
    else if (choice < 0.63) this.#stamp(this.#below(this.#replica.extents));
    else if (choice < 0.78) await this.#checkRange();
    else if (choice < 0.85) await this.#flush();
    else if (choice < 0.9) this.#replica.rest(1 + this.#below(3));
    else if (choice < 0.93) await new Promise((resolve) => setImmediate(resolve));
    else if (choice < 0.95) await this.#closeAndOpen();
    else if (choice < 0.97) await this.#kill();
    else if (choice < 0.99) await this.#losePower();
    else this.#checkVersions();
  }

  #range(limit: number): [number, number] {
    const first = this.#below(SECTORS);
    const whole = this.#random() < 0.5;
    const blockSectors = BLOCK_BYTES / SECTOR_BYTES;
    const start = whole ? first - (first % blockSectors) : first;
    const count = whole ? blockSectors * (1 + this.#below(4)) : 1 + this.#below(limit);
    return [start, Math.min(count, SECTORS - start)];
  }

  #write(): void {
    const [first, count] = this.#range(MAX_WRITE_SECTORS);
    this.#value += 1;
    this.#seq += 1;
    const content = numberedSectors(this.#value, count * SECTOR_BYTES);
    const cuts = this.#random() < 0.3 ? [1 + this.#below(content.length)] : [];
    const version = versionOf(this.#epoch, this.#seq);
    this.#replica.store.apply(makeWrite(version, first * SECTOR_BYTES, content, cuts));
    // The payload is only lent: the store must have taken what it needs.
    content.fill(0xdd);
    this.#model.fill(first, count, this.#value);
    this.#model.remember(first, count, `${this.#epoch}/${this.#seq}`);
  }

  /** Often it stops in the middle: then the range holds all of it, or all that was there before. */
  async #writeAtomic(): Promise<void> {
    expect(await this.#idle()).to.equal(this.#seq);
    const blockSectors = BLOCK_BYTES / SECTOR_BYTES;
    const count = blockSectors * (1 + this.#below(MAX_ATOMIC_BYTES / BLOCK_BYTES));
    const first = blockSectors * this.#below(Math.floor((SECTORS - count) / blockSectors) + 1);
    this.#value += 1;
    this.#seq += 1;
    const content = numberedSectors(this.#value, count * SECTOR_BYTES);
    const version = versionOf(this.#epoch, this.#seq);
    const write = makeWrite(version, first * SECTOR_BYTES, content, [], 'write-atomic');
    this.#replica.store.apply(write);
    content.fill(0xdd);
    const isPower = this.#random() < 0.5;
    if (this.#random() < 0.5) {
      for (let turns = this.#below(5); turns > 0; turns -= 1)
        await new Promise((resolve) => setImmediate(resolve));
      if (isPower) this.#replica.losePower();
      else this.#replica.killProcess();
      await this.#replica.open();
    } else expect(await this.#idle()).to.equal(this.#seq);
    const found = await this.#readAll();
    const written = found.slice(first, first + count).filter((value) => value === this.#value);
    expect(written.length).to.be.oneOf([0, count]);
    const isThere = written.length > 0;
    if (isThere) {
      this.#model.fill(first, count, this.#value);
      this.#model.madeDurable(first, count);
      this.#model.remember(first, count, `${this.#epoch}/${this.#seq}`);
    }
    if (this.#replica.store.appliedSeq === this.#seq) {
      expect(isThere).to.equal(true);
      await this.checkAll();
      return;
    }
    if (isPower) this.#model.settle(found);
    await this.checkAll();
    await this.#activate();
  }

  #unmap(): void {
    const [first, count] = this.#range(this.#random() < 0.2 ? SECTORS : 4 * MAX_WRITE_SECTORS);
    this.#seq += 1;
    this.#replica.store.apply({
      kind: 'unmap',
      version: versionOf(this.#epoch, this.#seq),
      offsetBytes: first * SECTOR_BYTES,
      lengthBytes: count * SECTOR_BYTES,
    });
    this.#model.fill(first, count, 0);
    this.#model.remember(first, count, `${this.#epoch}/${this.#seq}`);
  }

  async #flush(): Promise<void> {
    expect(await this.#replica.flush()).to.equal(null);
    this.#model.flushed();
  }

  async #checkRange(): Promise<void> {
    const [first, count] = this.#range(MAX_WRITE_SECTORS);
    const expected = this.#model.sectors.slice(first, first + count);
    const found = await this.#replica.read(first * SECTOR_BYTES, count * SECTOR_BYTES);
    if (typeof found === 'string') expect.fail(`read answered ${found}`);
    expect([...numbersIn(found)]).to.deep.equal([...expected]);
  }

  async #readAll(): Promise<Uint32Array> {
    const found = new Uint32Array(SECTORS);
    for (let first = 0; first < SECTORS; first += SECTORS_PER_EXTENT) {
      const count = Math.min(SECTORS_PER_EXTENT, SECTORS - first);
      const bytes = await this.#replica.read(first * SECTOR_BYTES, count * SECTOR_BYTES);
      if (typeof bytes === 'string') expect.fail(`read answered ${bytes}`);
      found.set(numbersIn(bytes), first);
    }
    return found;
  }

  async checkAll(): Promise<void> {
    const found = await this.#readAll();
    const wrong = found.findIndex((value, sector) => value !== this.#model.sectors[sector]);
    if (wrong >= 0)
      expect.fail(`sector ${wrong} holds ${found[wrong]}, not ${this.#model.sectors[wrong]}`);
    // Everything before is applied now, because reads come after what they overlap.
    this.#replica.store.settle();
    this.#checkVersions();
  }

  #checkVersions(): void {
    // Versions are of what was applied; the model is ahead while something waits for a mark.
    this.#replica.store.settle();
    if (this.#replica.store.appliedSeq !== this.#seq) return;
    for (let extent = 0; extent < this.#replica.extents; extent += 1)
      this.#model.checkVersion(extent, this.#replica.versionText(extent));
  }

  async #closeAndOpen(): Promise<void> {
    await this.#replica.close();
    await this.#replica.open();
    this.#model.flushed();
    // Regions that a crash left and nobody touched since stay marked.
    const { markedRegions } = this.#replica.store.counters();
    expect(this.#replica.store.state().cleanStart).to.equal(markedRegions === 0);
    if (this.#seq > 0)
      expect(this.#replica.store.state().lastVersion).to.deep.equal(
        versionOf(this.#epoch, this.#seq),
      );
    await this.checkAll();
    await this.#activate();
  }

  /** All that was acknowledged is there; the rest was given up so that the model stays exact. */
  async #kill(): Promise<void> {
    await this.#checkRange();
    expect(await this.#idle()).to.equal(this.#seq);
    this.#replica.killProcess();
    await this.#replica.open();
    expect(this.#replica.store.state().sameBoot).to.equal(true);
    this.#checkLowerBound();
    await this.checkAll();
    await this.#activate();
  }

  async #losePower(): Promise<void> {
    this.#replica.losePower();
    await this.#replica.open();
    expect(this.#replica.store.state().sameBoot).to.equal(false);
    this.#model.settle(await this.#readAll());
    await this.checkAll();
    await this.#activate();
  }

  #checkLowerBound(): void {
    const { lastVersion } = this.#replica.store.state();
    if (lastVersion.epoch === this.#epoch) expect(lastVersion.seq).to.be.at.most(this.#seq);
    else expect(lastVersion.epoch).to.be.below(this.#epoch);
  }

  /** Waits until everything is applied. */
  async #idle(): Promise<number> {
    for (let turn = 0; turn < 1000 && this.#replica.store.appliedSeq !== this.#seq; turn += 1)
      await new Promise((resolve) => setImmediate(resolve));
    return this.#replica.store.appliedSeq;
  }
}

function numbersIn(bytes: Buffer): Uint32Array {
  const numbers = new Uint32Array(bytes.length / SECTOR_BYTES);
  for (let sector = 0; sector < numbers.length; sector += 1) {
    numbers[sector] = bytes.readUInt32LE(sector * SECTOR_BYTES);
    if (bytes.readUInt32LE((sector + 1) * SECTOR_BYTES - 4) !== numbers[sector])
      expect.fail(`sector ${sector} of the read is torn`);
  }
  return numbers;
}

const runs = Number(process.env['STORE_MODEL_RUNS'] ?? 10);
/** Of one run on a busy machine. */
const RUN_WITHIN_MS = 15_000;

describe('a store against a model', () => {
  it('holds what was acknowledged, and its known versions are those of its bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer(), async (seed) => {
        const run = new Run(seed);
        await run.start();
        for (let step = 0; step < 250; step += 1) await run.step();
        await run.checkAll();
      }),
      { numRuns: runs, endOnFailure: true },
    );
  }).timeout(runs * RUN_WITHIN_MS);
});
