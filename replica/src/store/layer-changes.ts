import assert from 'node:assert';
import { EXTENT_BYTES } from '../protocol/types.ts';
import type { LayersChange } from '../protocol/types.ts';
import type { Closable } from './directory.ts';
import type { DurableState } from './durable-state.ts';
import { StoreError } from './errors.ts';
import { failureOf } from './failure.ts';
import type { LayerFiller } from './layer-filler.ts';
import type { LayerSet } from './layer-set.ts';
import { changed } from './layer-tree.ts';
import type { LayerTree } from './layer-tree.ts';
import type { Merger } from './merger.ts';
import { storeTagOf } from './superblock.ts';

/** A place in the order of operations: those that come after it wait until it is released. */
export interface Hold {
  /** Resolves when all operations given before are applied. */
  readonly reached: Promise<void>;
  readonly release: () => void;
}

const MOVES_HEAD: ReadonlySet<LayersChange['change']> = new Set([
  'snapshot',
  'undo',
  'revert',
  'adopt',
]);

export interface LayerChangesOptions {
  readonly durable: DurableState;
  readonly layers: LayerSet;
  readonly merger: Merger;
  readonly filler: LayerFiller;
  readonly hold: () => Hold;
  /** Makes data and pages of the head durable and clears all marks; rejects with a StoreError. */
  readonly settle: () => Promise<void>;
  /** Closes files when nothing reads from them any more. */
  readonly closeLater: (files: readonly Closable[]) => void;
  /** The store cannot go on: what is durable is not what is in memory. */
  readonly die: (error: StoreError) => void;
}

/**
 * Changes of the tree of layers, one after the other. The order is always: the new files durable,
 * the superblock durable, then the memory, then the old files go. What a crash leaves half done is
 * a file that no layer has, and opening the store removes it.
 */
export class LayerChanges {
  readonly #options: LayerChangesOptions;
  #last: Promise<void> = Promise.resolve();
  #session = 0;

  constructor(options: LayerChangesOptions) {
    this.#options = options;
  }

  /**
   * Of the session that is served; those that wait are dropped when the next one begins. A change
   * of the head has its place among the operations from now on: what is given after it goes to the
   * head that it leaves.
   */
  change(change: LayersChange): Promise<void> {
    const session = this.#session;
    const hold = MOVES_HEAD.has(change.change) ? this.#options.hold() : null;
    const work = this.#last
      .then(() => {
        if (session === this.#session) return this.#perform(change, hold);
        const message = 'Another session began before the layers were changed.';
        throw new StoreError('EPOCH_STALE', message);
      })
      .finally(() => hold?.release());
    this.#last = work.catch(() => undefined);
    return work;
  }

  /** Something else that must not meet a change of the layers. */
  exclusive(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined);
    return done;
  }

  /** Resolves when nothing is under way. */
  async newSession(): Promise<void> {
    this.#session += 1;
    await this.#last;
    this.#options.merger.resume();
  }

  async close(): Promise<void> {
    this.#session += 1;
    await this.#last;
    await this.#options.merger.pause();
  }

  async #perform(change: LayersChange, hold: Hold | null): Promise<void> {
    const { merger } = this.#options;
    if (change.change === 'resume-merges') {
      merger.resume();
      return;
    }
    if (change.change === 'pause-merges') {
      await merger.pause();
      return;
    }
    await merger.suspend();
    try {
      await this.#change(change, hold);
    } catch (cause) {
      throw failureOf('changing the layers', cause);
    } finally {
      merger.unsuspend();
    }
  }

  async #change(change: LayersChange, hold: Hold | null): Promise<void> {
    const { durable, layers, filler } = this.#options;
    const { tree, identity } = durable.superblock;
    const wanted = changed(tree, change, storeTagOf(identity.replicaId));
    const next = change.change === 'adopt' ? layers.unshared(wanted) : wanted;
    if (next === tree) return;
    durable.checkTree(next);
    if (change.change === 'complete') await filler.finish(change.layer);
    if (next.head === tree.head) {
      layers.makeFiles(next);
      await this.#commit(next);
      return;
    }
    assert(hold !== null, `${change.change} does not move the head`);
    await hold.reached;
    if (change.change === 'undo') this.#checkUntouched();
    const isBack = tree.layers.some(({ id }) => id === next.head);
    if (isBack) layers.thaw(next.head);
    await this.#options.settle();
    layers.makeFiles(next);
    await this.#commit(next);
  }

  async #commit(next: LayerTree): Promise<void> {
    const { durable, layers, die } = this.#options;
    try {
      await durable.putTree(next);
      this.#options.closeLater(layers.refresh());
      layers.files.removeStrays(next);
    } catch (cause) {
      const error = failureOf('changing the layers', cause);
      die(error);
      throw error;
    }
  }

  /** An initiator's write, or a stamp, must not vanish with the head. */
  #checkUntouched(): void {
    const { stack, sizeBytes } = this.#options.layers;
    const extents = Math.ceil(sizeBytes / EXTENT_BYTES);
    for (let extent = 0; extent < extents; extent += 1) {
      extent = stack.pages.nextPresent(extent, extents);
      // A page that was only read is in memory as well.
      if (extent >= extents || stack.pages.view(extent).blank) continue;
      throw new StoreError(
        'LAYERS',
        `Layer ${stack.headId} was written already, so that the snapshot below it cannot be ` +
          'undone; revert to it, or delete it.',
      );
    }
  }
}
