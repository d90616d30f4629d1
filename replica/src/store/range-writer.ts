import { zlib } from '../runtime/builtin.ts';
import { BLOCK_BYTES, EXTENT_BYTES, REGION_BYTES } from '../protocol/types.ts';
import { ZERO_BLOCK_CHECKSUM } from './block-checksums.ts';
import type { BlockEditor } from './block-editor.ts';
import type { ExtentPage } from './extent-page.ts';
import { failureOf } from './failure.ts';
import { keepZeroes } from './hidden-blocks.ts';
import type { Regions } from './regions.ts';
import type { Stack } from './stack.ts';
import type { StoreRangeOperation } from './types.ts';

/** Regions of an unmap or a stamp that are handled in one turn of the event loop. */
const SLICE_REGIONS = 64;
/** Extents that were never written and are passed over in one turn. */
const SLICE_EXTENTS = 64 * 1024;

const zeroes = new Uint8Array(BLOCK_BYTES);
const zeroRegion = (): Uint8Array => new Uint8Array(REGION_BYTES);

/**
 * Unmaps and stamps, region by region, so that the whole volume can be unmapped although few
 * regions can be marked at a time.
 *
 * Where an older layer has data a hole would show them. Such a block is hidden by its bit in the
 * page. The bit has to be durable before the data of the head go, or a crash would bring back what
 * is older than either; so whole regions get their pages written and synced first, and smaller
 * ranges are overwritten with zeroes, which are punched out when the page is durable anyway.
 */
export class RangeWriter {
  readonly #stack: Stack;
  readonly #regions: Regions;
  readonly #editor: BlockEditor;
  #blocked = false;
  /** What the durable pages hide. */
  #hiddenFrom = 0;
  #hiddenTo = 0;

  constructor(parts: {
    readonly stack: Stack;
    readonly regions: Regions;
    readonly editor: BlockEditor;
  }) {
    this.#stack = parts.stack;
    this.#regions = parts.regions;
    this.#editor = parts.editor;
  }

  /** Whether the last call of `advance` stopped for want of a mark, which was asked for. */
  get blocked(): boolean {
    return this.#blocked;
  }

  advance(operation: StoreRangeOperation, from: number): number {
    this.#blocked = false;
    const end = operation.offsetBytes + operation.lengthBytes;
    let position = operation.offsetBytes + from;
    this.#hiddenTo = 0;
    if (operation.kind === 'unmap' && this.#stack.base !== null) {
      position = this.#passUnwritten(position, end);
      this.#hideAhead(operation, position, end);
    }
    for (let slice = 0; slice < SLICE_REGIONS && position < end; slice += 1) {
      if (operation.kind === 'unmap') {
        position = this.#passUnwritten(position, end);
        if (position >= end) break;
      }
      const region = Math.floor(position / REGION_BYTES);
      const stop = Math.min(end, (region + 1) * REGION_BYTES);
      if (operation.kind === 'stamp' || this.#anyAllocated(position, stop)) {
        if (!this.#regions.touch(region)) {
          this.#regions.request(region);
          this.#blocked = true;
          break;
        }
        if (operation.kind === 'stamp') this.#stamp(operation, position, stop);
        else this.#unmap(operation, position, stop);
      }
      position = stop;
    }
    return position - operation.offsetBytes;
  }

  #passUnwritten(position: number, end: number): number {
    const extent = Math.floor(position / EXTENT_BYTES);
    const last = Math.min(Math.ceil(end / EXTENT_BYTES), extent + SLICE_EXTENTS);
    const present = this.#stack.nextPresent(extent, last);
    return present === extent ? position : Math.min(end, present * EXTENT_BYTES);
  }

  /**
   * An unmap of what is not allocated changes nothing, so it needs no mark and gives no version.
   */
  #anyAllocated(from: number, to: number): boolean {
    return this.#someExtent(from, to, (page, firstBlock, endBlock) => {
      if (page.next(true, firstBlock, endBlock) < endBlock) return true;
      return this.#anyBelow(page, firstBlock, endBlock);
    });
  }

  #anyBelow(page: ExtentPage, firstBlock: number, endBlock: number): boolean {
    if (this.#stack.base === null) return false;
    for (let block = firstBlock; block < endBlock; block += 1)
      if (this.#stack.below(page, block) !== null) return true;
    return false;
  }

  #someExtent(
    from: number,
    to: number,
    visit: (page: ExtentPage, firstBlock: number, endBlock: number) => boolean,
  ): boolean {
    const last = Math.floor((to - 1) / EXTENT_BYTES);
    for (let extent = Math.floor(from / EXTENT_BYTES); extent <= last; extent += 1) {
      const start = extent * EXTENT_BYTES;
      const first = Math.floor((Math.max(from, start) - start) / BLOCK_BYTES);
      const end = Math.ceil((Math.min(to, start + EXTENT_BYTES) - start) / BLOCK_BYTES);
      if (visit(this.#stack.pages.get(extent), first, end)) return true;
    }
    return false;
  }

  #stamp(stamp: StoreRangeOperation, from: number, to: number): void {
    this.#someExtent(from, to, (page) => {
      // What shows from below is still to change, so no version can stand for it.
      if (this.#stack.base?.incomplete === true) page.setUnknown();
      else page.setVersion(stamp.version, false);
      page.setUnverified(false);
      return false;
    });
  }

  #unmap(unmap: StoreRangeOperation, from: number, to: number): void {
    const first = Math.ceil(from / BLOCK_BYTES) * BLOCK_BYTES;
    const last = Math.floor(to / BLOCK_BYTES) * BLOCK_BYTES;
    try {
      if (from < first) this.#zeroPart(from, Math.min(first, to));
      if (last < to && last >= first) this.#zeroPart(last, to);
      if (first < last) this.#deallocate(first, last);
    } catch (cause) {
      this.#someExtent(from, to, (page) => {
        page.setUnknown();
        return false;
      });
      throw failureOf('unmapping', cause, from);
    }
    this.#someExtent(from, to, (page, firstBlock, endBlock) => {
      const start = page.extent * EXTENT_BYTES;
      for (let block = firstBlock; block < endBlock; block += 1) {
        const at = start + block * BLOCK_BYTES;
        if (at >= first && at < last) page.deallocate(block);
      }
      this.#editor.advance(page, unmap.version);
      if (this.#stack.base !== null) keepZeroes(page, this.#stack.data);
      return false;
    });
  }

  /** Zeroes in a part of one block, which stays allocated. */
  #zeroPart(from: number, to: number): void {
    const start = Math.floor(from / BLOCK_BYTES) * BLOCK_BYTES;
    const extent = Math.floor(start / EXTENT_BYTES);
    const block = (start - extent * EXTENT_BYTES) / BLOCK_BYTES;
    const isBelow = this.#editor.isBelow(start);
    if (!isBelow && !this.#stack.pages.get(extent).isAllocated(block)) return;
    this.#editor.load(start);
    this.#editor.block.fill(0, from - start, to - start);
    const checksum = zlib.crc32(this.#editor.block);
    if (isBelow) this.#editor.copyUp(start, checksum);
    else {
      try {
        this.#stack.data.write(zeroes.subarray(0, to - from), from);
      } catch (cause) {
        this.#editor.settle(start, checksum);
        throw cause;
      }
    }
    this.#stack.pages.get(extent).allocate(block, checksum);
  }

  #deallocate(from: number, to: number): void {
    if (this.#stack.base === null || (from >= this.#hiddenFrom && to <= this.#hiddenTo)) {
      this.#punch(from, to);
      return;
    }
    for (let at = from; at < to;) {
      const stop = Math.min(to, (Math.floor(at / EXTENT_BYTES) + 1) * EXTENT_BYTES);
      this.#hideWritten(at, stop);
      at = stop;
    }
  }

  /** Within one extent: what older layers have is overwritten, the rest is punched out. */
  #hideWritten(from: number, to: number): void {
    const extent = Math.floor(from / EXTENT_BYTES);
    const start = extent * EXTENT_BYTES;
    const view = this.#stack.base?.view(extent);
    // Loaded before the data change: data without a page would look like a page that was lost.
    const page = this.#stack.pages.get(extent);
    const isHeld = (at: number): boolean =>
      view !== undefined && view.holder((at - start) / BLOCK_BYTES) !== 0;
    for (let at = from; at < to;) {
      const held = isHeld(at);
      let stop = at + BLOCK_BYTES;
      while (stop < to && isHeld(stop) === held) stop += BLOCK_BYTES;
      if (held) {
        this.#overwrite(at, stop);
        for (
          let block = (at - start) / BLOCK_BYTES;
          block < (stop - start) / BLOCK_BYTES;
          block += 1
        )
          page.hide(block);
      } else this.#punch(at, stop);
      at = stop;
    }
  }

  #punch(from: number, to: number): void {
    try {
      if (!this.#stack.data.punchHole(from, to - from))
        this.#stack.data.write(zeroRegion().subarray(0, to - from), from);
    } catch (cause) {
      this.#settle(from, to);
      throw cause;
    }
  }

  #overwrite(from: number, to: number): void {
    try {
      this.#stack.data.write(zeroRegion().subarray(0, to - from), from);
    } catch (cause) {
      this.#settle(from, to);
      throw cause;
    }
  }

  #settle(from: number, to: number): void {
    for (let at = from; at < to; at += BLOCK_BYTES) this.#editor.settle(at, ZERO_BLOCK_CHECKSUM);
  }

  /**
   * Hides whole regions, durably, as many as follow each other and are marked; their data can go
   * then. One sync for all of them.
   */
  #hideAhead(unmap: StoreRangeOperation, from: number, end: number): void {
    const first = Math.ceil(from / REGION_BYTES);
    const last = Math.min(Math.floor(end / REGION_BYTES), first + SLICE_REGIONS);
    let region = first;
    let any = false;
    for (; region < last; region += 1) {
      const start = region * REGION_BYTES;
      if (!this.#anyAllocated(start, start + REGION_BYTES)) continue;
      if (!this.#regions.touch(region)) break;
      this.#hideRegion(unmap, start);
      any = true;
    }
    if (!any) return;
    this.#stack.meta.syncNow();
    this.#hiddenFrom = first * REGION_BYTES;
    this.#hiddenTo = region * REGION_BYTES;
  }

  #hideRegion(unmap: StoreRangeOperation, start: number): void {
    const { base, pages } = this.#stack;
    this.#someExtent(start, start + REGION_BYTES, (page, firstBlock, endBlock) => {
      const view = base?.view(page.extent);
      for (let block = firstBlock; block < endBlock; block += 1)
        if (view !== undefined && view.holder(block) !== 0) page.hide(block);
      // What is hidden reads zero from here on, whether the rest of the operation comes or not.
      this.#editor.advance(page, unmap.version);
      pages.writeBack(page.extent);
      return false;
    });
  }
}
