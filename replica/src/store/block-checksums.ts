import { crc32 } from '../protocol/checksum.ts';
import { BLOCK_BYTES, EXTENT_BYTES, SECTOR_BYTES } from '../protocol/types.ts';
import type { DiskFile } from './disk.ts';
import type { ExtentPage } from './extent-page.ts';

const zeroes = new Uint8Array(BLOCK_BYTES);
/** crc32 of n x 512 zero bytes at index n. */
const ZERO_CHECKSUMS = Array.from({ length: BLOCK_BYTES / SECTOR_BYTES + 1 }, (_, sectors) =>
  crc32(zeroes.subarray(0, sectors * SECTOR_BYTES)),
);

/** What a block that is not allocated has for a checksum when it is read. */
export const ZERO_BLOCK_CHECKSUM = ZERO_CHECKSUMS[BLOCK_BYTES / SECTOR_BYTES] ?? 0;

export function readU32(bytes: Uint8Array, offset: number): number {
  return (
    ((bytes[offset] ?? 0) |
      ((bytes[offset + 1] ?? 0) << 8) |
      ((bytes[offset + 2] ?? 0) << 16) |
      ((bytes[offset + 3] ?? 0) << 24)) >>>
    0
  );
}

export function writeU32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value;
  bytes[offset + 1] = value >>> 8;
  bytes[offset + 2] = value >>> 16;
  bytes[offset + 3] = value >>> 24;
}

export function isZero(block: Uint8Array): boolean {
  return Buffer.compare(block, zeroes) === 0;
}

const SCRATCH_BLOCKS = 16;

type RecomputedFile = Pick<DiskFile, 'read' | 'seekData' | 'seekHole'>;

/**
 * Makes the page's bitmap and checksums those of what the data file holds now. What is a hole is
 * not allocated. The version becomes unknown, because nothing says whether the content is right.
 */
export function recomputePage(page: ExtentPage, data: RecomputedFile, dataBytes: number): void {
  const start = page.extent * EXTENT_BYTES;
  const end = Math.min(start + EXTENT_BYTES, dataBytes);
  const scratch = Buffer.allocUnsafe(SCRATCH_BLOCKS * BLOCK_BYTES);
  let position = data.seekData(start) ?? end;
  while (position < end) {
    const hole = Math.min(data.seekHole(position) ?? end, end);
    let from = Math.floor(position / BLOCK_BYTES) * BLOCK_BYTES;
    while (from < hole) {
      const lengthBytes = Math.min(scratch.length, end - from);
      data.read(scratch, 0, lengthBytes, from);
      for (let at = 0; at < lengthBytes && from + at < hole; at += BLOCK_BYTES) {
        const checksum = crc32(scratch.subarray(at, at + BLOCK_BYTES));
        page.allocate((from + at - start) / BLOCK_BYTES, checksum);
      }
      from += lengthBytes;
    }
    position = data.seekData(hole) ?? end;
  }
  page.setUnknown();
}
