import { BLOCK_BYTES, EXTENT_BYTES } from '../protocol/types.ts';
import type { FrozenLayer } from './frozen-layer.ts';
import { keepZeroes } from './hidden-blocks.ts';
import { LayerCopy, runs } from './layer-copy.ts';
import type { LayerSet } from './layer-set.ts';
import { layerOf, merged } from './layer-tree.ts';
import type { LayerTree } from './layer-tree.ts';
import type { Merge } from './merger.ts';
import { EXTENTS_PER_REGION } from './regions.ts';
import type { Regions } from './regions.ts';

/**
 * Into the head, while it is written: as its own writes, only where the region is marked, and only
 * into blocks that it lacks at that moment. What is seen does not change, and so no version does.
 */
export class HeadMerge implements Merge {
  readonly #layers: LayerSet;
  readonly #regions: Regions;
  readonly #syncHead: () => Promise<void>;
  readonly #lower: FrozenLayer;
  readonly #copy = new LayerCopy();

  constructor(options: {
    readonly layers: LayerSet;
    readonly regions: Regions;
    readonly syncHead: () => Promise<void>;
    readonly lower: number;
  }) {
    this.#layers = options.layers;
    this.#regions = options.regions;
    this.#syncHead = options.syncHead;
    this.#lower = options.layers.frozen(options.lower);
  }

  async extent(extent: number): Promise<boolean> {
    const region = Math.floor(extent / EXTENTS_PER_REGION);
    const { stack } = this.#layers;
    const lacks = (block: number): boolean => {
      const page = stack.pages.get(extent);
      return !page.isAllocated(block) && !page.hides(block);
    };
    await this.#copy.load(this.#lower, extent, lacks);
    // Asked now, after the wait: nothing comes between this and the changes.
    if (!this.#regions.touch(region)) {
      this.#regions.request(region);
      return false;
    }
    const below = this.#copy.page;
    const page = stack.pages.get(extent);
    const wasBlank = page.blank;
    for (const [from, to] of runs((block) => below.isAllocated(block) && lacks(block))) {
      const at = extent * EXTENT_BYTES + from * BLOCK_BYTES;
      this.#write(at, this.#copy.bytes(from, to));
      for (let block = from; block < to; block += 1) page.allocate(block, below.checksum(block));
    }
    // Also where the head has data: an unmap that comes before the lower layer goes finds nothing
    // below that it would have to hide.
    for (const [from, to] of runs((block) => below.hides(block) && !page.hides(block)))
      for (let block = from; block < to; block += 1) page.hide(block);
    keepZeroes(page, stack.data);
    if (wasBlank) page.takeVersion(below);
    return true;
  }

  async finish(tree: LayerTree): Promise<LayerTree> {
    const { stack } = this.#layers;
    stack.pages.writeAll();
    await this.#syncHead();
    await new Promise<void>((resolve, reject) => {
      stack.meta.sync((error) => {
        if (error === null) resolve();
        else reject(error);
      });
    });
    const lower = layerOf(tree, this.#lower.id);
    return merged(tree, lower, layerOf(tree, tree.head));
  }

  abandon(): void {
    // What was merged stays, it reads the same.
  }

  /** A write that failed half way must not be found by a later start. */
  #write(at: number, bytes: Uint8Array): void {
    const { data } = this.#layers.stack;
    try {
      data.write(bytes, at);
    } catch (cause) {
      data.punchHole(at, bytes.length);
      throw cause;
    }
  }
}
