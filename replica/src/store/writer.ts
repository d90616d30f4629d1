import assert from 'node:assert';
import { zlib } from '../runtime/builtin.ts';
import { BLOCK_BYTES, EXTENT_BYTES, REGION_BYTES } from '../protocol/types.ts';
import { AtomicWriter } from './atomic-writer.ts';
import type { AtomicWriterOptions } from './atomic-writer.ts';
import { BlockEditor } from './block-editor.ts';
import { readU32 } from './block-checksums.ts';
import { failureOf } from './failure.ts';
import { RangeWriter } from './range-writer.ts';
import type { Regions } from './regions.ts';
import type { Stack } from './stack.ts';
import type { Standing } from './standing.ts';
import type { StoreOperation, StoreRangeOperation, StoreWrite } from './types.ts';

export interface WriterOptions extends Omit<AtomicWriterOptions, 'write'> {
  readonly standing: Standing;
}

/**
 * Applies operations to the data file and the extent pages, in one go and only where the region is
 * marked. Throws a StoreError when an operation fails; the extents that it may have changed are
 * unknown then.
 */
export class Writer {
  readonly #stack: Stack;
  readonly #regions: Regions;
  readonly #editor: BlockEditor;
  readonly #ranges: RangeWriter;
  readonly #atomic: AtomicWriter;
  #headChecksum = 0;
  #tailChecksum = 0;
  #blocked = false;

  constructor(options: WriterOptions) {
    const { stack, regions, standing } = options;
    this.#stack = stack;
    this.#regions = regions;
    this.#editor = new BlockEditor(stack, standing);
    this.#ranges = new RangeWriter({ stack, regions, editor: this.#editor });
    this.#atomic = new AtomicWriter({
      ...options,
      write: (write) => assert(this.#write(write), 'its regions are marked'),
    });
  }

  /**
   * Whether the last call of `advance` stopped for want of a mark, which was asked for, or for an
   * atomic write that is under way; else only to let others in.
   */
  get blocked(): boolean {
    return this.#blocked;
  }

  get checksumErrors(): number {
    return this.#editor.checksumErrors;
  }

  /** Applies the operation from its byte `from` on; returns up to where it came. */
  advance(operation: StoreOperation, from: number): number {
    this.#blocked = false;
    switch (operation.kind) {
      case 'write':
        return this.#write(operation) ? operation.lengthBytes : 0;
      case 'write-atomic':
        return this.#advanceAtomic(operation) ? operation.lengthBytes : 0;
      case 'unmap':
      case 'stamp':
        return this.#advanceRange(operation, from);
    }
  }

  /** Asks for the marks that the operation will need, while others are waited for. */
  prepare(operation: StoreOperation): void {
    const { kind, offsetBytes, lengthBytes } = operation;
    if (kind === 'write' || kind === 'write-atomic') this.#touchAll(offsetBytes, lengthBytes);
  }

  /** Calls back when no atomic write is under way. */
  settled(done: () => void): void {
    this.#atomic.settled(done);
  }

  #advanceAtomic(write: StoreWrite): boolean {
    const { offsetBytes, lengthBytes } = write;
    const isDone = this.#touchAll(offsetBytes, lengthBytes) && this.#atomic.advance(write);
    this.#blocked = !isDone;
    return isDone;
  }

  #advanceRange(operation: StoreRangeOperation, from: number): number {
    const reached = this.#ranges.advance(operation, from);
    this.#blocked = this.#ranges.blocked;
    return reached;
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

  #write(write: StoreWrite): boolean {
    const { offsetBytes, lengthBytes, chunks } = write;
    if (!this.#touchAll(offsetBytes, lengthBytes)) {
      this.#blocked = true;
      return false;
    }
    // Loaded before the data changes: a page that cannot be read must not keep its old version over
    // new data.
    const lastExtent = Math.floor((offsetBytes + lengthBytes - 1) / EXTENT_BYTES);
    for (let extent = Math.floor(offsetBytes / EXTENT_BYTES); extent <= lastExtent; extent += 1)
      this.#stack.pages.get(extent);
    if (offsetBytes % BLOCK_BYTES !== 0 || lengthBytes % BLOCK_BYTES !== 0) this.#mergeEdges(write);
    try {
      const first = chunks[0];
      if (chunks.length === 1 && first !== undefined) this.#stack.data.write(first, offsetBytes);
      else this.#stack.data.writeChunks(chunks, lengthBytes, offsetBytes);
    } catch (cause) {
      this.#settleFailedWrite(write);
      throw failureOf('writing', cause, offsetBytes);
    }
    this.#record(write);
    return true;
  }

  #record(write: StoreWrite): void {
    const end = write.offsetBytes + write.lengthBytes;
    let segment = 0;
    let position = write.offsetBytes;
    while (position < end) {
      const extent = Math.floor(position / EXTENT_BYTES);
      const page = this.#stack.pages.get(extent);
      const extentStart = extent * EXTENT_BYTES;
      const stop = Math.min(end, extentStart + EXTENT_BYTES);
      while (position < stop) {
        const block = Math.floor((position - extentStart) / BLOCK_BYTES);
        const next = Math.min(stop, extentStart + (block + 1) * BLOCK_BYTES);
        page.allocate(block, this.#checksumOf(write, segment, position, next));
        segment += 1;
        position = next;
      }
      this.#editor.advance(page, write.version);
    }
  }

  /** Of the whole block that the segment [from, to) of the write belongs to. */
  #checksumOf(write: StoreWrite, segment: number, from: number, to: number): number {
    if (to - from === BLOCK_BYTES) return readU32(write.checksums, segment * 4);
    return segment === 0 ? this.#headChecksum : this.#tailChecksum;
  }

  /** Computes what the checksums of the partially written blocks will be. */
  #mergeEdges(write: StoreWrite): void {
    const end = write.offsetBytes + write.lengthBytes;
    const firstBlock = Math.floor(write.offsetBytes / BLOCK_BYTES) * BLOCK_BYTES;
    const lastBlock = Math.floor((end - 1) / BLOCK_BYTES) * BLOCK_BYTES;
    const inFirst = write.offsetBytes - firstBlock;
    const headBytes = Math.min(BLOCK_BYTES - inFirst, write.lengthBytes);
    const tailBytes = end - lastBlock;
    const hasTail = lastBlock > firstBlock && tailBytes < BLOCK_BYTES;
    // A tail that cannot be written is found out before anything of the head edge is.
    if (hasTail && headBytes < BLOCK_BYTES && this.#stack.base !== null)
      this.#editor.load(lastBlock);
    if (headBytes < BLOCK_BYTES) {
      this.#editor.load(firstBlock);
      copyChunks(write.chunks, 0, this.#editor.block.subarray(inFirst, inFirst + headBytes));
      this.#headChecksum = zlib.crc32(this.#editor.block);
      if (this.#editor.isBelow(firstBlock)) this.#editor.copyUp(firstBlock, this.#headChecksum);
    }
    if (hasTail) {
      this.#editor.load(lastBlock);
      copyChunks(
        write.chunks,
        lastBlock - write.offsetBytes,
        this.#editor.block.subarray(0, tailBytes),
      );
      this.#tailChecksum = zlib.crc32(this.#editor.block);
      if (this.#editor.isBelow(lastBlock)) this.#editor.copyUp(lastBlock, this.#tailChecksum);
    }
  }

  /**
   * A failed write may have changed any of its blocks: each keeps or gets the checksum that it has,
   * if it is a legal one.
   */
  #settleFailedWrite(write: StoreWrite): void {
    const end = write.offsetBytes + write.lengthBytes;
    let segment = 0;
    for (let position = write.offsetBytes; position < end; segment += 1) {
      const start = Math.floor(position / BLOCK_BYTES) * BLOCK_BYTES;
      const next = Math.min(end, start + BLOCK_BYTES);
      this.#editor.settle(start, this.#checksumOf(write, segment, position, next));
      position = next;
    }
  }
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
