import {
  MERGE_EXTENTS_AT_REST,
  MERGE_EXTENTS_IN_USE,
  MERGE_RETRY_MS,
  MERGE_TICK_MS,
} from '../limits.ts';
import { EXTENT_BYTES } from '../protocol/types.ts';
import type { DurableState } from './durable-state.ts';
import { FrozenMerge } from './frozen-merge.ts';
import { HeadMerge } from './head-merge.ts';
import type { LayerSet } from './layer-set.ts';
import { layerOf, mergeablePairs, withLayer } from './layer-tree.ts';
import type { LayerTree, StoredLayer } from './layer-tree.ts';
import type { StoreError } from './errors.ts';
import { failureOf } from './failure.ts';
import type { Regions } from './regions.ts';

/** One merge of a layer into the one layer on top of it. */
export interface Merge {
  /** False when the extent has to wait, for a mark in the activity log say. */
  extent(extent: number): Promise<boolean>;
  /** Makes what was merged durable and returns the tree without the lower layer. */
  finish(tree: LayerTree): Promise<LayerTree>;
  /** The merge begins anew another time. */
  abandon(): void;
}

export interface MergerOptions {
  readonly durable: DurableState;
  readonly layers: LayerSet;
  readonly regions: Regions;
  /** Data of the head durable. */
  readonly syncHead: () => Promise<void>;
  /** Counts what the volume was used for, so that merging can give way. */
  readonly activity: () => number;
  readonly every: (intervalMs: number, tick: () => void) => () => void;
  readonly warn: (message: string) => void;
  /** What is durable is not what is in memory. */
  readonly die: (error: StoreError) => void;
}

interface Job {
  readonly lower: StoredLayer;
  readonly merge: Merge;
  next: number;
}

/**
 * Gives back the space of layers that nobody needs by themselves: what such a layer holds and the
 * one on top of it does not goes there, extent by extent, in the background; then the layer goes.
 * Blocks that are there already are passed over, so that it can begin anew at any time.
 */
export class Merger {
  readonly #options: MergerOptions;
  #stopTicks: (() => void) | null = null;
  #job: Job | null = null;
  #working: Promise<void> | null = null;
  /** Lower layers whose merge has failed since it rested; the others are tried before that. */
  readonly #failedLayers = new Set<number>();
  #paused = false;
  #suspended = 0;
  #activity = 0;
  #warned = '';

  constructor(options: MergerOptions) {
    this.#options = options;
    this.#wake();
  }

  /** Nothing is merged until resume(). */
  async pause(): Promise<void> {
    this.#paused = true;
    await this.#working;
  }

  resume(): void {
    this.#paused = false;
    this.#wake();
  }

  /** For a change of the tree: the merge begins anew afterwards. */
  async suspend(): Promise<void> {
    this.#suspended += 1;
    await this.#working;
    this.#drop();
  }

  unsuspend(): void {
    this.#suspended -= 1;
    this.#sleep();
    this.#wake();
  }

  /** Whether there is nothing to merge now. */
  get idle(): boolean {
    return this.#stopTicks === null;
  }

  #drop(): void {
    this.#job?.merge.abandon();
    this.#job = null;
  }

  #wake(): void {
    if (this.#stopTicks !== null || this.#paused || this.#suspended > 0) return;
    if (mergeablePairs(this.#options.layers.tree).length === 0) return;
    this.#stopTicks = this.#options.every(MERGE_TICK_MS, () => this.#tick());
  }

  #sleep(): void {
    this.#stopTicks?.();
    this.#stopTicks = null;
  }

  /** Tries again after a while, if there is anything to try. */
  #rest(): void {
    this.#sleep();
    if (mergeablePairs(this.#options.layers.tree).length === 0) return;
    this.#stopTicks = this.#options.every(MERGE_RETRY_MS, () => {
      this.#sleep();
      this.#wake();
    });
  }

  #tick(): void {
    if (this.#working !== null) return;
    if (this.#paused || this.#suspended > 0) {
      this.#sleep();
      return;
    }
    this.#working = this.#work()
      .catch((cause: unknown) => this.#failed(cause))
      .finally(() => (this.#working = null));
  }

  async #work(): Promise<void> {
    this.#job ??= await this.#begin();
    const job = this.#job;
    if (job === null) {
      this.#failedLayers.clear();
      this.#rest();
      return;
    }
    const activity = this.#options.activity();
    const inUse = activity !== this.#activity;
    this.#activity = activity;
    const { layers } = this.#options;
    const end = Math.ceil(layers.sizeBytes / EXTENT_BYTES);
    const lower = layers.frozen(job.lower.id);
    let left = inUse ? MERGE_EXTENTS_IN_USE : MERGE_EXTENTS_AT_REST;
    for (; left > 0; left -= 1) {
      const extent = lower.nextPresent(job.next, end);
      if (extent >= end) {
        await this.#end(job);
        return;
      }
      if (!(await job.merge.extent(extent))) {
        job.next = extent;
        return;
      }
      job.next = extent + 1;
    }
  }

  /** Null when there is nothing that can be merged now. */
  async #begin(): Promise<Job | null> {
    const { layers, durable, regions, syncHead } = this.#options;
    for (const { lower, upper } of mergeablePairs(layers.tree)) {
      if (this.#failedLayers.has(lower.id)) continue;
      if (upper.id === layers.tree.head) {
        if (isShared(layers, lower.id)) continue;
        const merge = new HeadMerge({ layers, regions, syncHead, lower: lower.id });
        return { lower, merge, next: 0 };
      }
      if (isShared(layers, lower.id) || isShared(layers, upper.id)) continue;
      if (!lower.merging) {
        await durable.putTree(withLayer(layers.tree, { ...lower, merging: true }));
        layers.refresh();
      }
      // A clone links the files first and looks at the superblock then, so that one of the two
      // sees the other.
      if (isShared(layers, lower.id) || isShared(layers, upper.id)) {
        await durable.putTree(withLayer(layers.tree, { ...lower, merging: false }));
        layers.refresh();
        continue;
      }
      const { storeTag } = layers;
      const merge = new FrozenMerge({ layers, lower: lower.id, upper: upper.id, storeTag });
      return { lower: layerOf(layers.tree, lower.id), merge, next: 0 };
    }
    return null;
  }

  async #end(job: Job): Promise<void> {
    const { durable, layers, die } = this.#options;
    const next = await job.merge.finish(layers.tree);
    this.#job = null;
    try {
      await durable.putTree(next);
      layers.refresh();
      layers.files.removeStrays(next);
    } catch (cause) {
      die(failureOf('merging layers', cause));
    }
  }

  #failed(cause: unknown): void {
    const { message } = failureOf('merging layers', cause);
    // What has rotted may be needed by nobody once the layer on top of it was merged as well.
    if (this.#job === null) this.#rest();
    else this.#failedLayers.add(this.#job.lower.id);
    this.#drop();
    if (message === this.#warned) return;
    this.#warned = message;
    this.#options.warn(
      `Merging a deleted snapshot waits, and its space is not given back yet. ${message}`,
    );
  }
}

function isShared(layers: LayerSet, id: number): boolean {
  return layers.frozen(id).shared;
}
