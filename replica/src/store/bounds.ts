import { BLOCK_BYTES, EXTENT_BYTES, SECTOR_BYTES } from '../protocol/types.ts';
import { StoreError } from './errors.ts';

/** What may be asked of a volume, whose size grows. Throws, or gives, OUT_OF_RANGE. */
export class Bounds {
  readonly #size: () => number;

  constructor(size: () => number) {
    this.#size = size;
  }

  get #sizeBytes(): number {
    return this.#size();
  }

  get extents(): number {
    return Math.ceil(this.#sizeBytes / EXTENT_BYTES);
  }

  includes(offsetBytes: number, lengthBytes: number): boolean {
    return (
      offsetBytes >= 0 &&
      lengthBytes > 0 &&
      offsetBytes + lengthBytes <= this.#sizeBytes &&
      offsetBytes % SECTOR_BYTES === 0 &&
      lengthBytes % SECTOR_BYTES === 0
    );
  }

  /** A range that begins with a block. */
  checkBlocks(offsetBytes: number, lengthBytes: number): void {
    if (offsetBytes % BLOCK_BYTES !== 0 || !this.includes(offsetBytes, lengthBytes))
      throw this.error(offsetBytes, lengthBytes);
  }

  checkExtents(first: number, count: number): void {
    if (first < 0 || count < 0 || first + count > this.extents)
      throw this.error(first * EXTENT_BYTES, count * EXTENT_BYTES);
  }

  /** Fewer in the last extent. */
  blocksOf(extent: number): number {
    this.checkExtents(extent, 1);
    const bytes = Math.min(EXTENT_BYTES, this.#sizeBytes - extent * EXTENT_BYTES);
    return Math.ceil(bytes / BLOCK_BYTES);
  }

  error(offsetBytes: number, lengthBytes: number): StoreError {
    return new StoreError(
      'OUT_OF_RANGE',
      `Bytes ${offsetBytes} to ${offsetBytes + lengthBytes} are not whole sectors inside the ` +
        `volume of ${this.#sizeBytes} bytes.`,
    );
  }
}
