import { zlib } from '../runtime/builtin.ts';
import { BLOCK_BYTES, EXTENT_BYTES } from '../protocol/types.ts';
import { StoreError } from './errors.ts';
import { BLOCKS_PER_EXTENT, ExtentPage } from './extent-page.ts';
import type { FrozenLayer } from './frozen-layer.ts';

/** One extent of a layer on its way into another: its page and the blocks that are asked for. */
export class LayerCopy {
  readonly page = new ExtentPage();
  readonly #bytes = Buffer.allocUnsafeSlow(EXTENT_BYTES);

  /**
   * Reads the blocks for which `wanted` says yes, and verifies them: rot must not go from one layer
   * to another.
   */
  async load(
    layer: FrozenLayer,
    extent: number,
    wanted: (block: number) => boolean,
  ): Promise<void> {
    const { page } = this;
    layer.load(page, extent);
    if (page.unverified) throw rotten(layer.id, extent * EXTENT_BYTES);
    for (const [from, to] of runs((block) => page.isAllocated(block) && wanted(block))) {
      await this.#read(layer, extent * EXTENT_BYTES, from, to);
      for (let block = from; block < to; block += 1)
        if (zlib.crc32(this.block(block)) !== page.checksum(block))
          throw rotten(layer.id, extent * EXTENT_BYTES + block * BLOCK_BYTES);
    }
  }

  block(block: number): Buffer {
    return this.bytes(block, block + 1);
  }

  bytes(from: number, to: number): Buffer {
    return this.#bytes.subarray(from * BLOCK_BYTES, to * BLOCK_BYTES);
  }

  #read(layer: FrozenLayer, start: number, from: number, to: number): Promise<void> {
    const at = from * BLOCK_BYTES;
    return new Promise((resolve, reject) => {
      layer.data.readAsync(this.#bytes, at, to * BLOCK_BYTES - at, start + at, (error) => {
        if (error === null) resolve();
        else reject(error);
      });
    });
  }
}

/** From and to of each run of blocks of an extent that are meant. */
export function runs(isMeant: (block: number) => boolean): [number, number][] {
  const found: [number, number][] = [];
  for (let block = 0; block < BLOCKS_PER_EXTENT; block += 1) {
    if (!isMeant(block)) continue;
    const last = found.at(-1);
    if (last?.[1] === block) last[1] = block + 1;
    else found.push([block, block + 1]);
  }
  return found;
}

function rotten(layer: number, offsetBytes: number): StoreError {
  return new StoreError(
    'CHECKSUM_MISMATCH',
    `The block at byte ${offsetBytes} of layer ${layer} does not have the checksum that it was ` +
      'written with. Let a scrub repair it from another replica.',
    { offsetBytes },
  );
}
