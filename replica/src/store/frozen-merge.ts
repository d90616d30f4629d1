import { BLOCK_BYTES, EXTENT_BYTES } from '../protocol/types.ts';
import { metaFileBytes } from './directory.ts';
import type { DiskFile } from './disk.ts';
import { ExtentPage, PAGE_BYTES } from './extent-page.ts';
import { keepZeroes } from './hidden-blocks.ts';
import { LayerCopy, runs } from './layer-copy.ts';
import { synced } from './layer-filler.ts';
import type { LayerSet } from './layer-set.ts';
import { layerOf, merged, metaFileName, nextTurn } from './layer-tree.ts';
import type { LayerTree } from './layer-tree.ts';
import type { Merge } from './merger.ts';

/**
 * Into a frozen layer. Data fill the holes of its file, where its pages name nothing, so that
 * nobody sees them; the new pages gather in a new file, and the superblock names that file and
 * forgets the lower layer in one step.
 */
export class FrozenMerge implements Merge {
  readonly #layers: LayerSet;
  readonly #lower: number;
  readonly #upper: number;
  readonly #storeTag: number;
  readonly #metaName: string;
  readonly #meta: DiskFile;
  readonly #copy = new LayerCopy();
  readonly #page = new ExtentPage();
  /** The first extent that has not gone to the new pages. */
  #next = 0;
  #closed = false;
  #finished = false;

  constructor(options: {
    readonly layers: LayerSet;
    readonly lower: number;
    readonly upper: number;
    readonly storeTag: number;
  }) {
    this.#layers = options.layers;
    this.#lower = options.lower;
    this.#upper = options.upper;
    this.#storeTag = options.storeTag;
    const upper = layerOf(options.layers.tree, options.upper);
    this.#metaName = metaFileName(options.upper, nextTurn(upper));
    const { disk } = options.layers.files;
    options.layers.files.create(this.#metaName, metaFileBytes(options.layers.sizeBytes));
    this.#meta = disk.open(this.#metaName);
  }

  async extent(extent: number): Promise<boolean> {
    const lower = this.#layers.frozen(this.#lower);
    const upper = this.#layers.frozen(this.#upper);
    this.#takeOver(extent);
    const page = this.#page;
    this.#load(extent);
    const lacks = (block: number): boolean => !page.isAllocated(block) && !page.hides(block);
    await this.#copy.load(lower, extent, lacks);
    const below = this.#copy.page;
    const { file } = upper.data;
    for (const [from, to] of runs((block) => below.isAllocated(block) && lacks(block))) {
      file.write(this.#copy.bytes(from, to), extent * EXTENT_BYTES + from * BLOCK_BYTES);
      for (let block = from; block < to; block += 1) page.allocate(block, below.checksum(block));
    }
    for (const [from, to] of runs((block) => below.hides(block) && lacks(block)))
      for (let block = from; block < to; block += 1) page.hide(block);
    if (page.blank) page.takeVersion(below);
    keepZeroes(page, file);
    upper.changed();
    this.#write();
    this.#next = extent + 1;
    return true;
  }

  async finish(tree: LayerTree): Promise<LayerTree> {
    const upper = this.#layers.frozen(this.#upper);
    this.#takeOver(Math.ceil(this.#layers.sizeBytes / EXTENT_BYTES));
    await synced(upper.data);
    try {
      this.#meta.syncNow();
      this.#layers.files.disk.syncDirectory();
    } finally {
      this.#close();
    }
    this.#finished = true;
    const stored = layerOf(tree, this.#upper);
    const named = { ...stored, meta: this.#metaName, storeTag: this.#storeTag };
    return merged(tree, layerOf(tree, this.#lower), named);
  }

  /** A clone may share the layers before the merge begins anew: then nobody takes the file up. */
  abandon(): void {
    this.#close();
    const { disk } = this.#layers.files;
    if (!this.#finished && disk.exists(this.#metaName)) disk.remove(this.#metaName);
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#meta.close();
  }

  /** Pages of the upper layer to which the lower one adds nothing. */
  #takeOver(end: number): void {
    const upper = this.#layers.frozen(this.#upper);
    for (let extent = upper.nextPresent(this.#next, end); extent < end;) {
      this.#load(extent);
      this.#write();
      extent = upper.nextPresent(extent + 1, end);
    }
    this.#next = Math.max(this.#next, end);
  }

  /** What the upper layer says of the extent, as a page of this copy. */
  #load(extent: number): void {
    const page = this.#page;
    this.#layers.frozen(this.#upper).load(page, extent);
    if (page.unverified) page.setUnknown();
    page.retag(this.#storeTag);
  }

  #write(): void {
    const page = this.#page;
    page.seal();
    this.#meta.write(page.bytes, page.extent * PAGE_BYTES);
  }
}
