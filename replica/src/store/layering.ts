import type { StoreError } from './errors.ts';
import type { DurableState } from './durable-state.ts';
import type { Closable } from './directory.ts';
import { failureOf } from './failure.ts';
import type { GroupCommit } from './group-commit.ts';
import { LayerChanges, type Hold } from './layer-changes.ts';
import { LayerFiller } from './layer-filler.ts';
import { LayerReader } from './layer-reader.ts';
import type { LayerSet } from './layer-set.ts';
import { LayerUsages } from './layer-usages.ts';
import { Merger } from './merger.ts';
import type { Reader } from './reader.ts';
import type { Regions } from './regions.ts';
import type { LayerUsage } from './types.ts';

export interface LayeringOptions {
  readonly durable: DurableState;
  readonly layers: LayerSet;
  readonly regions: Regions;
  readonly reader: Reader;
  readonly commits: GroupCommit;
  readonly every: (intervalMs: number, tick: () => void) => () => void;
  readonly later: (callback: () => void) => void;
  readonly warn: (message: string) => void;
  readonly hold: () => Hold;
  readonly failure: () => StoreError | null;
  readonly activity: () => number;
  readonly die: (error: StoreError) => void;
}

/** All that a store does with its layers besides reading and writing through them. */
export class Layering {
  readonly changes: LayerChanges;
  readonly filler: LayerFiller;
  readonly reader: LayerReader;
  readonly #options: LayeringOptions;
  readonly #usages: LayerUsages;
  /** Files of former heads, which reads may still use. */
  readonly #leaving = new Set<Closable>();

  constructor(options: LayeringOptions) {
    this.#options = options;
    const { layers } = options;
    this.filler = new LayerFiller(layers);
    this.reader = new LayerReader(layers);
    this.#usages = new LayerUsages(layers, options.later);
    const merger = new Merger({ ...options, syncHead: () => this.#flush() });
    this.changes = new LayerChanges({
      ...options,
      merger,
      filler: this.filler,
      settle: () => this.#settle(),
      closeLater: (files) => this.#closeLater(files),
    });
  }

  get allocatedBytes(): number {
    return this.#usages.allocatedBytes;
  }

  usage(): readonly LayerUsage[] {
    return this.#usages.list();
  }

  newSession(): Promise<void> {
    return this.changes.newSession();
  }

  async close(): Promise<void> {
    this.#usages.stop();
    await this.changes.close();
  }

  /** What is frozen is durable, and its pages are to be trusted for ever. */
  async #settle(): Promise<void> {
    const { regions, failure } = this.#options;
    await this.#flush();
    const isDone = await regions.settle();
    const error = failure();
    if (error !== null) throw error;
    if (!isDone) throw failureOf('freezing the head', new Error('its pages are not durable'));
  }

  /** Data of the head durable; rejects with a StoreError. */
  #flush(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#options.commits.flush((error) => {
        if (error === null) resolve();
        else reject(error);
      });
    });
  }

  #closeLater(files: readonly Closable[]): void {
    for (const file of files) this.#leaving.add(file);
    this.#options.reader.drained(() => {
      for (const file of files) if (this.#leaving.delete(file)) file.close();
    });
  }
}
