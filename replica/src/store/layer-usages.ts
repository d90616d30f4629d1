import { BLOCK_BYTES, EXTENT_BYTES } from '../protocol/types.ts';
import { BLOCKS_PER_EXTENT, ExtentPage } from './extent-page.ts';
import type { LayerSet } from './layer-set.ts';
import { childrenOf } from './layer-tree.ts';
import type { StoredLayer } from './layer-tree.ts';
import type { LayerUsage } from './types.ts';

/** Extents that are looked at between two turns of the event loop. */
const SLICE_EXTENTS = 32;

/**
 * What each layer takes, and what deleting it would give back: the blocks that the one layer on top
 * of it has too. Counting goes through the pages of both, so it is done in the background, once
 * for two frozen layers, and when it is asked for where the head is one of them.
 */
export class LayerUsages {
  readonly #layers: LayerSet;
  readonly #later: (callback: () => void) => void;
  /** By the names of the files whose pages were counted. */
  readonly #freed = new Map<string, number>();
  readonly #lower = new ExtentPage();
  readonly #upper = new ExtentPage();
  #counting = false;
  #stopped = false;

  constructor(layers: LayerSet, later: (callback: () => void) => void) {
    this.#layers = layers;
    this.#later = later;
  }

  get allocatedBytes(): number {
    return this.#layers.tree.layers.reduce(
      (bytes, { id }) => bytes + this.#layers.allocatedBytes(id),
      0,
    );
  }

  /** As counted last; begins to count what is not known. */
  list(): LayerUsage[] {
    const list = this.#layers.tree.layers.map((layer): LayerUsage => {
      const { id } = layer;
      const allocatedBytes = this.#layers.allocatedBytes(id);
      const file = this.#layers.fileOf(id);
      const isShared = file !== null && file.links() > 1;
      const freedBytes = isShared ? 0 : this.#freedBy(layer, allocatedBytes);
      return {
        id,
        sizeBytes: file?.size() ?? this.#layers.sizeBytes,
        allocatedBytes,
        freedBytes,
      };
    });
    this.#count();
    return list;
  }

  stop(): void {
    this.#stopped = true;
  }

  #freedBy(layer: StoredLayer, allocatedBytes: number): number | null {
    const { tree } = this.#layers;
    if (layer.id === tree.head) return 0;
    const children = childrenOf(tree, layer.id);
    const [child] = children;
    if (child === undefined) return allocatedBytes;
    if (children.length > 1) return 0;
    return this.#freed.get(keyOf(layer, child)) ?? null;
  }

  #count(): void {
    if (this.#counting || this.#stopped) return;
    const { tree } = this.#layers;
    for (const layer of tree.layers) {
      const children = childrenOf(tree, layer.id);
      const [child] = children;
      if (child === undefined || children.length > 1) continue;
      const key = keyOf(layer, child);
      // The head changes, so what is known of it is counted again each time.
      if (this.#freed.has(key) && child.id !== tree.head) continue;
      this.#counting = true;
      this.#slice(layer.id, child.id, key, 0, 0);
      return;
    }
  }

  #slice(lower: number, upper: number, key: string, from: number, counted: number): void {
    try {
      this.#countSlice(lower, upper, key, from, counted);
    } catch {
      // A page could not be read: whoever needs it says so; here the answer stays unknown.
      this.#counting = false;
    }
  }

  #countSlice(lower: number, upper: number, key: string, from: number, counted: number): void {
    const { tree, sizeBytes } = this.#layers;
    const isThere = (id: number): boolean => tree.layers.some((layer) => layer.id === id);
    if (this.#stopped || !isThere(lower) || !isThere(upper)) {
      this.#counting = false;
      return;
    }
    const end = Math.ceil(sizeBytes / EXTENT_BYTES);
    const layer = this.#layers.frozen(lower);
    let extent = from;
    let blocks = counted;
    for (let left = SLICE_EXTENTS; left > 0; left -= 1) {
      extent = layer.nextPresent(extent, end);
      if (extent >= end) break;
      layer.load(this.#lower, extent);
      const page = this.#pageOf(upper, extent);
      for (let block = 0; block < BLOCKS_PER_EXTENT; block += 1)
        if (this.#lower.isAllocated(block) && (page.isAllocated(block) || page.hides(block)))
          blocks += 1;
      extent += 1;
    }
    if (extent < end) {
      this.#later(() => this.#slice(lower, upper, key, extent, blocks));
      return;
    }
    this.#freed.set(key, blocks * BLOCK_BYTES);
    this.#counting = false;
    if (upper !== tree.head) this.#later(() => this.#count());
  }

  #pageOf(id: number, extent: number): ExtentPage {
    const { stack } = this.#layers;
    if (id === stack.headId) return stack.pages.view(extent);
    this.#layers.frozen(id).load(this.#upper, extent);
    return this.#upper;
  }
}

function keyOf(lower: StoredLayer, upper: StoredLayer): string {
  return `${lower.meta} ${upper.meta}`;
}
