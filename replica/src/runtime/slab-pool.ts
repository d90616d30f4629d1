import assert from 'node:assert';
import { pageAligned } from './page-aligned.ts';

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

/** The idle slabs of one size. */
interface SizeClass {
  readonly slabs: Slab[];
  /** The fewest that were idle since the last trim: so many were not needed. */
  spare: number;
  /** When it was asked for last, in requests that asked for another size than the one before. */
  asked: number;
}

/**
 * Slabs that are used again and again. Memory outside of V8's heap costs a page fault for each 4
 * KiB when it is fresh, and a full collection for each few MiB that are let go of; both cost more
 * than what is done with the bytes.
 *
 * What is idle follows the load: each trim gives back half of what nobody has needed since the one
 * before, and the capacity bounds it in any case.
 */
export class SlabPool {
  readonly #classes: SizeClass[] = [];
  readonly #capacityBytes: number;
  #idleBytes = 0;
  #lastIndex = -1;
  #asked = 0;

  constructor(capacityBytes: number) {
    this.#capacityBytes = capacityBytes;
  }

  /** Kept for later use; nobody holds it. Bytes. */
  get idleBytes(): number {
    return this.#idleBytes;
  }

  /** At least this many bytes with whatever was in them, held once by the caller. */
  take(bytes: number): Slab {
    const index = classIndex(bytes);
    const own = (this.#classes[index] ??= { slabs: [], spare: 0, asked: 0 });
    if (index !== this.#lastIndex) {
      this.#lastIndex = index;
      own.asked = ++this.#asked;
    }
    const slab = own.slabs.pop();
    if (own.slabs.length < own.spare) own.spare = own.slabs.length;
    if (slab === undefined) return new Slab(pageAligned(classBytes(index)), this);
    this.#idleBytes -= slab.buffer.length;
    slab.hold();
    return slab;
  }

  /** For slabs: the last holder has released it. */
  give(slab: Slab): void {
    const size = slab.buffer.length;
    const index = classIndex(size);
    if (this.#idleBytes + size > this.#capacityBytes) this.#makeRoom(size, index);
    if (this.#idleBytes + size > this.#capacityBytes) return;
    this.#classes[index]?.slabs.push(slab);
    this.#idleBytes += size;
  }

  /** Called now and then: half of what was not needed since the last time goes back. */
  trim(): void {
    for (let index = 0; index < this.#classes.length; index++) {
      const each = this.#classes[index];
      if (each === undefined) continue;
      const count = Math.ceil(each.spare / 2);
      each.slabs.splice(0, count);
      this.#idleBytes -= count * classBytes(index);
      each.spare = each.slabs.length;
    }
  }

  /** Sizes that are not asked for any more must not keep out those that are. */
  #makeRoom(size: number, index: number): void {
    const own = this.#classes[index];
    for (;;) {
      const oldest = this.#oldest();
      const other = this.#classes[oldest];
      if (own === undefined || other === undefined || other.asked >= own.asked) return;
      while (other.slabs.length > 0) {
        other.slabs.pop();
        this.#idleBytes -= classBytes(oldest);
        if (this.#idleBytes + size <= this.#capacityBytes) return;
      }
    }
  }

  /** The size that has something idle and was asked for least lately; -1: none. */
  #oldest(): number {
    let oldest = -1;
    let asked = Infinity;
    for (let index = 0; index < this.#classes.length; index++) {
      const each = this.#classes[index];
      if (each === undefined || each.slabs.length === 0 || each.asked >= asked) continue;
      asked = each.asked;
      oldest = index;
    }
    return oldest;
  }
}

/**
 * Four sizes for each doubling, so that few sizes serve all and a frame that is a little longer
 * than its payload does not take twice of it. Index 0 is 4 KiB, 1 to 4 are 5 to 8 KiB, 5 is 10 KiB.
 */
const SMALLEST_EXPONENT = 12;

const classIndex = (bytes: number): number => {
  if (bytes <= 2 ** SMALLEST_EXPONENT) return 0;
  const exponent = 31 - Math.clz32(bytes - 1);
  return (exponent - SMALLEST_EXPONENT) * 4 + Math.ceil(bytes / 2 ** (exponent - 2)) - 4;
};

const classBytes = (index: number): number => {
  const exponent = SMALLEST_EXPONENT + Math.ceil(index / 4) - 1;
  return index === 0
    ? 2 ** SMALLEST_EXPONENT
    : 2 ** (exponent - 2) * (index - (exponent - SMALLEST_EXPONENT) * 4 + 4);
};
