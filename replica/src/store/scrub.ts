import { zlib } from '../runtime/builtin.ts';
import { BLOCK_BYTES, EXTENT_BYTES } from '../protocol/types.ts';
import { isZero } from './block-checksums.ts';
import type { DiskFile } from './disk.ts';
import { StoreError } from './errors.ts';
import { BLOCKS_PER_EXTENT } from './extent-page.ts';
import type { ExtentPage } from './extent-page.ts';
import type { ExtentPages } from './extent-pages.ts';
import { failureOf } from './failure.ts';
import type { ScrubDone } from './types.ts';

/** Read and verified between two turns of the event loop. */
const PIECE_BLOCKS = 32;

interface Task {
  readonly extent: number;
  /** Blocks of the extent; fewer in the volume's last one. */
  readonly blocks: number;
  readonly done: ScrubDone;
  /** One bit for each block, LSB first. */
  readonly bad: Uint8Array;
  /** Up to here the blocks are verified. */
  block: number;
}

/**
 * Reads what nobody may have asked for in years and compares it with its checksum: every allocated
 * block, whatever the data file holds where nothing is allocated, and the extent page as it is
 * stored. One extent at a time; I/O goes on meanwhile, so a block that does not fit is read once
 * more without letting a write in between.
 */
export class Scrubber {
  readonly #data: DiskFile;
  readonly #pages: ExtentPages;
  /** Of the data file, which grows. */
  readonly #dataBytes: () => number;
  readonly #tasks: Task[] = [];
  #piece: Buffer | null = null;
  #running = false;
  #stopped = false;
  #drained: (() => void)[] = [];
  #scrubbedBytes = 0;
  #badBlocks = 0;

  constructor(data: DiskFile, pages: ExtentPages, dataBytes: () => number) {
    this.#data = data;
    this.#pages = pages;
    this.#dataBytes = dataBytes;
  }

  get scrubbedBytes(): number {
    return this.#scrubbedBytes;
  }

  get badBlocks(): number {
    return this.#badBlocks;
  }

  /** Always calls back later. The bitmap has one bit for each block of the extent, LSB first. */
  scrub(extent: number, done: ScrubDone): void {
    const bytes = Math.min(EXTENT_BYTES, this.#dataBytes() - extent * EXTENT_BYTES);
    const blocks = Math.ceil(bytes / BLOCK_BYTES);
    this.#tasks.push({
      extent,
      blocks,
      done,
      bad: new Uint8Array(Math.ceil(blocks / 8)),
      block: 0,
    });
    if (this.#running) return;
    this.#running = true;
    queueMicrotask(() => this.#step());
  }

  /** Ends what is under way; calls back when the files are not used any more. */
  stop(done: () => void): void {
    this.#stopped = true;
    if (this.#running) this.#drained.push(done);
    else done();
  }

  #step(): void {
    const task = this.#tasks[0];
    if (task === undefined) {
      this.#running = false;
      // Nothing is kept between two scrubs: a daemon at rest is small.
      this.#piece = null;
      for (const done of this.#drained.splice(0)) done();
      return;
    }
    if (this.#stopped) {
      this.#finish(task, new StoreError('CLOSED', 'The store is closed; open it again.'));
      return;
    }
    try {
      if (!this.#nextPiece(task)) this.#finish(task, null);
    } catch (cause) {
      this.#finish(task, failureOf('scrubbing', cause, task.extent * EXTENT_BYTES));
    }
  }

  /** False when the extent is done. */
  #nextPiece(task: Task): boolean {
    if (task.block === 0 && !this.#pages.verifyStored(task.extent)) this.#badBlocks += 1;
    const page = this.#pages.view(task.extent);
    if (page.unverified) {
      this.#markAll(task);
      return false;
    }
    const from = page.next(true, task.block, task.blocks);
    const end = page.next(false, from, Math.min(task.blocks, from + PIECE_BLOCKS));
    // Looks at other pages than `page`, or the same anew.
    this.#findStrays(task, task.block, from);
    if (from >= task.blocks) return false;
    task.block = end;
    const piece = (this.#piece ??= Buffer.allocUnsafeSlow(PIECE_BLOCKS * BLOCK_BYTES));
    const bytes = (end - from) * BLOCK_BYTES;
    this.#data.readAsync(piece, 0, bytes, offsetOf(task, from), (error) => {
      try {
        this.#verify(task, { from, end, read: error === null });
      } catch (cause) {
        this.#finish(task, failureOf('scrubbing', cause, offsetOf(task, from)));
        return;
      }
      this.#step();
    });
    return true;
  }

  /** Data where nothing is allocated reads as zeroes, so a write or its page was lost. */
  #findStrays(task: Task, from: number, end: number): void {
    let position: number | null = offsetOf(task, from);
    const limit = offsetOf(task, end);
    while (position < limit) {
      position = this.#data.seekData(position);
      if (position === null || position >= limit) return;
      const block = Math.floor((position - task.extent * EXTENT_BYTES) / BLOCK_BYTES);
      if (!isZero(this.#readAgain(task, block))) this.#mark(task, block);
      position = offsetOf(task, block + 1);
    }
  }

  /** Writes and unmaps may have come since the piece was asked for. */
  #verify(task: Task, piece: { from: number; end: number; read: boolean }): void {
    const page = this.#pages.view(task.extent);
    if (page.unverified) return;
    for (let block = piece.from; block < piece.end; block += 1) {
      if (!page.isAllocated(block)) continue;
      this.#scrubbedBytes += BLOCK_BYTES;
      const at = (block - piece.from) * BLOCK_BYTES;
      const bytes = this.#piece?.subarray(at, at + BLOCK_BYTES);
      if (piece.read && bytes !== undefined && zlib.crc32(bytes) === page.checksum(block)) continue;
      if (!this.#isGoodNow(task, page, block)) this.#mark(task, block);
    }
  }

  #isGoodNow(task: Task, page: ExtentPage, block: number): boolean {
    try {
      return zlib.crc32(this.#readAgain(task, block)) === page.checksum(block);
    } catch {
      // What cannot be read is as bad as what reads wrong.
      return false;
    }
  }

  #readAgain(task: Task, block: number): Uint8Array {
    const bytes = Buffer.allocUnsafe(BLOCK_BYTES);
    this.#data.read(bytes, 0, BLOCK_BYTES, offsetOf(task, block));
    return bytes;
  }

  #mark(task: Task, block: number): void {
    this.#badBlocks += 1;
    task.bad[block >>> 3] = (task.bad[block >>> 3] ?? 0) | (1 << (block & 7));
  }

  /** Without its page nothing says what the extent should hold. */
  #markAll(task: Task): void {
    for (let block = 0; block < task.blocks; block += 1) {
      task.bad[block >>> 3] = (task.bad[block >>> 3] ?? 0) | (1 << (block & 7));
    }
  }

  #finish(task: Task, error: StoreError | null): void {
    this.#tasks.shift();
    task.done(error, task.bad);
    queueMicrotask(() => this.#step());
  }
}

const offsetOf = ({ extent }: Task, block: number): number =>
  (extent * BLOCKS_PER_EXTENT + block) * BLOCK_BYTES;
