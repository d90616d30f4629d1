import type { LRUCache } from 'lru-cache';
import type { DiskFile } from './disk.ts';
import { ExtentPage, PAGE_BYTES } from './extent-page.ts';
import type { PageState } from './extent-page.ts';

/**
 * What a page costs in memory: its bytes, three views, its entry in the cache. Measured, rounded
 * up. Bytes.
 */
export const PAGE_COST_BYTES = PAGE_BYTES + 640;

const { createRequire } = process.getBuiltinModule('node:module');
const lru = createRequire(import.meta.url)('lru-cache') as { LRUCache: typeof LRUCache };

export interface ExtentPagesOptions {
  readonly file: DiskFile;
  readonly budgetBytes: number;
  readonly storeTag: number;
  /** True when the stored page may be older than the data: it is recomputed. */
  readonly isUntrusted: (extent: number) => boolean;
  /** The first extent from this one on that lies in a marked region; `end` if none below it. */
  readonly nextMarked: (extent: number, end: number) => number;
  /** Makes the page agree with the data; its version becomes unknown. */
  readonly recompute: (page: ExtentPage) => void;
  /**
   * The first extent at or after the given one in which the data file has data; Infinity when there
   * is none.
   */
  readonly nextWithData: (extent: number) => number;
  readonly damaged: (extent: number) => void;
  /** The stored page had rotted under the one in memory, which was written again. */
  readonly rewritten: (extent: number) => void;
  /** There are older layers, so that it matters what a page hides. */
  readonly mayHide: () => boolean;
  /** Data that no page names are no sign of damage: see StoredLayer.merging. */
  readonly isLenient: () => boolean;
  /**
   * The page could not be written and is gone: the extent's stored page may be older than the data
   * from now on.
   */
  readonly writeFailed: (extent: number, error: unknown) => void;
  readonly tooNew: (extent: number) => Error;
}

/**
 * The extent pages in memory. A dirty page belongs to a marked region, so losing it in a crash is
 * foreseen.
 */
export class ExtentPages {
  readonly #options: ExtentPagesOptions;
  readonly #file: DiskFile;
  readonly #cache: LRUCache<number, ExtentPage>;
  /** The page used last, so that neighbouring operations need no look-up. */
  #recent: ExtentPage | null = null;
  /** Evicted pages are used again. */
  #spare: ExtentPage | null = null;
  readonly #viewed = new ExtentPage();

  constructor(options: ExtentPagesOptions) {
    this.#options = options;
    this.#file = options.file;
    this.#cache = new lru.LRUCache<number, ExtentPage>({
      maxSize: Math.max(options.budgetBytes, 4 * PAGE_COST_BYTES),
      sizeCalculation: () => PAGE_COST_BYTES,
      dispose: (page, extent, reason) => {
        if (reason === 'evict') this.#evicted(page, extent);
      },
    });
  }

  get memoryBytes(): number {
    return this.#cache.size * PAGE_COST_BYTES;
  }

  /** Valid until the next call of `get`: pages are reused. */
  get(extent: number): ExtentPage {
    const recent = this.#recent;
    if (recent !== null && recent.extent === extent) return recent;
    const page = this.#cache.get(extent) ?? this.#load(extent);
    this.#recent = page;
    return page;
  }

  /** The page if it is in memory; its place in the order of eviction stays. */
  peek(extent: number): ExtentPage | undefined {
    return this.#cache.peek(extent);
  }

  /** For looking only: does not push other pages out of memory. Valid until the next call. */
  view(extent: number): ExtentPage {
    const cached = this.#cache.peek(extent);
    if (cached !== undefined) return cached;
    if (this.#options.isUntrusted(extent)) return this.get(extent);
    this.#file.read(this.#viewed.bytes, 0, PAGE_BYTES, extent * PAGE_BYTES);
    const state = this.#accept(this.#viewed, extent);
    return state === 'empty' || state === 'valid' ? this.#viewed : this.get(extent);
  }

  /**
   * Compares the page as it is stored with the one in memory, which hides it, and writes it again
   * where it has rotted: false. A page that is not in memory is judged when it is looked at.
   */
  verifyStored(extent: number): boolean {
    const cached = this.#cache.peek(extent);
    if (cached === undefined || cached.dirty || cached.unverified) return true;
    this.#file.read(this.#viewed.bytes, 0, PAGE_BYTES, extent * PAGE_BYTES);
    const state = this.#viewed.accept(extent, this.#options.storeTag);
    cached.seal();
    if (state === 'valid' && Buffer.compare(this.#viewed.bytes, cached.bytes) === 0) return true;
    if (state === 'empty' && cached.blank) return true;
    this.#write(cached);
    this.#options.rewritten(extent);
    return false;
  }

  /** The first extent from `extent` on that may ever have been written; `end` if none below it. */
  nextPresent(extent: number, end: number): number {
    // What is in memory only is in marked regions.
    const marked = this.#options.nextMarked(extent, end);
    if (marked === extent) return extent;
    const data = this.#file.seekData(extent * PAGE_BYTES);
    const page = data === null ? end : Math.floor(data / PAGE_BYTES);
    return Math.min(marked, page, this.#options.nextWithData(extent));
  }

  /** Writes the page if it is in memory and dirty; durable after the file's next sync. */
  writeBack(extent: number): void {
    const page = this.#cache.peek(extent);
    if (page?.dirty !== true) return;
    this.#write(page);
  }

  /** Writes all dirty pages; durable after the file's next sync. */
  writeAll(): void {
    for (const page of this.#cache.values()) if (page.dirty) this.#write(page);
  }

  #load(extent: number): ExtentPage {
    const page = this.#spare ?? new ExtentPage();
    this.#spare = null;
    this.#file.read(page.bytes, 0, PAGE_BYTES, extent * PAGE_BYTES);
    const { storeTag } = this.#options;
    const state = this.#accept(page, extent);
    if (this.#options.isUntrusted(extent)) {
      const hidden = page.salvageHidden(extent, storeTag);
      page.reset(extent, storeTag);
      this.#options.recompute(page);
      if (hidden !== null) page.restoreHidden(hidden);
      else if (this.#options.mayHide()) {
        // What was unmapped might show again.
        page.setUnverified(true);
        this.#options.damaged(extent);
      }
    } else if (state === 'damaged') {
      const hidden = page.salvageHidden(extent, storeTag);
      page.reset(extent, storeTag);
      this.#options.recompute(page);
      if (hidden !== null) page.restoreHidden(hidden);
      page.setUnverified(true);
      // Not dirty: the region is not marked. The page is found damaged again when it was evicted
      // unchanged.
      page.dirty = false;
      this.#options.damaged(extent);
    } else if (state === 'too-new') {
      this.#spare = page;
      throw this.#options.tooNew(extent);
    }
    this.#cache.set(extent, page);
    return page;
  }

  /**
   * A page is written before its mark goes, so zeroes where there is data are a page that was lost.
   */
  #accept(page: ExtentPage, extent: number): PageState {
    const state = page.accept(extent, this.#options.storeTag);
    if (state !== 'empty' || this.#options.isLenient()) return state;
    return this.#options.nextWithData(extent) === extent ? 'damaged' : 'empty';
  }

  #evicted(page: ExtentPage, extent: number): void {
    if (page.dirty) {
      try {
        this.#write(page);
      } catch (error) {
        this.#options.writeFailed(extent, error);
      }
    }
    if (page === this.#recent) this.#recent = null;
    page.extent = -1;
    this.#spare = page;
  }

  #write(page: ExtentPage): void {
    page.seal();
    this.#file.write(page.bytes, page.extent * PAGE_BYTES);
    page.dirty = false;
  }
}
