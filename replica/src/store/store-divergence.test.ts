import { expect } from 'chai';
import fc from 'fast-check';
import { EXTENT_BYTES, SECTOR_BYTES } from '../protocol/types.ts';
import {
  SimulatedReplica,
  makeWrite,
  numberedSectors,
  seededRandom,
  versionOf,
} from './simulated-volume.ts';
import type { StoreOperation } from './types.ts';

/**
 * Goal: two replicas that tell the same known version of an extent hold the same bytes, whatever
 * one of them missed and whenever it, or the target, stopped in the middle of a resynchronisation.
 * Method: a source that never misses an operation, a second replica that loses its connection, its
 * process or its power, and a small target that resynchronises extent by extent and may be replaced
 * by a new one at any time.
 */
const EXTENTS = 6;
const SIZE_BYTES = EXTENTS * EXTENT_BYTES;
const SECTORS = SIZE_BYTES / SECTOR_BYTES;
const IDS = ['source', 'other'];

type Link =
  | { readonly kind: 'away' }
  /** Takes all writes; these extents are still to be compared. */
  | { readonly kind: 'syncing'; readonly todo: number[] }
  | { readonly kind: 'member' };

class Pair {
  readonly #random: () => number;
  readonly #source: SimulatedReplica;
  readonly #other: SimulatedReplica;
  #link: Link = { kind: 'away' };
  #epoch = 0;
  #seq = 0;
  #configSeq = 0;
  #value = 0;
  joins = 0;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    this.#source = new SimulatedReplica('source', SIZE_BYTES, this.#random);
    this.#other = new SimulatedReplica('other', SIZE_BYTES, this.#random);
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  async start(): Promise<void> {
    await this.#source.open();
    await this.#other.open();
    await this.#newTarget();
  }

  /** The next target knows nothing but what the replicas tell. */
  async #newTarget(): Promise<void> {
    this.#epoch += 1;
    this.#seq = 0;
    this.#configSeq = 1;
    this.#link = { kind: 'away' };
    await this.#source.promise(this.#epoch);
    await this.#source.join(this.#epoch, this.#configSeq, ['source']);
  }

  async step(): Promise<void> {
    const choice = this.#random();
    if (choice < 0.45) this.#write();
    else if (choice < 0.52) this.#unmap();
    else if (choice < 0.66) await this.#resynchronise();
    else if (choice < 0.7) await this.#resynchroniseToTheEnd();
    else if (choice < 0.78) await this.#compare();
    else if (choice < 0.84) this.#rest();
    else if (choice < 0.88) this.#link = { kind: 'away' };
    else if (choice < 0.92) await this.#newTarget();
    else if (choice < 0.95) await this.#restart('kill');
    else if (choice < 0.98) await this.#restart('power');
    else await this.#restart('close');
  }

  #give(make: (seqNumber: number) => StoreOperation): void {
    this.#seq += 1;
    this.#source.store.apply(make(this.#seq));
    if (this.#link.kind !== 'away') this.#other.store.apply(make(this.#seq));
  }

  #write(): void {
    const first = this.#below(SECTORS);
    const count = Math.min(1 + this.#below(24), SECTORS - first);
    this.#value += 1;
    const content = numberedSectors(this.#value, count * SECTOR_BYTES);
    const epochNumber = this.#epoch;
    this.#give((seq) => makeWrite(versionOf(epochNumber, seq), first * SECTOR_BYTES, content));
  }

  #unmap(): void {
    const first = this.#below(SECTORS);
    const lengthBytes = Math.min(1 + this.#below(4096), SECTORS - first) * SECTOR_BYTES;
    const epochNumber = this.#epoch;
    this.#give((seq) => ({
      kind: 'unmap',
      version: versionOf(epochNumber, seq),
      offsetBytes: first * SECTOR_BYTES,
      lengthBytes,
    }));
  }

  /** One step of it: the connection, one extent, or the record at the end. */
  async #resynchronise(): Promise<void> {
    const link = this.#link;
    switch (link.kind) {
      case 'away': {
        await this.#other.promise(this.#epoch);
        await this.#applied(this.#source);
        const todo: number[] = [];
        for (let extent = 0; extent < EXTENTS; extent += 1) {
          const version = this.#other.versionText(extent);
          if (version === 'unknown' || version !== this.#source.versionText(extent))
            todo.push(extent);
        }
        this.#link = { kind: 'syncing', todo };
        return;
      }
      case 'syncing': {
        const extent = link.todo.shift();
        if (extent !== undefined) await this.#copy(extent, this.#random() < 0.05);
        else await this.#join();
        return;
      }
      case 'member':
        return;
    }
  }

  /** `interrupted`: the target stops before the extent is complete. */
  async #copy(extent: number, interrupted: boolean): Promise<void> {
    const offsetBytes = extent * EXTENT_BYTES;
    const content = await this.#source.read(offsetBytes, EXTENT_BYTES);
    if (typeof content === 'string') expect.fail(`the source answered ${content}`);
    const epochNumber = this.#epoch;
    const half = EXTENT_BYTES / 2;
    for (const at of interrupted ? [0] : [0, half])
      this.#give((seq) =>
        makeWrite(versionOf(epochNumber, seq), offsetBytes + at, content.subarray(at, at + half)),
      );
    if (interrupted) await this.#newTarget();
    else
      this.#give((seq) => ({
        kind: 'stamp',
        version: versionOf(epochNumber, seq),
        offsetBytes,
        lengthBytes: EXTENT_BYTES,
      }));
  }

  async #join(): Promise<void> {
    this.#link = { kind: 'member' };
    this.#configSeq += 1;
    await this.#source.join(this.#epoch, this.#configSeq, IDS);
    await this.#other.join(this.#epoch, this.#configSeq, IDS);
    this.joins += 1;
    await this.#compare();
    for (let extent = 0; extent < EXTENTS; extent += 1)
      expect(await this.#isSame(extent), `extent ${extent} after the join`).to.equal(true);
  }

  #rest(): void {
    this.#source.rest(3);
    this.#other.rest(3);
  }

  async #restart(how: 'kill' | 'power' | 'close'): Promise<void> {
    this.#link = { kind: 'away' };
    if (how === 'close') await this.#other.close();
    else if (how === 'kill') this.#other.killProcess();
    else this.#other.losePower();
    await this.#other.open();
  }

  async #applied(replica: SimulatedReplica): Promise<void> {
    expect(await replica.flush()).to.equal(null);
  }

  async #isSame(extent: number): Promise<boolean> {
    const one = await this.#source.read(extent * EXTENT_BYTES, EXTENT_BYTES);
    const two = await this.#other.read(extent * EXTENT_BYTES, EXTENT_BYTES);
    if (typeof one === 'string' || typeof two === 'string') expect.fail('a read failed');
    return one.equals(two);
  }

  async #compare(): Promise<void> {
    await this.#applied(this.#source);
    await this.#applied(this.#other);
    for (let extent = 0; extent < EXTENTS; extent += 1) {
      const version = this.#source.versionText(extent);
      if (version === 'unknown' || version !== this.#other.versionText(extent)) continue;
      const message = `extent ${extent} is ${version} on both`;
      expect(await this.#isSame(extent), message).to.equal(true);
    }
  }

  async #resynchroniseToTheEnd(): Promise<void> {
    for (let turn = 0; turn < 30 && this.#link.kind !== 'member'; turn += 1) {
      await this.#resynchronise();
      if (this.#random() < 0.3) this.#write();
    }
  }

  async finish(): Promise<void> {
    await this.#compare();
    await this.#resynchroniseToTheEnd();
    await this.#compare();
    expect(this.#source.failure ?? this.#other.failure).to.equal(null);
  }
}

const numRuns = Number(process.env['STORE_MODEL_RUNS'] ?? 5);
/** Of one run on a busy machine. */
const RUN_WITHIN_MS = 24_000;

describe('the versions of two replicas', () => {
  it('are never equal where their bytes differ', async () => {
    let joins = 0;
    await fc.assert(
      fc.asyncProperty(fc.integer(), async (seed) => {
        const pair = new Pair(seed);
        await pair.start();
        for (let step = 0; step < 150; step += 1) await pair.step();
        await pair.finish();
        joins += pair.joins;
      }),
      { numRuns, endOnFailure: true },
    );
    expect(joins).to.be.above(2 * numRuns);
  }).timeout(numRuns * RUN_WITHIN_MS);
});
