import { zlib } from '../runtime/builtin.ts';
import { BLOCK_BYTES, EXTENT_BYTES } from '../protocol/types.ts';
import type { Version } from '../protocol/types.ts';
import { StoreError } from './errors.ts';
import type { ExtentPage } from './extent-page.ts';
import { failureOf } from './failure.ts';
import type { ReadableFile } from './layer-files.ts';
import type { Stack } from './stack.ts';
import type { Standing } from './standing.ts';

const zeroes = new Uint8Array(BLOCK_BYTES);

/**
 * Single blocks of the head that are changed in part, or whose change failed: what they hold and
 * what their page says of it.
 */
export class BlockEditor {
  /** The block that was loaded last. */
  readonly block = Buffer.alloc(BLOCK_BYTES);
  readonly #stack: Stack;
  readonly #standing: Standing;
  #checksumErrors = 0;

  constructor(stack: Stack, standing: Standing) {
    this.#stack = stack;
    this.#standing = standing;
  }

  get checksumErrors(): number {
    return this.#checksumErrors;
  }

  /**
   * Reads a block that is about to be changed in part and verifies it: a new checksum over rotten
   * bytes would bless them. A rotten block gets a checksum that it does not have, and its extent
   * becomes unknown, so that the comparison with another replica finds and replaces the block.
   */
  load(offsetBytes: number): void {
    const extent = Math.floor(offsetBytes / EXTENT_BYTES);
    const page = this.#stack.pages.get(extent);
    const block = (offsetBytes - extent * EXTENT_BYTES) / BLOCK_BYTES;
    if (!page.isAllocated(block)) {
      this.#loadBelow(page, block, offsetBytes);
      return;
    }
    this.#read(this.#stack.data, offsetBytes);
    const actual = zlib.crc32(this.block);
    if (page.unverified || actual === page.checksum(block)) return;
    page.allocate(block, differentFrom(actual));
    throw this.#rotten(page, offsetBytes);
  }

  /** The same of a block that the head does not have. */
  #loadBelow(page: ExtentPage, block: number, offsetBytes: number): void {
    const { base } = this.#stack;
    const view = this.#stack.below(page, block);
    if (view === null || base === null) {
      this.block.fill(0);
      return;
    }
    this.#read(base.file(view.holder(block)), offsetBytes);
    if (view.isUnverified(block) || zlib.crc32(this.block) !== view.checksum(block))
      throw this.#rotten(page, offsetBytes);
  }

  #rotten(page: ExtentPage, offsetBytes: number): StoreError {
    this.#checksumErrors += 1;
    page.setUnknown();
    return new StoreError(
      'CHECKSUM_MISMATCH',
      `The block at byte ${offsetBytes} does not have its checksum, so a part of it cannot be ` +
        'written. Write the whole block, or let the copy be compared with another replica.',
      { offsetBytes },
    );
  }

  isBelow(offsetBytes: number): boolean {
    if (this.#stack.base === null) return false;
    const extent = Math.floor(offsetBytes / EXTENT_BYTES);
    const page = this.#stack.pages.get(extent);
    const block = (offsetBytes - extent * EXTENT_BYTES) / BLOCK_BYTES;
    return !page.isAllocated(block) && this.#stack.below(page, block) !== null;
  }

  /**
   * A block that only an older layer has, and of which a part is written: all of it goes into the
   * head, at once, because a half of it there would hide the other half.
   */
  copyUp(offsetBytes: number, checksum: number): void {
    try {
      this.#stack.data.write(this.block, offsetBytes);
    } catch (cause) {
      this.settle(offsetBytes, checksum);
      throw failureOf('writing', cause, offsetBytes);
    }
  }

  /**
   * A version says what the whole extent holds; it cannot when nobody knows what shows from below.
   */
  advance(page: ExtentPage, version: Version): void {
    const { base } = this.#stack;
    if (base === null || (!page.blank && !base.incomplete)) this.#standing.advance(page, version);
    else if (this.#stack.isBaseKnown(page.extent, this.#standing))
      this.#standing.advance(page, version);
    else page.setUnknown();
  }

  #read(file: ReadableFile, offsetBytes: number): void {
    try {
      file.read(this.block, 0, BLOCK_BYTES, offsetBytes);
    } catch (cause) {
      throw failureOf('reading', cause, offsetBytes);
    }
  }

  settle(offsetBytes: number, newChecksum: number): void {
    const extent = Math.floor(offsetBytes / EXTENT_BYTES);
    const page = this.#stack.pages.get(extent);
    const block = (offsetBytes - extent * EXTENT_BYTES) / BLOCK_BYTES;
    page.setUnknown();
    try {
      this.#stack.data.read(this.block, 0, BLOCK_BYTES, offsetBytes);
    } catch {
      // It cannot be read now; whenever it can, its checksum will tell whether it is the new
      // content.
      page.allocate(block, newChecksum);
      return;
    }
    const actual = zlib.crc32(this.block);
    if (page.isAllocated(block) ? actual === page.checksum(block) : this.block.equals(zeroes))
      return;
    page.allocate(block, actual === newChecksum ? actual : differentFrom(actual));
  }
}

/** A checksum that bytes with the given one do not have. */
function differentFrom(checksum: number): number {
  return (checksum ^ 1) >>> 0;
}
