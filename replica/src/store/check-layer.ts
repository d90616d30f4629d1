import { zlib } from '../runtime/builtin.ts';
import { BLOCK_BYTES, EXTENT_BYTES } from '../protocol/types.ts';
import { isZero } from './block-checksums.ts';
import type { DiskFile } from './disk.ts';
import { BLOCKS_PER_EXTENT, ExtentPage, PAGE_BYTES } from './extent-page.ts';

/** What is wrong, or worth to be known, and where. */
export interface Finding {
  readonly severity: 'problem' | 'note';
  /** The file. */
  readonly place: string;
  readonly message: string;
  /** Of the volume, where the finding is about a block or an extent. */
  readonly offsetBytes: number | null;
}

export type Report = (finding: Finding) => void;

export interface LayerCounts {
  allocatedBlocks: number;
  verifiedBlocks: number;
  badBlocks: number;
  /** Extents whose page cannot be believed, so that nothing in them can be verified. */
  damagedExtents: number;
  /** Extents that are compared at the next start anyway, since the last stop was not orderly. */
  markedExtents: number;
}

export interface LayerCheckOptions {
  readonly dataName: string;
  readonly metaName: string;
  readonly data: DiskFile;
  readonly meta: DiskFile;
  readonly storeTag: number;
  readonly sizeBytes: number;
  /** The extent's page may be older than its data, as the activity log says. */
  readonly isMarked: (extent: number) => boolean;
  /** Data that no page knows may be there: a merge copies data before its pages. */
  readonly mayHoldStrays: boolean;
  readonly report: Report;
}

const PIECE_BLOCKS = 64;

/** Verifies one layer against its pages; reads everything and changes nothing. */
export class LayerCheck {
  readonly counts: LayerCounts = {
    allocatedBlocks: 0,
    verifiedBlocks: 0,
    badBlocks: 0,
    damagedExtents: 0,
    markedExtents: 0,
  };
  readonly #options: LayerCheckOptions;
  readonly #page = new ExtentPage();
  readonly #piece = Buffer.alloc(PIECE_BLOCKS * BLOCK_BYTES);

  constructor(options: LayerCheckOptions) {
    this.#options = options;
  }

  run(): LayerCounts {
    const extents = Math.ceil(this.#options.sizeBytes / EXTENT_BYTES);
    for (let extent = this.#next(0); extent < extents; extent = this.#next(extent + 1)) {
      this.#checkExtent(extent);
    }
    return this.counts;
  }

  /** The first extent from this one on that has a page or data. */
  #next(extent: number): number {
    const { data, meta } = this.#options;
    const page = meta.seekData(extent * PAGE_BYTES);
    const block = data.seekData(extent * EXTENT_BYTES);
    return Math.min(
      page === null ? Infinity : Math.floor(page / PAGE_BYTES),
      block === null ? Infinity : Math.floor(block / EXTENT_BYTES),
    );
  }

  #checkExtent(extent: number): void {
    const { meta, metaName, storeTag, isMarked } = this.#options;
    const bytes = `bytes ${extent * EXTENT_BYTES} to ${(extent + 1) * EXTENT_BYTES}`;
    const refuse = (message: string): void => {
      this.counts.damagedExtents += 1;
      this.#problem(metaName, message, extent * EXTENT_BYTES);
    };
    try {
      meta.read(this.#page.bytes, 0, PAGE_BYTES, extent * PAGE_BYTES);
    } catch (error) {
      refuse(`the page of extent ${extent} (${bytes}) cannot be read: ${wordsOf(error)}`);
      return;
    }
    const state = this.#page.accept(extent, storeTag);
    if (isMarked(extent)) {
      this.counts.markedExtents += 1;
      return;
    }
    switch (state) {
      case 'damaged':
        refuse(`the page of extent ${extent} (${bytes}) is damaged: its blocks cannot be verified`);
        return;
      case 'too-new':
        refuse(`the page of extent ${extent} (${bytes}) is of a later version of OpenEBS`);
        return;
      case 'empty':
        this.#checkStrays(extent, 0, this.#blocksOf(extent));
        if (this.#hasData(extent) && !this.#options.mayHoldStrays)
          refuse(`the page of extent ${extent} (${bytes}) is lost: there is data and no page`);
        return;
      case 'valid':
        if (this.#page.unverified) {
          refuse(`extent ${extent} (${bytes}) had lost its page and waits to be compared`);
          return;
        }
        this.#checkBlocks(extent);
    }
  }

  /** Zeroes as well: see keepZeroes(). */
  #hasData(extent: number): boolean {
    const used = this.#options.data.seekData(extent * EXTENT_BYTES);
    return used !== null && used < (extent + 1) * EXTENT_BYTES;
  }

  #blocksOf(extent: number): number {
    const bytes = Math.min(EXTENT_BYTES, this.#options.sizeBytes - extent * EXTENT_BYTES);
    return Math.ceil(bytes / BLOCK_BYTES);
  }

  #checkBlocks(extent: number): void {
    const page = this.#page;
    const blocks = this.#blocksOf(extent);
    let block = 0;
    while (block < blocks) {
      const from = page.next(true, block, blocks);
      this.#checkStrays(extent, block, from);
      const end = page.next(false, from, Math.min(blocks, from + PIECE_BLOCKS));
      if (end > from) this.#checkRun(extent, from, end);
      block = end;
    }
    if (page.next(true, blocks, BLOCKS_PER_EXTENT) < BLOCKS_PER_EXTENT) {
      const { metaName } = this.#options;
      this.#problem(metaName, `extent ${extent} has blocks behind the end of the volume`, null);
    }
  }

  #checkRun(extent: number, from: number, end: number): void {
    const { data, dataName } = this.#options;
    const start = (extent * BLOCKS_PER_EXTENT + from) * BLOCK_BYTES;
    this.counts.allocatedBlocks += end - from;
    const whole = this.#read(data, start, (end - from) * BLOCK_BYTES) === null;
    for (let block = from; block < end; block += 1) {
      const at = (block - from) * BLOCK_BYTES;
      const why = whole ? null : this.#readOne(data, start + at, at);
      const bytes = this.#piece.subarray(at, at + BLOCK_BYTES);
      if (why === null && zlib.crc32(bytes) === this.#page.checksum(block)) {
        this.counts.verifiedBlocks += 1;
        continue;
      }
      this.counts.badBlocks += 1;
      this.#problem(dataName, why ?? this.#wrongChecksum(data, start + at), start + at);
    }
  }

  #wrongChecksum(data: DiskFile, offsetBytes: number): string {
    const next = data.seekData(offsetBytes);
    const isHole = next === null || next >= offsetBytes + BLOCK_BYTES;
    return isHole
      ? `the block at byte ${offsetBytes} is a hole, but the bitmap has it`
      : `the block at byte ${offsetBytes} does not have its checksum`;
  }

  /** Data where nothing is allocated. */
  #checkStrays(extent: number, from: number, end: number): void {
    const { data, dataName, mayHoldStrays } = this.#options;
    const start = extent * EXTENT_BYTES;
    let position: number | null = start + from * BLOCK_BYTES;
    while (position < start + end * BLOCK_BYTES) {
      position = data.seekData(position);
      if (position === null || position >= start + end * BLOCK_BYTES) break;
      const at = Math.floor(position / BLOCK_BYTES) * BLOCK_BYTES;
      const why = this.#readOne(data, at, 0);
      if (why !== null || !isZero(this.#piece.subarray(0, BLOCK_BYTES))) {
        const message = why ?? `the block at byte ${at} has data, but the bitmap does not have it`;
        if (mayHoldStrays) this.#note(dataName, `${message} (a merge was under way)`, at);
        else {
          this.counts.badBlocks += 1;
          this.#problem(dataName, message, at);
        }
      }
      position = at + BLOCK_BYTES;
    }
  }

  #readOne(data: DiskFile, offsetBytes: number, into: number): string | null {
    return this.#read(data, offsetBytes, BLOCK_BYTES, into);
  }

  /** Null, or why it cannot be read. */
  #read(data: DiskFile, offsetBytes: number, lengthBytes: number, into = 0): string | null {
    try {
      data.read(this.#piece, into, lengthBytes, offsetBytes);
      return null;
    } catch (error) {
      return `the block at byte ${offsetBytes} cannot be read: ${wordsOf(error)}`;
    }
  }

  #problem(place: string, message: string, offsetBytes: number | null): void {
    this.#options.report({ severity: 'problem', place, message, offsetBytes });
  }

  #note(place: string, message: string, offsetBytes: number | null): void {
    this.#options.report({ severity: 'note', place, message, offsetBytes });
  }
}

export const wordsOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);
