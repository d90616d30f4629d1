import { BLOCK_BYTES } from '../protocol/types.ts';
import { writeU32 } from './block-checksums.ts';
import { BLOCKS_PER_EXTENT } from './extent-page.ts';
import type { Regions } from './regions.ts';
import type { Stack } from './stack.ts';
import type { Standing } from './standing.ts';

/** What a resynchronisation asks for: all layers together, as an initiator would see them. */
export class VolumeMetadata {
  readonly #stack: Stack;
  readonly #regions: Regions;
  readonly #standing: Standing;

  constructor(parts: {
    readonly stack: Stack;
    readonly regions: Regions;
    readonly standing: Standing;
  }) {
    this.#stack = parts.stack;
    this.#regions = parts.regions;
    this.#standing = parts.standing;
  }

  allocation(offsetBytes: number, lengthBytes: number): Uint8Array {
    const blocks = Math.ceil(lengthBytes / BLOCK_BYTES);
    const bitmap = new Uint8Array(Math.ceil(blocks / 8));
    const stack = this.#stack;
    const firstBlock = offsetBytes / BLOCK_BYTES;
    const endExtent = Math.ceil((firstBlock + blocks) / BLOCKS_PER_EXTENT);
    let extent = Math.floor(firstBlock / BLOCKS_PER_EXTENT);
    for (;;) {
      extent = stack.nextPresent(extent, endExtent);
      if (extent >= endExtent) return bitmap;
      const page = stack.pages.view(extent);
      const start = extent * BLOCKS_PER_EXTENT - firstBlock;
      for (let block = 0; block < BLOCKS_PER_EXTENT; block += 1) {
        const bit = start + block;
        if (bit >= 0 && bit < blocks && stack.isAllocated(page, block))
          bitmap[bit >>> 3] = (bitmap[bit >>> 3] ?? 0) | (1 << (bit & 7));
      }
      extent += 1;
    }
  }

  /** Of the first blocks of the extent. */
  checksums(extent: number, blocks: number): Uint8Array {
    const stack = this.#stack;
    const page = stack.pages.view(extent);
    if (stack.base === null) return page.copyChecksums(blocks);
    const sums = new Uint8Array(4 * blocks);
    for (let block = 0; block < blocks; block += 1)
      writeU32(sums, 4 * block, stack.checksum(page, block));
    return sums;
  }

  versions(first: number, count: number): Uint8Array {
    // Extents that are passed over were never written: version (0, 0).
    const versions = new Uint8Array(16 * count);
    const stack = this.#stack;
    const end = first + count;
    // Nobody knows yet what the extents will hold.
    if (stack.base?.incomplete === true) return versions.fill(0xff);
    for (let extent = stack.nextPresent(first, end); extent < end;) {
      const held = this.#version(extent, versions, 16 * (extent - first));
      // Behind an extent that was written mostly comes another one: its page says so sooner than a
      // search for the next data.
      extent = held ? extent + 1 : stack.nextPresent(extent + 1, end);
    }
    return versions;
  }

  /** False: the head has never held anything of the extent. */
  #version(extent: number, into: Uint8Array, at: number): boolean {
    const { base, pages } = this.#stack;
    if (this.#regions.isUntrusted(extent)) {
      into.fill(0xff, at, at + 16);
      return true;
    }
    const page = pages.view(extent);
    const held = !page.blank || page.unverified;
    if (base === null || held) {
      if (this.#standing.isKnown(page)) page.copyVersion(into, at);
      else into.fill(0xff, at, at + 16);
      return held;
    }
    const view = base.view(extent);
    if (!this.#standing.isKnown(view)) {
      into.fill(0xff, at, at + 16);
      return false;
    }
    const bytes = Buffer.from(into.buffer, into.byteOffset + at, 16);
    bytes.writeBigUInt64LE(BigInt(view.version.epoch), 0);
    bytes.writeBigUInt64LE(BigInt(view.version.seq), 8);
    return false;
  }
}
