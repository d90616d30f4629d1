import { MAX_VOLUME_BYTES, SECTOR_BYTES } from '../protocol/types.ts';
import type { DiskFile } from './disk.ts';
import { StoreError } from './errors.ts';

/**
 * A copy grows in this order: the files, durable, then the superblock. A crash in between leaves
 * files that are longer than the superblock says, with nothing in the part that is too much.
 *
 * True when there is something to do. Throws WRONG_SIZE or TOO_LARGE.
 */
export function checkGrowth(fromBytes: number, toBytes: number): boolean {
  if (toBytes < fromBytes)
    throw new StoreError(
      'WRONG_SIZE',
      `The copy has ${fromBytes} bytes and cannot shrink to ${toBytes}.`,
    );
  if (toBytes % SECTOR_BYTES !== 0 || toBytes > MAX_VOLUME_BYTES)
    throw new StoreError(
      'TOO_LARGE',
      `A volume has at most 64 TiB in whole sectors of 512 bytes; ${toBytes} bytes were asked for.`,
    );
  return toBytes > fromBytes;
}

export function growFile(file: DiskFile, bytes: number): void {
  if (file.size() < bytes) file.truncate(bytes);
  file.syncNow();
}

/** Whether the file has the length, or had to be cut because a growth was interrupted. */
export function hasLength(file: DiskFile, bytes: number): boolean {
  const found = file.size();
  if (found === bytes) return true;
  if (found < bytes || file.seekData(bytes) !== null) return false;
  file.truncate(bytes);
  return true;
}
