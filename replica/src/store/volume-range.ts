import { SECTOR_BYTES } from '../protocol/types.ts';
import { StoreError } from './errors.ts';

/** Whole sectors inside a volume of this size, at least one. */
export function isInRange(offsetBytes: number, lengthBytes: number, sizeBytes: number): boolean {
  return (
    offsetBytes >= 0 &&
    lengthBytes > 0 &&
    offsetBytes + lengthBytes <= sizeBytes &&
    offsetBytes % SECTOR_BYTES === 0 &&
    lengthBytes % SECTOR_BYTES === 0
  );
}

export function outOfRange(
  offsetBytes: number,
  lengthBytes: number,
  sizeBytes: number,
): StoreError {
  return new StoreError(
    'OUT_OF_RANGE',
    `Bytes ${offsetBytes} to ${offsetBytes + lengthBytes} are not whole sectors inside the ` +
      `volume of ${sizeBytes} bytes.`,
  );
}
