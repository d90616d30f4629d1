import assert from 'node:assert';
import { zlib } from '../runtime/builtin.ts';
import { BLOCK_BYTES, EXTENT_BYTES, epoch, seq } from '../protocol/types.ts';
import type { Version } from '../protocol/types.ts';
import { ZERO_BLOCK_CHECKSUM } from './block-checksums.ts';

/**
 * One extent's metadata in one layer, 2 KiB in its `.meta` file at extent x 2 KiB. Little endian. A page of zeroes
 * is an extent that was never written: version (0, 0), nothing allocated.
 *
 * Format 1: the first.
 */
export const PAGE_LAYOUT = {
  magic: { offset: 0, bytes: 4 },
  format: { offset: 4, bytes: 2 },
  flags: { offset: 6, bytes: 2 },
  /** crc32 of the page without these four bytes. */
  pageChecksum: { offset: 8, bytes: 4 },
  /** crc32 of the replica's id: a page of another store is not taken for one of this. */
  storeTag: { offset: 12, bytes: 4 },
  /** Which extent: a page that landed in the wrong place is not taken for another's. */
  extent: { offset: 16, bytes: 8 },
  /** All ones: unknown. */
  epoch: { offset: 24, bytes: 8 },
  seq: { offset: 32, bytes: 8 },
  /**
   * crc32 of the store's tag, the extent and `hidden`; 0 where nothing is hidden. All of it lies in
   * the first sector, so that a page that was torn in the middle still says what it hides.
   */
  hiddenChecksum: { offset: 40, bytes: 4 },
  reserved1: { offset: 44, bytes: 20 },
  /** One bit per block, least significant first. */
  allocated: { offset: 64, bytes: 32 },
  /**
   * Blocks that read zero where they are not allocated, although an older layer may have data. A
   * bit stays when the block is written, because the write may be lost while the page is not.
   */
  hidden: { offset: 96, bytes: 32 },
  reserved2: { offset: 128, bytes: 896 },
  /** crc32 of each block; 0 where not allocated. */
  checksums: { offset: 1024, bytes: 1024 },
} as const;

export const PAGE_BYTES = 2048;
export const PAGE_FORMAT = 1;
export const BLOCKS_PER_EXTENT = EXTENT_BYTES / BLOCK_BYTES;
const PAGE_MAGIC = 0x5045424f; // "OBEP"
const U32 = 0x1_0000_0000;

/**
 * The version was given while the store may have missed writes; a membership record can confirm it.
 */
const FLAG_PROVISIONAL = 1;
/**
 * The page that was here did not pass its checksum: nothing is read until the extent is stamped.
 */
const FLAG_UNVERIFIED = 2;

const W_EPOCH = PAGE_LAYOUT.epoch.offset / 4;
const W_SEQ = PAGE_LAYOUT.seq.offset / 4;
const W_ALLOCATED = PAGE_LAYOUT.allocated.offset / 4;
const W_HIDDEN_CHECKSUM = PAGE_LAYOUT.hiddenChecksum.offset / 4;
const W_HIDDEN = PAGE_LAYOUT.hidden.offset / 4;
const HIDDEN_WORDS = PAGE_LAYOUT.hidden.bytes / 4;
const W_CHECKSUMS = PAGE_LAYOUT.checksums.offset / 4;

assert(
  new Uint8Array(Uint32Array.of(1).buffer)[0] === 1,
  'OpenEBS stores words in the order of the processor, which must be little endian (x64, arm64).',
);

/** What a stored page turned out to be. */
export type PageState = 'empty' | 'valid' | 'damaged' | 'too-new';

export class ExtentPage {
  extent = -1;
  /** Changed since it was last written to the file. */
  dirty = false;
  readonly bytes: Uint8Array;
  readonly #words: Uint32Array;
  readonly #flags: Uint16Array;

  constructor() {
    this.bytes = new Uint8Array(PAGE_BYTES);
    this.#words = new Uint32Array(this.bytes.buffer);
    this.#flags = new Uint16Array(this.bytes.buffer, PAGE_LAYOUT.flags.offset, 1);
  }

  /** Takes the page that was read into `bytes` as that of `extent`. */
  accept(extent: number, storeTag: number): PageState {
    this.extent = extent;
    this.dirty = false;
    const words = this.#words;
    if (words[0] === 0) {
      let any = 0;
      for (let index = 0; index < words.length; index += 1) any |= words[index] ?? 0;
      if (any === 0) {
        this.reset(extent, storeTag);
        return 'empty';
      }
    }
    if (words[0] !== PAGE_MAGIC || words[2] !== pageChecksum(this.bytes)) return 'damaged';
    if (((words[1] ?? 0) & 0xffff) > PAGE_FORMAT) return 'too-new';
    return this.isOf(extent, storeTag) ? 'valid' : 'damaged';
  }

  /** Whether its first words, which no checksum vouches for here, name the store and the extent. */
  isOf(extent: number, storeTag: number): boolean {
    const words = this.#words;
    const stored = readU64(words, PAGE_LAYOUT.extent.offset / 4);
    return words[0] === PAGE_MAGIC && words[3] === storeTag && stored === extent;
  }

  /** Never written. */
  reset(extent: number, storeTag: number): void {
    const words = this.#words;
    words.fill(0);
    words[0] = PAGE_MAGIC;
    words[1] = PAGE_FORMAT;
    words[3] = storeTag;
    writeU64(words, PAGE_LAYOUT.extent.offset / 4, extent);
    this.extent = extent;
    this.dirty = false;
  }

  /** Makes it a page of another store. */
  retag(storeTag: number): void {
    this.#words[3] = storeTag;
    this.dirty = true;
  }

  /** To be called before the page is written to the file. */
  seal(): void {
    this.#words[W_HIDDEN_CHECKSUM] = this.hidesAny ? hiddenChecksum(this.bytes) : 0;
    this.#words[2] = pageChecksum(this.bytes);
  }

  /** Holds nothing and says nothing: the older layers show. */
  get blank(): boolean {
    const words = this.#words;
    return (
      ((words[W_EPOCH] ?? 0) |
        (words[W_EPOCH + 1] ?? 0) |
        (words[W_SEQ] ?? 0) |
        (words[W_SEQ + 1] ?? 0)) ===
      0
    );
  }

  get unknown(): boolean {
    return this.#words[W_EPOCH] === 0xffffffff && this.#words[W_EPOCH + 1] === 0xffffffff;
  }

  get provisional(): boolean {
    return ((this.#flags[0] ?? 0) & FLAG_PROVISIONAL) !== 0;
  }

  get unverified(): boolean {
    return ((this.#flags[0] ?? 0) & FLAG_UNVERIFIED) !== 0;
  }

  get version(): Version {
    return {
      epoch: epoch(readU64(this.#words, W_EPOCH)),
      seq: seq(readU64(this.#words, W_SEQ)),
    };
  }

  setVersion(version: Version, provisional: boolean): void {
    const words = this.#words;
    words[W_EPOCH] = version.epoch >>> 0;
    words[W_EPOCH + 1] = version.epoch / U32;
    words[W_SEQ] = version.seq >>> 0;
    words[W_SEQ + 1] = version.seq / U32;
    const flags = this.#flags[0] ?? 0;
    this.#flags[0] = provisional ? flags | FLAG_PROVISIONAL : flags & ~FLAG_PROVISIONAL;
    this.dirty = true;
  }

  /** 16 bytes: epoch, sequence number. */
  copyVersion(into: Uint8Array, at: number): void {
    into.set(this.bytes.subarray(PAGE_LAYOUT.epoch.offset, PAGE_LAYOUT.epoch.offset + 16), at);
  }

  /** Of the first blocks of the extent, four bytes each; 0 where not allocated. */
  copyChecksums(blocks: number): Uint8Array {
    const { offset } = PAGE_LAYOUT.checksums;
    return this.bytes.slice(offset, offset + 4 * blocks);
  }

  /** The version is as good as one that was not provisional. */
  confirm(): void {
    this.#flags[0] = (this.#flags[0] ?? 0) & ~FLAG_PROVISIONAL;
    this.dirty = true;
  }

  setUnknown(): void {
    this.#words.fill(0xffffffff, W_EPOCH, W_SEQ + 2);
    this.#flags[0] = (this.#flags[0] ?? 0) & ~FLAG_PROVISIONAL;
    this.dirty = true;
  }

  setUnverified(unverified: boolean): void {
    const flags = this.#flags[0] ?? 0;
    this.#flags[0] = unverified ? flags | FLAG_UNVERIFIED : flags & ~FLAG_UNVERIFIED;
    this.dirty = true;
  }

  isAllocated(block: number): boolean {
    return ((this.#words[W_ALLOCATED + (block >>> 5)] ?? 0) & (1 << (block & 31))) !== 0;
  }

  /**
   * First block at or after `from` and below `end` whose allocation is (or is not) as asked; `end`
   * if none.
   */
  next(allocated: boolean, from: number, end: number): number {
    let block = from;
    while (block < end && this.isAllocated(block) !== allocated) block += 1;
    return block;
  }

  checksum(block: number): number {
    return this.#words[W_CHECKSUMS + block] ?? 0;
  }

  /** True when the block was not allocated before. */
  allocate(block: number, checksum: number): boolean {
    const word = W_ALLOCATED + (block >>> 5);
    const bit = 1 << (block & 31);
    const before = this.#words[word] ?? 0;
    this.#words[W_CHECKSUMS + block] = checksum;
    this.dirty = true;
    if ((before & bit) !== 0) return false;
    this.#words[word] = before | bit;
    return true;
  }

  deallocate(block: number): void {
    const word = W_ALLOCATED + (block >>> 5);
    this.#words[word] = (this.#words[word] ?? 0) & ~(1 << (block & 31));
    this.#words[W_CHECKSUMS + block] = 0;
    this.dirty = true;
  }

  /** Whether the block, where it is not allocated, reads zero whatever older layers hold. */
  hides(block: number): boolean {
    return ((this.#words[W_HIDDEN + (block >>> 5)] ?? 0) & (1 << (block & 31))) !== 0;
  }

  hide(block: number): void {
    const word = W_HIDDEN + (block >>> 5);
    this.#words[word] = (this.#words[word] ?? 0) | (1 << (block & 31));
    this.dirty = true;
  }

  unhide(block: number): void {
    const word = W_HIDDEN + (block >>> 5);
    this.#words[word] = (this.#words[word] ?? 0) & ~(1 << (block & 31));
    this.dirty = true;
  }

  /**
   * What a page hides that may be torn or older than its data; null where that cannot be told. To
   * be called before it is reset.
   */
  salvageHidden(extent: number, storeTag: number): Uint32Array | null {
    const words = this.#words;
    const hidden = words.slice(W_HIDDEN, W_HIDDEN + HIDDEN_WORDS);
    const sum = words[W_HIDDEN_CHECKSUM] ?? 0;
    if (sum === 0 && !this.hidesAny) return hidden;
    if (!this.isOf(extent, storeTag)) return null;
    return sum === hiddenChecksum(this.bytes) ? hidden : null;
  }

  /**
   * Of a salvaged bitmap. A single block, of zeroes and hidden, is the one that is kept in the data
   * file of an extent that only hides: it is not allocated, and reads zero either way.
   */
  restoreHidden(hidden: Uint32Array): void {
    this.#words.set(hidden, W_HIDDEN);
    const only = this.next(true, 0, BLOCKS_PER_EXTENT);
    if (only === BLOCKS_PER_EXTENT || !this.hides(only)) return;
    if (this.next(true, only + 1, BLOCKS_PER_EXTENT) < BLOCKS_PER_EXTENT) return;
    if (this.checksum(only) === ZERO_BLOCK_CHECKSUM) this.deallocate(only);
  }

  get hidesAny(): boolean {
    let any = 0;
    for (let index = 0; index < HIDDEN_WORDS; index += 1) any |= this.#words[W_HIDDEN + index] ?? 0;
    return any !== 0;
  }

  /** Takes the other page's version, and whether it counts. */
  takeVersion(from: ExtentPage): void {
    this.#words.set(from.#words.subarray(W_EPOCH, W_SEQ + 2), W_EPOCH);
    const flags = (this.#flags[0] ?? 0) & ~FLAG_PROVISIONAL;
    this.#flags[0] = from.provisional ? flags | FLAG_PROVISIONAL : flags;
    this.dirty = true;
  }

  copyFrom(page: ExtentPage): void {
    this.bytes.set(page.bytes);
    this.extent = page.extent;
    this.dirty = page.dirty;
  }
}

function pageChecksum(page: Uint8Array): number {
  const { offset, bytes } = PAGE_LAYOUT.pageChecksum;
  return zlib.crc32(page.subarray(offset + bytes), zlib.crc32(page.subarray(0, offset)));
}

function hiddenChecksum(page: Uint8Array): number {
  const { offset, bytes } = PAGE_LAYOUT.hidden;
  const { storeTag, extent } = PAGE_LAYOUT;
  const place = page.subarray(storeTag.offset, extent.offset + extent.bytes);
  return zlib.crc32(page.subarray(offset, offset + bytes), zlib.crc32(place));
}

function readU64(words: Uint32Array, index: number): number {
  return (words[index] ?? 0) + (words[index + 1] ?? 0) * U32;
}

function writeU64(words: Uint32Array, index: number, value: number): void {
  words[index] = value >>> 0;
  words[index + 1] = value / U32;
}
