import { crc32 } from '../protocol/checksum.ts';
import { BLOCK_BYTES, EXTENT_BYTES } from '../protocol/types.ts';
import { readU32, writeU32, ZERO_BLOCK_CHECKSUM } from './block-checksums.ts';
import { StoreError } from './errors.ts';
import { BLOCKS_PER_EXTENT } from './extent-page.ts';
import type { ExtentPage } from './extent-page.ts';
import { failureOf } from './failure.ts';
import type { ReadableFile } from './layer-files.ts';
import type { Stack } from './stack.ts';
import type { ReadDone } from './types.ts';

/** A read that has to wait for the disk. */
interface Waiting {
  readonly offsetBytes: number;
  readonly into: Uint8Array;
  readonly checksums: Uint8Array;
  readonly done: ReadDone;
}

/** Which of a read's blocks are compared with their checksums. */
type Check = 'none' | 'all' | 'raced';

/**
 * Reads blocks and compares each with its checksum, or leaves that to whoever asks. What the page
 * cache holds is read at once; while a read waits for the disk, later writes may overtake it, so it
 * is compared in any case, with the checksums of the time when it ends, and what does not fit is
 * read again without letting anything in between.
 */
export class Reader {
  readonly #stack: Stack;
  /** Up to which block what #source said holds. */
  #runEnd = 0;
  /**
   * Where the fast pass of the read stopped because the disk has to be waited for, and up to where.
   */
  #blockedFrom = 0;
  #blockedTo = 0;
  #blockedFile: ReadableFile;
  #pending = 0;
  #drained: (() => void)[] = [];
  #checksumErrors = 0;

  constructor(stack: Stack) {
    this.#stack = stack;
    this.#blockedFile = stack.data;
  }

  get checksumErrors(): number {
    return this.#checksumErrors;
  }

  /** Calls back when no read waits for the disk. */
  drained(done: () => void): void {
    if (this.#pending === 0) done();
    else this.#drained.push(done);
  }

  read(
    offsetBytes: number,
    into: Uint8Array,
    checksums: Uint8Array,
    done: ReadDone,
    check = true,
  ): void {
    if (offsetBytes % BLOCK_BYTES !== 0 || into.length % BLOCK_BYTES !== 0) {
      this.#readUnaligned(offsetBytes, into, checksums, done);
      return;
    }
    let error: StoreError | null;
    try {
      if (!this.#fill(offsetBytes, into, 0)) {
        this.#pending += 1;
        this.#wait({ offsetBytes, into, checksums, done });
        return;
      }
      error = this.#verify(offsetBytes, into, checksums, check ? 'all' : 'none');
    } catch (cause) {
      error = failureOf('reading', cause, offsetBytes);
    }
    done(error);
  }

  /** Whole blocks around the range are read and verified, because checksums are of whole blocks. */
  #readUnaligned(
    offsetBytes: number,
    into: Uint8Array,
    checksums: Uint8Array,
    done: ReadDone,
  ): void {
    const start = Math.floor(offsetBytes / BLOCK_BYTES) * BLOCK_BYTES;
    const end = Math.ceil((offsetBytes + into.length) / BLOCK_BYTES) * BLOCK_BYTES;
    const whole = Buffer.allocUnsafe(end - start);
    const wholeChecksums = Buffer.allocUnsafe(((end - start) / BLOCK_BYTES) * 4);
    this.read(start, whole, wholeChecksums, (error) => {
      if (error === null) {
        into.set(whole.subarray(offsetBytes - start, offsetBytes - start + into.length));
        let position = 0;
        let index = 0;
        while (position < into.length) {
          const inBlock = (offsetBytes + position) % BLOCK_BYTES;
          const bytes = Math.min(BLOCK_BYTES - inBlock, into.length - position);
          const checksum =
            bytes === BLOCK_BYTES
              ? readU32(wholeChecksums, index)
              : crc32(into.subarray(position, position + bytes));
          writeU32(checksums, index, checksum);
          position += bytes;
          index += 4;
        }
      }
      done(error);
    });
  }

  /** False when the disk has to be waited for: see #blockedFrom. */
  #fill(offsetBytes: number, into: Uint8Array, from: number): boolean {
    const lengthBytes = into.length;
    let position = from;
    while (position < lengthBytes) {
      const at = offsetBytes + position;
      const extent = Math.floor(at / EXTENT_BYTES);
      const page = this.#stack.pages.get(extent);
      if (page.unverified) throw unverified(at);
      const block = (at - extent * EXTENT_BYTES) / BLOCK_BYTES;
      const last = Math.min(BLOCKS_PER_EXTENT, block + (lengthBytes - position) / BLOCK_BYTES);
      const file = this.#source(page, block, last);
      const bytes = (this.#runEnd - block) * BLOCK_BYTES;
      if (file !== null) {
        const count = file.readCached(into, position, bytes, at);
        if (count < bytes) {
          this.#blockedFrom = position + count;
          this.#blockedTo = position + bytes;
          this.#blockedFile = file;
          return false;
        }
      } else into.fill(0, position, position + bytes);
      position += bytes;
    }
    return true;
  }

  /**
   * The file that has the block, null where it reads zero; all up to #runEnd come from there.
   */
  #source(page: ExtentPage, block: number, last: number): ReadableFile | null {
    const { base, data } = this.#stack;
    const allocated = page.isAllocated(block);
    if (allocated || base === null) {
      this.#runEnd = page.next(!allocated, block + 1, last);
      return allocated ? data : null;
    }
    const view = base.view(page.extent);
    const holder = page.hides(block) ? 0 : view.holder(block);
    let end = block + 1;
    while (
      end < last &&
      !page.isAllocated(end) &&
      (page.hides(end) ? 0 : view.holder(end)) === holder
    )
      end += 1;
    this.#runEnd = end;
    return holder === 0 ? null : base.file(holder);
  }

  #wait(read: Waiting): void {
    const from = this.#blockedFrom;
    const to = this.#blockedTo;
    this.#blockedFile.readAsync(read.into, from, to - from, read.offsetBytes + from, (cause) => {
      let error: StoreError | null;
      try {
        if (cause !== null) throw cause;
        if (!this.#fill(read.offsetBytes, read.into, to)) {
          this.#wait(read);
          return;
        }
        error = this.#verify(read.offsetBytes, read.into, read.checksums, 'raced');
      } catch (thrown) {
        error = failureOf('reading', thrown, read.offsetBytes);
      }
      this.#pending -= 1;
      read.done(error);
      if (this.#pending > 0) return;
      const drained = this.#drained;
      this.#drained = [];
      for (const done of drained) done();
    });
  }

  /**
   * Fills in the checksums. `raced`: all are compared, and writes and unmaps may have come between
   * the reading and this.
   */
  #verify(
    offsetBytes: number,
    into: Uint8Array,
    checksums: Uint8Array,
    check: Check,
  ): StoreError | null {
    const lengthBytes = into.length;
    for (let position = 0; position < lengthBytes; position += BLOCK_BYTES) {
      const at = offsetBytes + position;
      const extent = Math.floor(at / EXTENT_BYTES);
      const page = this.#stack.pages.get(extent);
      if (page.unverified) throw unverified(at);
      const block = (at - extent * EXTENT_BYTES) / BLOCK_BYTES;
      let checksum = ZERO_BLOCK_CHECKSUM;
      let file: ReadableFile | null = null;
      if (page.isAllocated(block)) {
        checksum = page.checksum(block);
        file = this.#stack.data;
      } else if (this.#stack.base !== null) {
        const view = this.#stack.below(page, block);
        if (view !== null) {
          if (view.isUnverified(block)) throw unverified(at);
          checksum = view.checksum(block);
          file = this.#stack.base.file(view.holder(block));
        }
      }
      if (file !== null && check !== 'none') {
        const bytes = into.subarray(position, position + BLOCK_BYTES);
        if (crc32(bytes) !== checksum) {
          file.read(into, position, BLOCK_BYTES, at);
          if (crc32(bytes) !== checksum) return this.#rot(at);
        }
      } else if (check === 'raced') into.fill(0, position, position + BLOCK_BYTES);
      writeU32(checksums, (position / BLOCK_BYTES) * 4, checksum);
    }
    return null;
  }

  #rot(offsetBytes: number): StoreError {
    this.#checksumErrors += 1;
    return new StoreError(
      'CHECKSUM_MISMATCH',
      `The block at byte ${offsetBytes} does not have the checksum that it was written with. ` +
        'Read it from another replica and write it again; check the disk (smartctl -a) when this ' +
        'repeats.',
      { offsetBytes },
    );
  }
}

function unverified(offsetBytes: number): StoreError {
  const extent = Math.floor(offsetBytes / EXTENT_BYTES);
  return new StoreError(
    'CHECKSUM_MISMATCH',
    `The checksums of extent ${extent} are damaged, so nothing in it can be verified until it ` +
      'was compared with another replica.',
    { offsetBytes },
  );
}
