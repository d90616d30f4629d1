import type { DiskFile } from './disk.ts';
import type { Base, BaseView } from './base.ts';
import type { ExtentPage } from './extent-page.ts';
import type { ExtentPages } from './extent-pages.ts';
import type { Standing } from './standing.ts';

/** The layer that is written. */
export interface Head {
  readonly id: number;
  readonly data: DiskFile;
  readonly meta: DiskFile;
  readonly pages: ExtentPages;
}

/**
 * What a volume consists of at the moment: the head, and the frozen layers below it, null where
 * there are none. All that read and write look here, so that a snapshot is one assignment.
 */
export class Stack {
  data: DiskFile;
  meta: DiskFile;
  pages: ExtentPages;
  headId: number;
  base: Base | null;

  constructor(head: Head, base: Base | null) {
    this.headId = head.id;
    this.data = head.data;
    this.meta = head.meta;
    this.pages = head.pages;
    this.base = base;
  }

  /** Another layer is the head, or other layers lie below it. */
  become(head: Head, base: Base | null): void {
    this.headId = head.id;
    this.data = head.data;
    this.meta = head.meta;
    this.pages = head.pages;
    this.base = base;
  }

  get memoryBytes(): number {
    return this.pages.memoryBytes + (this.base?.memoryBytes ?? 0);
  }

  /** What is seen below the head's page where that does not have the block; null for zeroes. */
  below(page: ExtentPage, block: number): BaseView | null {
    const { base } = this;
    if (base === null || page.hides(block)) return null;
    const view = base.view(page.extent);
    return view.holder(block) === 0 ? null : view;
  }

  /** Whether the block has data, in whichever layer. */
  isAllocated(page: ExtentPage, block: number): boolean {
    return page.isAllocated(block) || this.below(page, block) !== null;
  }

  /** Four bytes go to `into`; zeroes where the block has no data. */
  checksum(page: ExtentPage, block: number): number {
    if (page.isAllocated(block)) return page.checksum(block);
    return this.below(page, block)?.checksum(block) ?? 0;
  }

  /** The first extent from this one on that may ever have been written; `end` if none below it. */
  nextPresent(extent: number, end: number): number {
    const next = this.pages.nextPresent(extent, end);
    return next === extent || this.base === null ? next : this.base.nextPresent(extent, next);
  }

  /**
   * Whether what lies below is known well enough that a version may be given to an extent of which
   * the head has held nothing.
   */
  isBaseKnown(extent: number, standing: Standing): boolean {
    const { base } = this;
    if (base === null) return true;
    if (base.incomplete) return false;
    return standing.isKnown(base.view(extent));
  }
}
