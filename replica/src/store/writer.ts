import { zlib } from '../runtime/builtin.ts';
import { BLOCK_BYTES, EXTENT_BYTES, REGION_BYTES } from '../protocol/types.ts';
import { readU32, ZERO_BLOCK_CHECKSUM } from './block-checksums.ts';
import type { DiskFile } from './disk.ts';
import { StoreError } from './errors.ts';
import type { ExtentPage } from './extent-page.ts';
import type { ExtentPages } from './extent-pages.ts';
import { failureOf } from './failure.ts';
import type { Regions } from './regions.ts';
import type { Standing } from './standing.ts';
import type { StoreOperation } from './types.ts';

type Write = Extract<StoreOperation, { kind: 'write' }>;
type RangeOperation = Exclude<StoreOperation, { kind: 'write' }>;

/** Regions of an unmap or a stamp that are handled in one turn of the event loop. */
const SLICE_REGIONS = 64;
/** Extents that were never written and are passed over in one turn. */
const SLICE_EXTENTS = 64 * 1024;

const zeroes = new Uint8Array(BLOCK_BYTES);
const zeroRegion = (): Uint8Array => new Uint8Array(REGION_BYTES);

export interface WriterOptions {
  readonly data: DiskFile;
  readonly pages: ExtentPages;
  readonly regions: Regions;
  readonly standing: Standing;
}

/**
 * Applies operations to the data file and the extent pages, in one go and only where the region is
 * marked. Throws a StoreError when an operation fails; the extents that it may have changed are
 * unknown then.
 */
export class Writer {
  readonly #data: DiskFile;
  readonly #pages: ExtentPages;
  readonly #regions: Regions;
  readonly #standing: Standing;
  readonly #block = Buffer.alloc(BLOCK_BYTES);
  #headChecksum = 0;
  #tailChecksum = 0;
  #blocked = false;
  #checksumErrors = 0;

  constructor(options: WriterOptions) {
    this.#data = options.data;
    this.#pages = options.pages;
    this.#regions = options.regions;
    this.#standing = options.standing;
  }

  /**
   * Whether the last call of `advance` stopped for want of a mark, which was asked for; else only
   * to let others in.
   */
  get blocked(): boolean {
    return this.#blocked;
  }

  get checksumErrors(): number {
    return this.#checksumErrors;
  }

  /** Applies the operation from its byte `from` on; returns up to where it came. */
  advance(operation: StoreOperation, from: number): number {
    this.#blocked = false;
    switch (operation.kind) {
      case 'write':
        return this.#write(operation) ? operation.lengthBytes : 0;
      case 'unmap':
      case 'stamp':
        return this.#advanceByRegion(operation, from);
    }
  }

  /** Asks for the marks that the operation will need, while others are waited for. */
  prepare(operation: StoreOperation): void {
    if (operation.kind === 'write') this.#touchAll(operation.offsetBytes, operation.lengthBytes);
  }

  #touchAll(offsetBytes: number, lengthBytes: number): boolean {
    const last = Math.floor((offsetBytes + lengthBytes - 1) / REGION_BYTES);
    let marked = true;
    for (let region = Math.floor(offsetBytes / REGION_BYTES); region <= last; region += 1)
      if (!this.#regions.touch(region)) {
        this.#regions.request(region);
        marked = false;
      }
    return marked;
  }

  #write(write: Write): boolean {
    const { offsetBytes, lengthBytes, chunks } = write;
    if (!this.#touchAll(offsetBytes, lengthBytes)) {
      this.#blocked = true;
      return false;
    }
    // Loaded before the data changes: a page that cannot be read must not keep its old version over
    // new data.
    const lastExtent = Math.floor((offsetBytes + lengthBytes - 1) / EXTENT_BYTES);
    for (let extent = Math.floor(offsetBytes / EXTENT_BYTES); extent <= lastExtent; extent += 1)
      this.#pages.get(extent);
    if (offsetBytes % BLOCK_BYTES !== 0 || lengthBytes % BLOCK_BYTES !== 0) this.#mergeEdges(write);
    try {
      const first = chunks[0];
      if (chunks.length === 1 && first !== undefined) this.#data.write(first, offsetBytes);
      else this.#data.writeChunks(chunks, lengthBytes, offsetBytes);
    } catch (cause) {
      this.#settleFailedWrite(write);
      throw failureOf('writing', cause, offsetBytes);
    }
    this.#record(write);
    return true;
  }

  #record(write: Write): void {
    const end = write.offsetBytes + write.lengthBytes;
    let segment = 0;
    let position = write.offsetBytes;
    while (position < end) {
      const extent = Math.floor(position / EXTENT_BYTES);
      const page = this.#pages.get(extent);
      const extentStart = extent * EXTENT_BYTES;
      const stop = Math.min(end, extentStart + EXTENT_BYTES);
      while (position < stop) {
        const block = Math.floor((position - extentStart) / BLOCK_BYTES);
        const next = Math.min(stop, extentStart + (block + 1) * BLOCK_BYTES);
        page.allocate(block, this.#checksumOf(write, segment, position, next));
        segment += 1;
        position = next;
      }
      this.#standing.advance(page, write.version);
    }
  }

  /** Of the whole block that the segment [from, to) of the write belongs to. */
  #checksumOf(write: Write, segment: number, from: number, to: number): number {
    if (to - from === BLOCK_BYTES) return readU32(write.checksums, segment * 4);
    return segment === 0 ? this.#headChecksum : this.#tailChecksum;
  }

  /** Computes what the checksums of the partially written blocks will be. */
  #mergeEdges(write: Write): void {
    const end = write.offsetBytes + write.lengthBytes;
    const firstBlock = Math.floor(write.offsetBytes / BLOCK_BYTES) * BLOCK_BYTES;
    const lastBlock = Math.floor((end - 1) / BLOCK_BYTES) * BLOCK_BYTES;
    const inFirst = write.offsetBytes - firstBlock;
    const headBytes = Math.min(BLOCK_BYTES - inFirst, write.lengthBytes);
    if (headBytes < BLOCK_BYTES) {
      this.#loadBlock(firstBlock);
      copyChunks(write.chunks, 0, this.#block.subarray(inFirst, inFirst + headBytes));
      this.#headChecksum = zlib.crc32(this.#block);
    }
    const tailBytes = end - lastBlock;
    if (lastBlock > firstBlock && tailBytes < BLOCK_BYTES) {
      this.#loadBlock(lastBlock);
      copyChunks(write.chunks, lastBlock - write.offsetBytes, this.#block.subarray(0, tailBytes));
      this.#tailChecksum = zlib.crc32(this.#block);
    }
  }

  /**
   * Reads a block that is about to be changed in part and verifies it: a new checksum over rotten
   * bytes would bless them. A rotten block gets a checksum that it does not have, and its extent
   * becomes unknown, so that the comparison with another replica finds and replaces the block.
   */
  #loadBlock(offsetBytes: number): void {
    const extent = Math.floor(offsetBytes / EXTENT_BYTES);
    const page = this.#pages.get(extent);
    const block = (offsetBytes - extent * EXTENT_BYTES) / BLOCK_BYTES;
    if (!page.isAllocated(block)) {
      this.#block.fill(0);
      return;
    }
    this.#read(offsetBytes);
    const actual = zlib.crc32(this.#block);
    if (page.unverified || actual === page.checksum(block)) return;
    this.#checksumErrors += 1;
    page.allocate(block, differentFrom(actual));
    page.setUnknown();
    throw new StoreError(
      'CHECKSUM_MISMATCH',
      `The block at byte ${offsetBytes} does not have its checksum, so a part of it cannot be ` +
        'written. Write the whole block, or let the copy be compared with another replica.',
      { offsetBytes },
    );
  }

  #read(offsetBytes: number): void {
    try {
      this.#data.read(this.#block, 0, BLOCK_BYTES, offsetBytes);
    } catch (cause) {
      throw failureOf('reading', cause, offsetBytes);
    }
  }

  /**
   * A failed write may have changed any of its blocks: each keeps or gets the checksum that it has,
   * if it is a legal one.
   */
  #settleFailedWrite(write: Write): void {
    const end = write.offsetBytes + write.lengthBytes;
    let segment = 0;
    for (let position = write.offsetBytes; position < end; segment += 1) {
      const start = Math.floor(position / BLOCK_BYTES) * BLOCK_BYTES;
      const next = Math.min(end, start + BLOCK_BYTES);
      this.#settleBlock(start, this.#checksumOf(write, segment, position, next));
      position = next;
    }
  }

  #settleBlock(offsetBytes: number, newChecksum: number): void {
    const extent = Math.floor(offsetBytes / EXTENT_BYTES);
    const page = this.#pages.get(extent);
    const block = (offsetBytes - extent * EXTENT_BYTES) / BLOCK_BYTES;
    page.setUnknown();
    try {
      this.#data.read(this.#block, 0, BLOCK_BYTES, offsetBytes);
    } catch {
      // It cannot be read now; whenever it can, its checksum will tell whether it is the new
      // content.
      page.allocate(block, newChecksum);
      return;
    }
    const actual = zlib.crc32(this.#block);
    if (page.isAllocated(block) ? actual === page.checksum(block) : this.#block.equals(zeroes))
      return;
    page.allocate(block, actual === newChecksum ? actual : differentFrom(actual));
  }

  /**
   * Region by region, so that the whole volume can be unmapped although few regions can be marked
   * at a time.
   */
  #advanceByRegion(operation: RangeOperation, from: number): number {
    const end = operation.offsetBytes + operation.lengthBytes;
    let position = operation.offsetBytes + from;
    for (let slice = 0; slice < SLICE_REGIONS && position < end; slice += 1) {
      if (operation.kind === 'unmap') {
        position = this.#passUnwritten(position, end);
        if (position >= end) break;
      }
      const region = Math.floor(position / REGION_BYTES);
      const stop = Math.min(end, (region + 1) * REGION_BYTES);
      if (operation.kind === 'stamp' || this.#anyAllocated(position, stop)) {
        if (!this.#regions.touch(region)) {
          this.#regions.request(region);
          this.#blocked = true;
          break;
        }
        if (operation.kind === 'stamp') this.#stamp(operation, position, stop);
        else this.#unmap(operation, position, stop);
      }
      position = stop;
    }
    return position - operation.offsetBytes;
  }

  #passUnwritten(position: number, end: number): number {
    const extent = Math.floor(position / EXTENT_BYTES);
    const last = Math.min(Math.ceil(end / EXTENT_BYTES), extent + SLICE_EXTENTS);
    const present = this.#pages.nextPresent(extent, last);
    return present === extent ? position : Math.min(end, present * EXTENT_BYTES);
  }

  /**
   * An unmap of what is not allocated changes nothing, so it needs no mark and gives no version.
   */
  #anyAllocated(from: number, to: number): boolean {
    return this.#someExtent(from, to, (page, firstBlock, endBlock) => {
      return page.next(true, firstBlock, endBlock) < endBlock;
    });
  }

  #someExtent(
    from: number,
    to: number,
    visit: (page: ExtentPage, firstBlock: number, endBlock: number) => boolean,
  ): boolean {
    const last = Math.floor((to - 1) / EXTENT_BYTES);
    for (let extent = Math.floor(from / EXTENT_BYTES); extent <= last; extent += 1) {
      const start = extent * EXTENT_BYTES;
      const first = Math.floor((Math.max(from, start) - start) / BLOCK_BYTES);
      const end = Math.ceil((Math.min(to, start + EXTENT_BYTES) - start) / BLOCK_BYTES);
      if (visit(this.#pages.get(extent), first, end)) return true;
    }
    return false;
  }

  #stamp(stamp: RangeOperation, from: number, to: number): void {
    this.#someExtent(from, to, (page) => {
      page.setVersion(stamp.version, false);
      page.setUnverified(false);
      return false;
    });
  }

  #unmap(unmap: RangeOperation, from: number, to: number): void {
    const first = Math.ceil(from / BLOCK_BYTES) * BLOCK_BYTES;
    const last = Math.floor(to / BLOCK_BYTES) * BLOCK_BYTES;
    try {
      if (from < first) this.#zeroPart(from, Math.min(first, to));
      if (last < to && last >= first) this.#zeroPart(last, to);
      if (first < last) this.#deallocate(first, last);
    } catch (cause) {
      this.#someExtent(from, to, (page) => {
        page.setUnknown();
        return false;
      });
      throw failureOf('unmapping', cause, from);
    }
    this.#someExtent(from, to, (page, firstBlock, endBlock) => {
      const start = page.extent * EXTENT_BYTES;
      for (let block = firstBlock; block < endBlock; block += 1) {
        const at = start + block * BLOCK_BYTES;
        if (at >= first && at < last) page.deallocate(block);
      }
      this.#standing.advance(page, unmap.version);
      return false;
    });
  }

  /** Zeroes in a part of one block, which stays allocated. */
  #zeroPart(from: number, to: number): void {
    const start = Math.floor(from / BLOCK_BYTES) * BLOCK_BYTES;
    const extent = Math.floor(start / EXTENT_BYTES);
    const block = (start - extent * EXTENT_BYTES) / BLOCK_BYTES;
    if (!this.#pages.get(extent).isAllocated(block)) return;
    this.#loadBlock(start);
    this.#block.fill(0, from - start, to - start);
    const checksum = zlib.crc32(this.#block);
    try {
      this.#data.write(zeroes.subarray(0, to - from), from);
    } catch (cause) {
      this.#settleBlock(start, checksum);
      throw cause;
    }
    this.#pages.get(extent).allocate(block, checksum);
  }

  #deallocate(from: number, to: number): void {
    try {
      if (!this.#data.punchHole(from, to - from))
        this.#data.write(zeroRegion().subarray(0, to - from), from);
    } catch (cause) {
      for (let at = from; at < to; at += BLOCK_BYTES) this.#settleBlock(at, ZERO_BLOCK_CHECKSUM);
      throw cause;
    }
  }
}

/** A checksum that bytes with the given one do not have. */
function differentFrom(checksum: number): number {
  return (checksum ^ 1) >>> 0;
}

/** Fills `into` with what follows byte `from` of the chunks. */
function copyChunks(chunks: readonly Uint8Array[], from: number, into: Uint8Array): void {
  let start = 0;
  let filled = 0;
  for (const chunk of chunks) {
    const skip = Math.max(from + filled - start, 0);
    if (skip < chunk.length && filled < into.length) {
      const part = chunk.subarray(skip, Math.min(chunk.length, skip + into.length - filled));
      into.set(part, filled);
      filled += part.length;
    }
    start += chunk.length;
  }
}
