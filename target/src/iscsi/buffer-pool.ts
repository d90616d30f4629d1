/**
 * Buffers for Data-Out that comes in more than one PDU. Fresh memory costs a page fault for each 4
 * KiB, which at writes of 1 MiB is more than all else; buffers that were lent to the device server
 * come back when `execute` returns and are used again.
 */
export class BufferPool {
  /** By size; sizes are powers of two. */
  readonly #free = new Map<number, Buffer[]>();
  readonly #capacityBytes: number;
  #freeBytes = 0;
  #used = false;

  constructor(capacityBytes: number) {
    this.#capacityBytes = capacityBytes;
  }

  get freeBytes(): number {
    return this.#freeBytes;
  }

  /** At least this many bytes, with whatever was in them. */
  take(bytes: number): Buffer {
    this.#used = true;
    const size = sizeClass(bytes);
    const buffer = this.#free.get(size)?.pop();
    if (buffer === undefined) return Buffer.allocUnsafeSlow(size);
    this.#freeBytes -= size;
    return buffer;
  }

  /** Nobody looks at this buffer of `take` any more. */
  give(buffer: Buffer): void {
    const size = buffer.length;
    if (this.#freeBytes + size > this.#capacityBytes) return;
    this.#freeBytes += size;
    const free = this.#free.get(size);
    if (free === undefined) this.#free.set(size, [buffer]);
    else free.push(buffer);
  }

  /** Called now and then: what was not needed since the last time goes back to the system. */
  trim(): void {
    if (!this.#used) {
      this.#free.clear();
      this.#freeBytes = 0;
    }
    this.#used = false;
  }
}

const SMALLEST_BYTES = 4096;

const sizeClass = (bytes: number): number => {
  let size = SMALLEST_BYTES;
  while (size < bytes) size *= 2;
  return size;
};
