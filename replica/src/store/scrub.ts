import { zlib } from '../runtime/builtin.ts';
import { BLOCK_BYTES, EXTENT_BYTES } from '../protocol/types.ts';
import { isZero } from './block-checksums.ts';
import { StoreError } from './errors.ts';
import { BLOCKS_PER_EXTENT, ExtentPage } from './extent-page.ts';
import { failureOf } from './failure.ts';
import type { FrozenLayer } from './frozen-layer.ts';
import type { ReadableFile } from './layer-files.ts';
import type { LayerSet } from './layer-set.ts';
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
  /** The same for what each frozen layer itself holds; those that are sound are not there. */
  readonly badOfLayers: Map<number, Uint8Array>;
  /** The ids of layers that are still to be verified; the head, which is null, first. */
  readonly layers: (number | null)[];
  /** Up to here the blocks of the first of them are verified. */
  block: number;
}

/**
 * Reads what nobody may have asked for in years and compares it with its checksum: every allocated
 * block, whatever the data file holds where nothing is allocated, and the extent page as it is
 * stored. One extent at a time; I/O goes on meanwhile, so a block that does not fit is read once
 * more without letting a write in between.
 *
 * All layers are read. What is bad in a frozen one is told of that layer, and of the volume where
 * it is seen through the layers above, because there a write of the right bytes heals it as well.
 */
export class Scrubber {
  readonly #set: LayerSet;
  readonly #frozenPage = new ExtentPage();
  readonly #tasks: Task[] = [];
  #piece: Buffer | null = null;
  #running = false;
  #stopped = false;
  #drained: (() => void)[] = [];
  #scrubbedBytes = 0;
  #badBlocks = 0;

  constructor(set: LayerSet) {
    this.#set = set;
  }

  get scrubbedBytes(): number {
    return this.#scrubbedBytes;
  }

  get badBlocks(): number {
    return this.#badBlocks;
  }

  /** Always calls back later. */
  scrub(extent: number, done: ScrubDone): void {
    const bytes = Math.min(EXTENT_BYTES, this.#set.sizeBytes - extent * EXTENT_BYTES);
    const blocks = Math.ceil(bytes / BLOCK_BYTES);
    this.#tasks.push({
      extent,
      blocks,
      done,
      bad: new Uint8Array(Math.ceil(blocks / 8)),
      badOfLayers: new Map(),
      layers: [null, ...this.#set.frozenLayers.map(({ id }) => id)],
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
    for (let id = task.layers[0]; id !== undefined; id = task.layers[0]) {
      const layer = id === null ? null : this.#frozen(id);
      if (layer !== undefined && this.#nextPieceOf(task, layer)) return true;
      task.layers.shift();
      task.block = 0;
    }
    return false;
  }

  /** False when the layer is done. */
  #nextPieceOf(task: Task, layer: FrozenLayer | null): boolean {
    const { pages } = this.#set.stack;
    if (layer === null && task.block === 0 && !pages.verifyStored(task.extent))
      this.#badBlocks += 1;
    const page = this.#pageOf(task, layer);
    if (page.unverified) {
      this.#markAll(task, layer, page);
      return false;
    }
    const from = page.next(true, task.block, task.blocks);
    const end = page.next(false, from, Math.min(task.blocks, from + PIECE_BLOCKS));
    // Looks at other pages than `page`, or the same anew.
    if (layer === null) this.#findStrays(task, task.block, from);
    if (from >= task.blocks) return false;
    task.block = end;
    const piece = (this.#piece ??= Buffer.allocUnsafeSlow(PIECE_BLOCKS * BLOCK_BYTES));
    const bytes = (end - from) * BLOCK_BYTES;
    this.#fileOf(layer).readAsync(piece, 0, bytes, offsetOf(task, from), (error) => {
      try {
        this.#verify(task, layer, { from, end, read: error === null });
      } catch (cause) {
        this.#finish(task, failureOf('scrubbing', cause, offsetOf(task, from)));
        return;
      }
      this.#step();
    });
    return true;
  }

  /** It may have been merged or deleted since the scrub of the extent began, or be another one. */
  #frozen(id: number): FrozenLayer | undefined {
    return this.#set.frozenLayers.find((layer) => layer.id === id);
  }

  #pageOf({ extent }: Task, layer: FrozenLayer | null): ExtentPage {
    if (layer === null) return this.#set.stack.pages.view(extent);
    layer.load(this.#frozenPage, extent);
    return this.#frozenPage;
  }

  #fileOf(layer: FrozenLayer | null): ReadableFile {
    return layer === null ? this.#set.stack.data : layer.data;
  }

  /** Data where nothing is allocated reads as zeroes, so a write or its page was lost. */
  #findStrays(task: Task, from: number, end: number): void {
    let position: number | null = offsetOf(task, from);
    const limit = offsetOf(task, end);
    while (position < limit) {
      position = this.#set.stack.data.seekData(position);
      if (position === null || position >= limit) return;
      const block = Math.floor((position - task.extent * EXTENT_BYTES) / BLOCK_BYTES);
      if (!this.#set.isHeadLenient && !isZero(this.#readAgain(task, null, block)))
        this.#mark(task, null, block);
      position = offsetOf(task, block + 1);
    }
  }

  /** Writes and unmaps may have come since the piece was asked for. */
  #verify(
    task: Task,
    before: FrozenLayer | null,
    piece: { readonly from: number; readonly end: number; readonly read: boolean },
  ): void {
    const layer = before === null ? null : this.#frozen(before.id);
    if (layer === undefined) return;
    const page = this.#pageOf(task, layer);
    if (page.unverified) return;
    for (let block = piece.from; block < piece.end; block += 1) {
      if (!page.isAllocated(block)) continue;
      this.#scrubbedBytes += BLOCK_BYTES;
      const at = (block - piece.from) * BLOCK_BYTES;
      const bytes = this.#piece?.subarray(at, at + BLOCK_BYTES);
      const sum = page.checksum(block);
      if (piece.read && bytes !== undefined && zlib.crc32(bytes) === sum) continue;
      if (!this.#isGoodNow(task, layer, block, sum)) this.#mark(task, layer, block);
    }
  }

  #isGoodNow(task: Task, layer: FrozenLayer | null, block: number, sum: number): boolean {
    try {
      return zlib.crc32(this.#readAgain(task, layer, block)) === sum;
    } catch {
      // What cannot be read is as bad as what reads wrong.
      return false;
    }
  }

  #readAgain(task: Task, layer: FrozenLayer | null, block: number): Uint8Array {
    const bytes = Buffer.allocUnsafe(BLOCK_BYTES);
    this.#fileOf(layer).read(bytes, 0, BLOCK_BYTES, offsetOf(task, block));
    return bytes;
  }

  #mark(task: Task, layer: FrozenLayer | null, block: number): void {
    this.#badBlocks += 1;
    if (layer !== null) setBit(bitmapOf(task, layer), block);
    if (this.#isSeen(task, layer, block)) setBit(task.bad, block);
  }

  /**
   * Without its page nothing says what the layer should hold of the extent. A layer that a clone
   * shares cannot get it anew.
   */
  #markAll(task: Task, layer: FrozenLayer | null, page: ExtentPage): void {
    const renewable = layer?.shared === false ? bitmapOf(task, layer) : null;
    for (let block = 0; block < task.blocks; block += 1) {
      if (renewable !== null) setBit(renewable, block);
      if (layer === null || (page.isAllocated(block) && this.#isSeen(task, layer, block)))
        setBit(task.bad, block);
    }
  }

  /** Whether the block of the volume is the layer's. */
  #isSeen({ extent }: Task, layer: FrozenLayer | null, block: number): boolean {
    if (layer === null) return true;
    const { stack } = this.#set;
    const page = stack.pages.view(extent);
    if (page.isAllocated(block)) return false;
    const view = stack.below(page, block);
    return view !== null && stack.base?.layers[view.holder(block) - 1] === layer;
  }

  #finish(task: Task, error: StoreError | null): void {
    this.#tasks.shift();
    task.done(error, { bad: task.bad, layers: task.badOfLayers });
    queueMicrotask(() => this.#step());
  }
}

const offsetOf = ({ extent }: Task, block: number): number =>
  (extent * BLOCKS_PER_EXTENT + block) * BLOCK_BYTES;

const bitmapOf = ({ bad, badOfLayers }: Task, { id }: FrozenLayer): Uint8Array => {
  let bitmap = badOfLayers.get(id);
  if (bitmap === undefined) badOfLayers.set(id, (bitmap = new Uint8Array(bad.length)));
  return bitmap;
};

const setBit = (bitmap: Uint8Array, block: number): void => {
  bitmap[block >>> 3] = (bitmap[block >>> 3] ?? 0) | (1 << (block & 7));
};
