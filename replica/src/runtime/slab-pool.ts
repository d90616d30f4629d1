import assert from 'node:assert';

/**
 * Memory that several may hold: who made or was given it, sockets that write it, operations that
 * still need what is in it. It goes back to its pool when the last has released it, and is written
 * over only then.
 */
export class Slab {
  readonly buffer: Buffer;
  #holders = 1;
  /** Bound once: it is the callback of every socket write of this slab. */
  readonly release: () => void;

  constructor(buffer: Buffer, pool: SlabPool) {
    this.buffer = buffer;
    this.release = () => {
      assert(this.#holders > 0, 'a slab is released once by each holder');
      if (--this.#holders === 0) pool.give(this);
    };
  }

  hold(): void {
    this.#holders++;
  }

  /** Somebody besides the caller, who holds it, does too. */
  get shared(): boolean {
    return this.#holders > 1;
  }
}

/**
 * Slabs that are used again and again. Memory outside of V8's heap costs a page fault for each 4
 * KiB when it is fresh, and a full collection for each few MiB that are let go of; both cost more
 * than what is done with the bytes.
 */
export class SlabPool {
  /** By size, powers of two; the class that was asked for last stands last. */
  readonly #idle = new Map<number, Slab[]>();
  readonly #capacityBytes: number;
  #idleBytes = 0;
  #lastSize = 0;
  #used = false;

  constructor(capacityBytes: number) {
    this.#capacityBytes = capacityBytes;
  }

  /** Kept for later use; nobody holds it. Bytes. */
  get idleBytes(): number {
    return this.#idleBytes;
  }

  /** At least this many bytes with whatever was in them, held once by the caller. */
  take(bytes: number): Slab {
    const size = sizeClass(bytes);
    this.#used = true;
    if (size !== this.#lastSize) this.#touch(size);
    const slab = this.#idle.get(size)?.pop();
    if (slab === undefined) return new Slab(Buffer.allocUnsafeSlow(size), this);
    this.#idleBytes -= size;
    slab.hold();
    return slab;
  }

  /** For slabs: the last holder has released it. */
  give(slab: Slab): void {
    const size = slab.buffer.length;
    if (this.#idleBytes + size > this.#capacityBytes) this.#makeRoom(size);
    if (this.#idleBytes + size > this.#capacityBytes) return;
    this.#idle.get(size)?.push(slab);
    this.#idleBytes += size;
  }

  /** Called now and then: what was not needed since the last time goes back to the system. */
  trim(): void {
    if (!this.#used) {
      for (const slabs of this.#idle.values()) slabs.length = 0;
      this.#idleBytes = 0;
    }
    this.#used = false;
  }

  #touch(size: number): void {
    this.#lastSize = size;
    const slabs = this.#idle.get(size) ?? [];
    this.#idle.delete(size);
    this.#idle.set(size, slabs);
  }

  /** Sizes that are not asked for any more must not keep out those that are. */
  #makeRoom(size: number): void {
    for (const [other, slabs] of this.#idle) {
      if (other === size) return;
      while (slabs.length > 0) {
        slabs.pop();
        this.#idleBytes -= other;
        if (this.#idleBytes + size <= this.#capacityBytes) return;
      }
    }
  }
}

const SMALLEST_BYTES = 4096;

/** Powers of two, so that few sizes serve all. */
const sizeClass = (bytes: number): number => {
  let size = SMALLEST_BYTES;
  while (size < bytes) size *= 2;
  return size;
};
