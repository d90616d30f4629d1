import { expect } from 'chai';
import { BLOCK_BYTES, EXTENT_BYTES, REGION_BYTES } from '../protocol/types.ts';
import type { LayersChange } from '../protocol/types.ts';
import {
  makeWrite,
  numberedSectors,
  seededRandom,
  SimulatedReplica,
  versionOf,
} from './simulated-volume.ts';

export const SIZE_BYTES = REGION_BYTES + EXTENT_BYTES;
export const AT = '2026-01-01T00:00:00.000Z';

/** A replica that writes numbered blocks. */
export class Layered {
  readonly replica: SimulatedReplica;
  #seq = 0;
  #epoch = 0;

  constructor(id: string, seed = 1, sizeBytes = SIZE_BYTES) {
    this.replica = new SimulatedReplica(id, sizeBytes, seededRandom(seed));
  }

  async open(): Promise<void> {
    await this.replica.open();
    this.#epoch = this.replica.store.state().promisedEpoch + 1;
    this.#seq = 0;
    await this.replica.promise(this.#epoch);
    await this.replica.join(this.#epoch, 1, [this.replica.replicaId]);
  }

  write(block: number, value: number): void {
    this.#seq += 1;
    const content = numberedSectors(value, BLOCK_BYTES);
    const version = versionOf(this.#epoch, this.#seq);
    this.replica.store.apply(makeWrite(version, block * BLOCK_BYTES, content));
  }

  unmap(block: number, blocks = 1): void {
    this.#seq += 1;
    this.replica.store.apply({
      kind: 'unmap',
      version: versionOf(this.#epoch, this.#seq),
      offsetBytes: block * BLOCK_BYTES,
      lengthBytes: blocks * BLOCK_BYTES,
    });
  }

  change(change: LayersChange): Promise<void> {
    return this.replica.store.changeLayers(change);
  }

  snapshot(head: number): Promise<void> {
    return this.change({ change: 'snapshot', head, name: `before ${head}`, createdAt: AT });
  }

  async read(block: number): Promise<number | string> {
    const found = await this.replica.read(block * BLOCK_BYTES, BLOCK_BYTES);
    return typeof found === 'string' ? found : found.readUInt32LE(0);
  }

  get ids(): number[] {
    return this.replica.store.state().layers.map(({ id }) => id);
  }

  /** Time passes until the layers are as many. */
  async rest(layers: number): Promise<void> {
    for (let turn = 0; turn < 1000 && this.ids.length !== layers; turn += 1) {
      this.replica.moment();
      for (let each = 0; each < 4; each += 1) await new Promise((done) => setImmediate(done));
    }
    expect(this.ids, this.replica.warnings.join()).to.have.length(layers);
  }
}

/** Copies what a layer holds, as a target does for a replica that was away. */
export async function fill(from: Layered, to: Layered, layer: number): Promise<void> {
  const source = from.replica.store;
  const bitmaps = source.layerAllocation(layer, 0, SIZE_BYTES);
  const mine = to.replica.store.layerAllocation(layer, 0, SIZE_BYTES);
  const bytes = bitmaps.length / 2;
  const isSet = (map: Uint8Array, at: number, block: number): boolean =>
    ((map[at + (block >>> 3)] ?? 0) & (1 << (block & 7))) !== 0;
  for (let block = 0; block < SIZE_BYTES / BLOCK_BYTES; block += 1) {
    const range = { offsetBytes: block * BLOCK_BYTES, lengthBytes: BLOCK_BYTES };
    const isWanted = isSet(bitmaps, 0, block);
    const isHiding = isSet(bitmaps, bytes, block);
    const into = Buffer.alloc(BLOCK_BYTES);
    await new Promise<void>((resolve, reject) => {
      const done = (error: Error | null): void => (error === null ? resolve() : reject(error));
      const { store } = to.replica;
      if (isWanted) {
        const checksums = Buffer.alloc(4);
        source.readLayer(layer, {
          offsetBytes: range.offsetBytes,
          into,
          checksums,
          done: (error) => {
            if (error !== null) reject(error);
            else
              store.fillLayer(layer, { kind: 'write', ...range, chunks: [into], checksums }, done);
          },
        });
      } else if (isHiding) store.fillLayer(layer, { kind: 'zero', ...range }, done);
      else if (isSet(mine, 0, block) || isSet(mine, bytes, block))
        store.fillLayer(layer, { kind: 'clear', ...range }, done);
      else resolve();
    });
  }
  await to.change({ change: 'complete', layer });
}
