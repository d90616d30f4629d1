import assert from 'node:assert';
import { crc32Words } from './checksum.ts';
import { AT_HEADER_CHECKSUM, HEADER_BYTES } from './layout.ts';

assert(
  new Uint8Array(Uint32Array.of(1).buffer)[0] === 1,
  'OpenEBS reads words in the order of the processor, which must be little endian (x64, arm64).',
);

const U32 = 0x1_0000_0000;

/**
 * A header as words, one for each four bytes, copied to and from where it stands. To fill and sum
 * one takes 0.11 us instead of the 0.31 us that its bytes take in place, to sum and read one 0.26
 * us instead of 0.39 us. `at` are the places in layout.ts.
 */
export class HeaderWords {
  readonly #words = new Uint32Array(HEADER_BYTES / 4);
  readonly #bytes = new Uint8Array(this.#words.buffer);

  copyFrom(buffer: Buffer, start: number): void {
    buffer.copy(this.#bytes, 0, start, start + HEADER_BYTES);
  }

  copyTo(buffer: Uint8Array, start: number): void {
    buffer.set(this.#bytes, start);
  }

  put(value: number, at: number): void {
    this.#words[at >>> 2] = value;
  }

  take(at: number): number {
    return this.#words[at >>> 2] as number;
  }

  /** An integer below 2^53 as two u32. */
  putUint64(value: number, at: number): void {
    this.#words[at >>> 2] = value;
    this.#words[(at >>> 2) + 1] = value / U32;
  }

  /** May exceed 2^53 where the bytes do: the caller compares with Number.MAX_SAFE_INTEGER. */
  takeUint64(at: number): number {
    return this.take(at) + this.take(at + 4) * U32;
  }

  /** crc32 of what stands before the header's checksum. */
  sum(): number {
    return crc32Words(this.#words, AT_HEADER_CHECKSUM / 4);
  }
}
