import { zlib } from '../runtime/builtin.ts';
import { BLOCK_BYTES, EXTENT_BYTES } from '../protocol/types.ts';
import { writeU32, ZERO_BLOCK_CHECKSUM } from './block-checksums.ts';
import { StoreError } from './errors.ts';
import { BLOCKS_PER_EXTENT, ExtentPage } from './extent-page.ts';
import { failureOf } from './failure.ts';
import type { ReadableFile } from './layer-files.ts';
import type { LayerSet } from './layer-set.ts';
import type { LayerRead } from './types.ts';

/** What one layer itself holds, for another replica that lacks it. */
export class LayerReader {
  readonly #layers: LayerSet;
  readonly #page = new ExtentPage();

  constructor(layers: LayerSet) {
    this.#layers = layers;
  }

  read(layer: number, { offsetBytes, into, checksums, done }: LayerRead): void {
    this.#read(layer, offsetBytes, into, checksums).then(
      () => done(null),
      (cause: unknown) => done(failureOf('reading a layer', cause, offsetBytes)),
    );
  }

  allocation(layer: number, offsetBytes: number, lengthBytes: number): Uint8Array {
    const blocks = Math.ceil(lengthBytes / BLOCK_BYTES);
    const bytes = Math.ceil(blocks / 8);
    const bitmaps = new Uint8Array(2 * bytes);
    const firstBlock = offsetBytes / BLOCK_BYTES;
    const endExtent = Math.ceil((firstBlock + blocks) / BLOCKS_PER_EXTENT);
    let extent = Math.floor(firstBlock / BLOCKS_PER_EXTENT);
    for (;;) {
      extent = this.#nextPresent(layer, extent, endExtent);
      if (extent >= endExtent) return bitmaps;
      const page = this.#soundPageOf(layer, extent);
      const start = extent * BLOCKS_PER_EXTENT - firstBlock;
      for (let block = 0; block < BLOCKS_PER_EXTENT; block += 1) {
        const bit = start + block;
        if (bit < 0 || bit >= blocks) continue;
        const allocated = page.isAllocated(block);
        if (!allocated && !page.hides(block)) continue;
        const at = (allocated ? 0 : bytes) + (bit >>> 3);
        bitmaps[at] = (bitmaps[at] ?? 0) | (1 << (bit & 7));
      }
      extent += 1;
    }
  }

  checksums(layer: number, extent: number, blocks: number): Uint8Array {
    return this.#soundPageOf(layer, extent).copyChecksums(blocks);
  }

  async #read(
    layer: number,
    offsetBytes: number,
    into: Uint8Array,
    checksums: Uint8Array,
  ): Promise<void> {
    const end = offsetBytes + into.length;
    const whole = end % BLOCK_BYTES === 0 || end === this.#layers.sizeBytes;
    if (offsetBytes % BLOCK_BYTES !== 0 || !whole)
      throw new StoreError(
        'OUT_OF_RANGE',
        `A layer is read in whole blocks, not at ${offsetBytes}.`,
      );
    const file = this.#fileOf(layer);
    await new Promise<void>((resolve, reject) => {
      file.readAsync(into, 0, into.length, offsetBytes, (error) => {
        if (error === null) resolve();
        else reject(error);
      });
    });
    for (let at = 0; at < into.length; at += BLOCK_BYTES)
      this.#verify(layer, offsetBytes, at, into, checksums);
  }

  #verify(
    layer: number,
    offsetBytes: number,
    at: number,
    into: Uint8Array,
    checksums: Uint8Array,
  ): void {
    const position = offsetBytes + at;
    const page = this.#pageOf(layer, Math.floor(position / EXTENT_BYTES));
    const block = (position % EXTENT_BYTES) / BLOCK_BYTES;
    const bytes = into.subarray(at, at + BLOCK_BYTES);
    const table = (at / BLOCK_BYTES) * 4;
    if (!page.isAllocated(block)) {
      bytes.fill(0);
      const isWhole = bytes.length === BLOCK_BYTES;
      writeU32(checksums, table, isWhole ? ZERO_BLOCK_CHECKSUM : zlib.crc32(bytes));
      return;
    }
    let whole = bytes;
    if (bytes.length < BLOCK_BYTES) {
      whole = new Uint8Array(BLOCK_BYTES);
      this.#fileOf(layer).read(whole, 0, BLOCK_BYTES, position);
      bytes.set(whole.subarray(0, bytes.length));
    }
    if (page.unverified || zlib.crc32(whole) !== page.checksum(block))
      throw new StoreError(
        'CHECKSUM_MISMATCH',
        `The block at byte ${position} of layer ${layer} does not have the checksum that it was ` +
          'written with. Read it from another replica; check the disk (smartctl -a) when this ' +
          'repeats.',
        { offsetBytes: position },
      );
    writeU32(checksums, table, whole === bytes ? page.checksum(block) : zlib.crc32(bytes));
  }

  #fileOf(layer: number): ReadableFile {
    const { stack } = this.#layers;
    return layer === stack.headId ? stack.data : this.#layers.frozen(layer).data;
  }

  #pageOf(layer: number, extent: number): ExtentPage {
    const { stack } = this.#layers;
    if (layer === stack.headId) return stack.pages.view(extent);
    const page = this.#page;
    this.#layers.frozen(layer).load(page, extent);
    return page;
  }

  /** What a damaged page says must not become another replica's. */
  #soundPageOf(layer: number, extent: number): ExtentPage {
    const page = this.#pageOf(layer, extent);
    if (!page.unverified) return page;
    throw new StoreError(
      'CHECKSUM_MISMATCH',
      `The checksums of extent ${extent} of layer ${layer} are damaged, so nobody can tell what it ` +
        'holds. Copy the layer from another replica.',
      { offsetBytes: extent * EXTENT_BYTES },
    );
  }

  #nextPresent(layer: number, extent: number, end: number): number {
    const { stack } = this.#layers;
    if (layer === stack.headId) return stack.pages.nextPresent(extent, end);
    return this.#layers.frozen(layer).nextPresent(extent, end);
  }
}
