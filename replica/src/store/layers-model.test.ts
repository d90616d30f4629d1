import { expect } from 'chai';
import fc from 'fast-check';
import { BLOCK_BYTES, EXTENT_BYTES, REGION_BYTES, SECTOR_BYTES } from '../protocol/types.ts';
import type { LayersChange } from '../protocol/types.ts';
import {
  SimulatedReplica,
  makeWrite,
  numberedSectors,
  seededRandom,
  versionOf,
} from './simulated-volume.ts';

/**
 * Goal: however snapshots are made, undone, reverted to, deleted and merged between writes, unmaps,
 * kills and losses of power, the volume holds what it was given, every snapshot holds what the
 * volume held when it was made, and a known version belongs to exactly the bytes that are seen.
 * Method: a model keeps the number in each sector of the volume and of each snapshot.
 */
const SIZE_BYTES = REGION_BYTES + 2 * EXTENT_BYTES + BLOCK_BYTES;
const BLOCKS = SIZE_BYTES / BLOCK_BYTES;
const PER_BLOCK = BLOCK_BYTES / SECTOR_BYTES;
const SECTORS = BLOCKS * PER_BLOCK;
const PER_EXTENT = EXTENT_BYTES / SECTOR_BYTES;
const AT = '2026-01-01T00:00:00.000Z';
/** Few places, so that layers hide each other. */
const PLACES = [0, 3, 254, 255, 256, 300, 511, 512, 1023, 1024, 1500, BLOCKS - 2, BLOCKS - 1];

class Run {
  readonly #random: () => number;
  readonly #replica: SimulatedReplica;
  /** The number in each sector. */
  #sectors: number[] = new Array<number>(SECTORS).fill(0);
  /** What a sector may hold after power was lost. */
  readonly #candidates = new Map<number, number[]>();
  /** By layer. */
  #snapshots = new Map<number, number[]>();
  readonly #history = new Map<string, string>();
  #head = 1;
  #nextLayer = 2;
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

  #one<T>(list: readonly T[]): T {
    return list[this.#below(list.length)]!;
  }

  async start(): Promise<void> {
    await this.#replica.open();
    await this.#activate();
  }

  async #activate(): Promise<void> {
    this.#epoch += 1;
    this.#seq = 0;
    await this.#replica.promise(this.#epoch);
    if (this.#random() < 0.5)
      for (let extent = 0; extent < this.#replica.extents; extent += 1)
        if (this.#replica.versionText(extent) === 'unknown') this.#stamp(extent);
    await this.#idle();
    await this.#replica.join(this.#epoch, 1, ['one']);
  }

  #stamp(extent: number): void {
    this.#seq += 1;
    const offsetBytes = extent * EXTENT_BYTES;
    this.#replica.store.apply({
      kind: 'stamp',
      version: versionOf(this.#epoch, this.#seq),
      offsetBytes,
      lengthBytes: Math.min(EXTENT_BYTES, SIZE_BYTES - offsetBytes),
    });
    this.#remember(extent, extent);
  }

  async step(): Promise<void> {
    const choice = this.#random();
    if (choice < 0.42) this.#write();
    else if (choice < 0.52) this.#unmap();
    else if (choice < 0.6) await this.#check();
    else if (choice < 0.66) await this.#flush();
    else if (choice < 0.72) this.#replica.rest(1 + this.#below(4));
    else if (choice < 0.78) await this.#turns(1 + this.#below(20));
    else if (choice < 0.84) await this.#snapshot();
    else if (choice < 0.86) await this.#revert();
    else if (choice < 0.9) await this.#delete();
    else if (choice < 0.92) await this.#merge();
    else if (choice < 0.94) await this.#checkSnapshots();
    else if (choice < 0.955) await this.#closeAndOpen();
    else if (choice < 0.97) await this.#crash(false);
    else if (choice < 0.985) await this.#crash(true);
    else await this.#crashInChange();
  }

  #write(): void {
    const first = PER_BLOCK * this.#one(PLACES) + this.#below(2) * this.#below(PER_BLOCK);
    const count = Math.min(this.#count(), SECTORS - first);
    this.#value += 1;
    this.#seq += 1;
    const content = numberedSectors(this.#value, count * SECTOR_BYTES);
    const version = versionOf(this.#epoch, this.#seq);
    this.#replica.store.apply(makeWrite(version, first * SECTOR_BYTES, content));
    this.#fill(first, count, this.#value);
  }

  #count(): number {
    const blocks = 1 + this.#below(4);
    return this.#random() < 0.5 ? blocks * PER_BLOCK : 1 + this.#below(5 * PER_BLOCK);
  }

  #unmap(): void {
    let first = PER_BLOCK * this.#one(PLACES) + this.#below(2) * this.#below(PER_BLOCK);
    let count = this.#count();
    if (this.#random() < 0.3) {
      first = 0;
      count = SECTORS;
    }
    count = Math.min(count, SECTORS - first);
    this.#seq += 1;
    this.#replica.store.apply({
      kind: 'unmap',
      version: versionOf(this.#epoch, this.#seq),
      offsetBytes: first * SECTOR_BYTES,
      lengthBytes: count * SECTOR_BYTES,
    });
    this.#fill(first, count, 0);
  }

  #fill(first: number, count: number, value: number): void {
    for (let sector = first; sector < first + count; sector += 1) {
      const candidates = this.#candidates.get(sector) ?? [this.#sectors[sector]!];
      candidates.push(value);
      this.#candidates.set(sector, candidates);
      this.#sectors[sector] = value;
    }
    this.#remember(Math.floor(first / PER_EXTENT), Math.floor((first + count - 1) / PER_EXTENT));
  }

  #remember(first: number, last: number): void {
    for (let extent = first; extent <= last; extent += 1)
      this.#history.set(`${extent} ${this.#epoch}/${this.#seq}`, this.#digest(extent));
  }

  #digest(extent: number): string {
    const start = PER_EXTENT * extent;
    return this.#sectors.slice(start, start + PER_EXTENT).join();
  }

  async #flush(): Promise<void> {
    expect(await this.#replica.flush()).to.equal(null);
    this.#candidates.clear();
  }

  async #change(change: LayersChange): Promise<void> {
    await this.#replica.store.changeLayers(change);
  }

  #snapshotChange(): LayersChange {
    const head = this.#nextLayer;
    this.#nextLayer += 1;
    return { change: 'snapshot', head, name: `s${this.#head}`, createdAt: AT };
  }

  async #snapshot(): Promise<void> {
    if (this.#snapshots.size > 12) return;
    const change = this.#snapshotChange();
    const before = this.#head;
    const content = [...this.#sectors];
    await this.#change(change);
    expect(this.#replica.store.appliedSeq).to.equal(this.#seq);
    this.#head = this.#nextLayer - 1;
    this.#candidates.clear();
    if (this.#random() < 0.15) {
      await this.#change({ change: 'undo', head: this.#head });
      this.#head = before;
    } else this.#snapshots.set(before, content);
    await this.#change(change).catch(() => undefined);
    // Repeating what was undone makes it again.
    if (this.#replica.store.state().headLayer !== this.#head) {
      this.#snapshots.set(before, content);
      this.#head = this.#replica.store.state().headLayer;
    }
  }

  async #revert(): Promise<void> {
    if (this.#snapshots.size === 0 || this.#snapshots.size > 12) return;
    const to = this.#one([...this.#snapshots.keys()]);
    const head = this.#nextLayer;
    this.#nextLayer += 1;
    const old = [...this.#sectors];
    await this.#change({ change: 'revert', head, to, name: `s${this.#head}`, createdAt: AT });
    this.#snapshots.set(this.#head, old);
    this.#head = head;
    this.#sectors = [...this.#snapshots.get(to)!];
    this.#candidates.clear();
    for (let extent = 0; extent < this.#replica.extents; extent += 1) this.#checkVersion(extent);
  }

  async #delete(): Promise<void> {
    if (this.#snapshots.size === 0) return;
    const layer = this.#one([...this.#snapshots.keys()]);
    await this.#change({ change: 'delete', layer });
    this.#snapshots.delete(layer);
  }

  /** Until nothing is left to be merged. */
  async #merge(): Promise<void> {
    const { store } = this.#replica;
    for (let turn = 0; turn < 400; turn += 1) {
      const { layers, headLayer } = store.state();
      const isMergeable = layers.some(
        ({ id, name }) =>
          id !== headLayer && name === null && layers.filter((l) => l.parent === id).length === 1,
      );
      if (!isMergeable) return;
      this.#replica.rest(1);
      await this.#turns(3);
    }
    expect.fail('merging does not come to an end');
  }

  async #turns(count: number): Promise<void> {
    for (let turn = 0; turn < count; turn += 1)
      await new Promise((resolve) => setImmediate(resolve));
  }

  async #idle(): Promise<void> {
    for (let turn = 0; turn < 1000 && this.#replica.store.appliedSeq !== this.#seq; turn += 1)
      await this.#turns(1);
    expect(this.#replica.store.appliedSeq).to.equal(this.#seq);
  }

  async #check(): Promise<void> {
    const first = PER_BLOCK * this.#one(PLACES) + this.#below(2) * this.#below(PER_BLOCK);
    const count = Math.min(this.#count(), SECTORS - first);
    const found = await this.#replica.read(first * SECTOR_BYTES, count * SECTOR_BYTES);
    if (typeof found === 'string') expect.fail(`read answered ${found}`);
    expect(sectorsOf(found)).to.deep.equal(this.#sectors.slice(first, first + count));
  }

  async #readAll(): Promise<number[]> {
    const sectors: number[] = [];
    for (let at = 0; at < SIZE_BYTES; at += EXTENT_BYTES) {
      const found = await this.#replica.read(at, Math.min(EXTENT_BYTES, SIZE_BYTES - at));
      if (typeof found === 'string') expect.fail(`read answered ${found}`);
      sectors.push(...sectorsOf(found));
    }
    return sectors;
  }

  async checkAll(): Promise<void> {
    const found = await this.#readAll();
    const wrong = found.findIndex((value, sector) => value !== this.#sectors[sector]);
    if (wrong >= 0)
      expect.fail(`sector ${wrong} holds ${found[wrong]}, not ${this.#sectors[wrong]}`);
    await this.#idle();
    for (let extent = 0; extent < this.#replica.extents; extent += 1) this.#checkVersion(extent);
    await this.#checkSnapshots();
  }

  #checkVersion(extent: number): void {
    const version = this.#replica.versionText(extent);
    if (version === 'unknown') return;
    const zeroes = this.#digest(extent).replaceAll(/\d+/g, '0');
    const held = version === '0/0' ? zeroes : this.#history.get(`${extent} ${version}`);
    expect(this.#digest(extent), `extent ${extent} at version ${version}`).to.equal(held);
  }

  /** As another replica would put them together: layer by layer. */
  async #checkSnapshots(): Promise<void> {
    // What a layer itself holds changes while another is merged into it.
    await this.#change({ change: 'pause-merges' });
    const { layers } = this.#replica.store.state();
    const named = layers.filter(({ name }) => name !== null).map(({ id }) => id);
    expect(named).to.have.members([...this.#snapshots.keys()]);
    for (const [id, content] of this.#snapshots) {
      const found = await this.#contentOf(id);
      const wrong = found.findIndex((value, sector) => value !== content[sector]);
      if (wrong >= 0)
        expect.fail(`layer ${id}, sector ${wrong}: ${found[wrong]}, not ${content[wrong]}`);
    }
    await this.#change({ change: 'resume-merges' });
  }

  async #contentOf(id: number): Promise<number[]> {
    const { store } = this.#replica;
    const content = new Array<number>(SECTORS).fill(0);
    const open = new Set(Array.from({ length: BLOCKS }, (_, block) => block));
    let next: number | null = id;
    while (next !== null) {
      const layer: number = next;
      const bitmaps = store.layerAllocation(layer, 0, SIZE_BYTES);
      const bytes = bitmaps.length / 2;
      const isSet = (from: number, block: number): boolean =>
        ((bitmaps[from + (block >>> 3)] ?? 0) & (1 << (block & 7))) !== 0;
      for (const block of open) {
        if (isSet(0, block)) {
          const found = sectorsOf(await this.#readLayer(layer, block));
          content.splice(PER_BLOCK * block, PER_BLOCK, ...found);
        } else if (!isSet(bytes, block)) continue;
        open.delete(block);
      }
      next = store.state().layers.find((each) => each.id === layer)!.parent;
    }
    return content;
  }

  #readLayer(layer: number, block: number): Promise<Buffer> {
    const into = Buffer.alloc(BLOCK_BYTES);
    const checksums = Buffer.alloc(4);
    const offsetBytes = block * BLOCK_BYTES;
    return new Promise((resolve, reject) => {
      const done = (error: Error | null): void => (error === null ? resolve(into) : reject(error));
      this.#replica.store.readLayer(layer, { offsetBytes, into, checksums, done });
    });
  }

  async #closeAndOpen(): Promise<void> {
    await this.#replica.close();
    await this.#replica.open();
    this.#seq = 0;
    this.#candidates.clear();
    await this.checkAll();
    await this.#activate();
  }

  async #crash(power: boolean): Promise<void> {
    await this.#idle();
    await this.#crashNow(power);
    await this.checkAll();
    await this.#activate();
  }

  async #crashNow(power: boolean): Promise<void> {
    if (power) this.#replica.losePower();
    else this.#replica.killProcess();
    await this.#replica.open();
    this.#seq = 0;
    if (!power) return;
    const found = await this.#readAll();
    found.forEach((value, sector) => {
      const legal = this.#candidates.get(sector) ?? [this.#sectors[sector]!];
      if (!legal.includes(value))
        expect.fail(`sector ${sector} holds ${value}, legal are ${legal.join()}`);
    });
    this.#sectors = found;
    this.#candidates.clear();
  }

  /** The tree is the old one or the new one. */
  async #crashInChange(): Promise<void> {
    await this.#idle();
    if (this.#snapshots.size > 12) return;
    const change = this.#snapshotChange();
    const before = this.#head;
    const content = [...this.#sectors];
    this.#replica.store.changeLayers(change).catch(() => undefined);
    await this.#turns(this.#below(12));
    await this.#crashNow(this.#random() < 0.5);
    const { headLayer } = this.#replica.store.state();
    if (headLayer !== before) {
      expect(headLayer).to.equal(this.#nextLayer - 1);
      // It is durable only with all that was given before it.
      expect(this.#sectors).to.deep.equal(content);
      this.#snapshots.set(before, content);
      this.#head = headLayer;
    }
    await this.checkAll();
    await this.#activate();
  }
}

function sectorsOf(bytes: Buffer): number[] {
  const numbers: number[] = [];
  for (let at = 0; at < bytes.length; at += SECTOR_BYTES) {
    const value = bytes.readUInt32LE(at);
    if (bytes.readUInt32LE(at + SECTOR_BYTES - 4) !== value) expect.fail(`sector ${at} is torn`);
    numbers.push(value);
  }
  return numbers;
}

const runs = Number(process.env['STORE_MODEL_RUNS'] ?? 8);
/** Of one run on a busy machine. */
const RUN_WITHIN_MS = 15_000;

describe('layers against a model', () => {
  it('hold what the volume held when they were frozen, and the volume what it was given', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer(), async (seed) => {
        const run = new Run(seed);
        await run.start();
        for (let step = 0; step < 200; step += 1) await run.step();
        await run.checkAll();
      }),
      { numRuns: runs, endOnFailure: true },
    );
  }).timeout(runs * RUN_WITHIN_MS);
});
