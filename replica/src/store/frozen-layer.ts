import { EXTENT_BYTES } from '../protocol/types.ts';
import { recomputePage } from './block-checksums.ts';
import { BLOCKS_PER_EXTENT, ExtentPage, PAGE_BYTES } from './extent-page.ts';
import type { LayerFile, LayerFiles } from './layer-files.ts';
import type { StoredLayer } from './layer-tree.ts';

export interface FrozenLayerOptions {
  readonly files: LayerFiles;
  readonly dataBytes: number;
  readonly damaged: (layer: number, extent: number) => void;
  readonly tooNew: (extent: number) => Error;
}

/** A layer that is not written any more, and its pages on the disk. */
export class FrozenLayer {
  readonly stored: StoredLayer;
  readonly data: LayerFile;
  readonly meta: LayerFile;
  readonly #options: FrozenLayerOptions;
  /**
   * Data that no page names are damage; not so while the layer is filled, because the data come
   * first.
   */
  readonly #lenient: boolean;
  /** Pages of a layer that is being filled, newer than those on the disk. */
  readonly filled = new Map<number, ExtentPage>();
  readonly #metaHole = new Hole();
  readonly #dataHole = new Hole();
  #allocatedBytes: number | null = null;

  constructor(stored: StoredLayer, lenient: boolean, options: FrozenLayerOptions) {
    this.stored = stored;
    this.#options = options;
    this.#lenient = lenient || !stored.complete;
    this.data = options.files.get(stored.data);
    this.meta = options.files.get(stored.meta);
  }

  /** Whether the tree still says the same of the layer, its name and its place apart. */
  isStill(stored: StoredLayer, lenient: boolean): boolean {
    const { data, meta, storeTag, complete } = this.stored;
    return (
      data === stored.data &&
      meta === stored.meta &&
      storeTag === stored.storeTag &&
      complete === stored.complete &&
      this.#lenient === (lenient || !complete)
    );
  }

  get id(): number {
    return this.stored.id;
  }

  /** A clone has the same files. */
  get shared(): boolean {
    return this.data.file.links() > 1;
  }

  /** Asked once: a frozen file changes only while it is filled. */
  allocatedBytes(): number {
    if (this.#allocatedBytes === null || !this.stored.complete || this.#lenient)
      this.#allocatedBytes = this.data.file.allocatedBytes();
    return this.#allocatedBytes;
  }

  /** The first extent from this one on of which the layer may hold something; `end` if none. */
  nextPresent(extent: number, end: number): number {
    let next = Math.min(end, this.#metaHole.next(this.meta, extent, PAGE_BYTES));
    next = Math.min(next, this.#dataHole.next(this.data, extent, EXTENT_BYTES));
    if (this.filled.size === 0) return next;
    for (const each of this.filled.keys()) if (each >= extent && each < next) next = each;
    return next;
  }

  /** Something was written into the layer. */
  changed(): void {
    this.#metaHole.forget();
    this.#dataHole.forget();
  }

  /** What the layer itself holds of the extent; the page is blank where that is nothing. */
  load(page: ExtentPage, extent: number): void {
    const { storeTag } = this.stored;
    const filled = this.filled.get(extent);
    if (filled !== undefined) {
      page.copyFrom(filled);
      return;
    }
    const inMeta = this.#metaHole.next(this.meta, extent, PAGE_BYTES) === extent;
    if (!inMeta && (this.#lenient || !this.#hasData(extent))) {
      page.reset(extent, storeTag);
      return;
    }
    this.meta.read(page.bytes, 0, PAGE_BYTES, extent * PAGE_BYTES);
    const state = page.accept(extent, storeTag);
    if (state === 'valid') return;
    if (state === 'too-new') throw this.#options.tooNew(extent);
    if (state === 'empty' && (this.#lenient || !this.#hasData(extent))) return;
    // Pages of a frozen layer are whole on the disk: zeroes do not say that it hides nothing.
    const isNamed = state === 'damaged' && page.isOf(extent, storeTag);
    this.#repair(page, extent, isNamed ? page.salvageHidden(extent, storeTag) : null);
  }

  /** What is on the disk, with checksums of what is there now; nothing vouches for it. */
  #repair(page: ExtentPage, extent: number, hidden: Uint32Array | null): void {
    page.reset(extent, this.stored.storeTag);
    recomputePage(page, this.data, this.#options.dataBytes);
    if (hidden !== null) page.restoreHidden(hidden);
    page.dirty = false;
    if (!this.stored.complete) {
      // It is compared with a source, block by block, before it counts; then the page is written,
      // also where no block differed.
      page.setUnknown();
      page.dirty = false;
      const kept = new ExtentPage();
      kept.copyFrom(page);
      this.filled.set(extent, kept);
      return;
    }
    if (hidden === null) holdAll(page);
    page.setUnverified(true);
    page.dirty = false;
    this.#options.damaged(this.id, extent);
  }

  #hasData(extent: number): boolean {
    return this.#dataHole.next(this.data, extent, EXTENT_BYTES) === extent;
  }
}

/**
 * Which blocks hid those of older layers is not known any more, so all count as the layer's own:
 * what cannot be read is better than what was unmapped.
 */
function holdAll(page: ExtentPage): void {
  for (let block = 0; block < BLOCKS_PER_EXTENT; block += 1)
    if (!page.isAllocated(block)) page.allocate(block, 0);
}

/** Remembers the last hole that was met, so that going through a file costs one look per hole. */
class Hole {
  #from = 0;
  #to = -1;

  /** The first unit from this one on that has data; Infinity when there is none. */
  next(file: LayerFile, unit: number, unitBytes: number): number {
    if (unit >= this.#from && unit <= this.#to) return this.#to;
    const offset = file.seekData(unit * unitBytes);
    this.#from = unit;
    this.#to = offset === null ? Infinity : Math.floor(offset / unitBytes);
    return this.#to;
  }

  forget(): void {
    this.#to = -1;
  }
}
