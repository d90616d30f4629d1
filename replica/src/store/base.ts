import type { LRUCache } from 'lru-cache';
import type { Version } from '../protocol/types.ts';
import { BLOCKS_PER_EXTENT, ExtentPage } from './extent-page.ts';
import type { FrozenLayer } from './frozen-layer.ts';
import type { LayerFile } from './layer-files.ts';

const { createRequire } = process.getBuiltinModule('node:module');
const lru = createRequire(import.meta.url)('lru-cache') as { LRUCache: typeof LRUCache };

/** What a view costs in memory: two arrays, the object, its entry in the cache. Bytes. */
const VIEW_COST_BYTES = 6 * BLOCKS_PER_EXTENT + 768;
/** In `holders`: the page of the layer that holds the block is damaged. */
const UNVERIFIED = 0x8000;

/**
 * What an extent looks like below the head, all frozen layers together: for each block the layer
 * that has it, and its checksum. So a read costs the same however long the chain is.
 */
export class BaseView {
  /** Per block 0 where nothing is seen, else the layer's place in the chain, counted from 1. */
  readonly #holders = new Uint16Array(BLOCKS_PER_EXTENT);
  readonly #sums = new Uint32Array(BLOCKS_PER_EXTENT);
  /** Of the first layer that says anything of the extent. */
  version: Version;
  unknown = false;
  provisional = false;
  unverified = false;
  blank = true;
  extent = -1;

  constructor(extent: number, version: Version) {
    this.extent = extent;
    this.version = version;
  }

  holder(block: number): number {
    return (this.#holders[block] ?? 0) & ~UNVERIFIED;
  }

  /** Whether nothing vouches for the block's checksum. */
  isUnverified(block: number): boolean {
    return ((this.#holders[block] ?? 0) & UNVERIFIED) !== 0;
  }

  checksum(block: number): number {
    return this.#sums[block] ?? 0;
  }

  set(block: number, holder: number, unverified: boolean, checksum: number): void {
    this.#holders[block] = unverified ? holder | UNVERIFIED : holder;
    this.#sums[block] = checksum;
  }
}

/** The frozen layers below the head, nearest first. */
export class Base {
  readonly layers: readonly FrozenLayer[];
  /** A layer is being filled: what is seen now is not what will be seen. */
  readonly incomplete: boolean;
  readonly #cache: LRUCache<number, BaseView>;
  readonly #page = new ExtentPage();
  #recent: BaseView | null = null;

  constructor(layers: readonly FrozenLayer[], budgetBytes: number) {
    this.layers = layers;
    this.incomplete = layers.some(({ stored }) => !stored.complete);
    this.#cache = new lru.LRUCache<number, BaseView>({
      maxSize: Math.max(budgetBytes, 4 * VIEW_COST_BYTES),
      sizeCalculation: () => VIEW_COST_BYTES,
    });
  }

  get memoryBytes(): number {
    return this.#cache.size * VIEW_COST_BYTES;
  }

  view(extent: number): BaseView {
    const recent = this.#recent;
    if (recent !== null && recent.extent === extent) return recent;
    let view = this.#cache.get(extent);
    if (view === undefined) {
      view = this.#compose(extent);
      this.#cache.set(extent, view);
    }
    this.#recent = view;
    return view;
  }

  /** Of a holder that a view names. */
  file(holder: number): LayerFile {
    const layer = this.layers[holder - 1];
    if (layer === undefined) throw new RangeError(`no layer has the place ${holder}`);
    return layer.data;
  }

  /** The first extent from this one on of which any layer may hold something; `end` if none. */
  nextPresent(extent: number, end: number): number {
    let next = end;
    for (const layer of this.layers) {
      if (next === extent) break;
      next = Math.min(next, layer.nextPresent(extent, next));
    }
    return next;
  }

  /** A frozen layer's content of the extent was changed. */
  forget(extent: number): void {
    this.#cache.delete(extent);
    this.#recent = null;
  }

  #compose(extent: number): BaseView {
    const page = this.#page;
    const view = new BaseView(extent, NONE);
    const open = new Uint8Array(BLOCKS_PER_EXTENT);
    let left = BLOCKS_PER_EXTENT;
    for (let index = 0; index < this.layers.length && left > 0; index += 1) {
      const layer = this.layers[index];
      if (layer === undefined || layer.nextPresent(extent, extent + 1) !== extent) continue;
      layer.load(page, extent);
      const { unverified } = page;
      if (view.blank && !page.blank) {
        view.blank = false;
        view.version = page.version;
        view.unknown = page.unknown;
        view.provisional = page.provisional;
        view.unverified = unverified;
      }
      for (let block = 0; block < BLOCKS_PER_EXTENT; block += 1) {
        if (open[block] !== 0) continue;
        const allocated = page.isAllocated(block);
        if (!allocated && !page.hides(block)) continue;
        open[block] = 1;
        left -= 1;
        if (allocated) view.set(block, index + 1, unverified, page.checksum(block));
      }
    }
    return view;
  }
}

const NONE: Version = new ExtentPage().version;
