import assert from 'node:assert';

/**
 * Memory for outgoing frames. Frames of a turn stand one behind the other in a slab that fits the
 * processor's cache; it is used again when the last socket has written it and the last operation
 * that might have to send it once more has completed.
 */
export const SLAB_BYTES = 256 * 1024;
/** Kept for later use when nobody holds them. Bytes. */
const POOLED_BYTES = 8 * 1024 * 1024;

export class Slab {
  readonly buffer: Buffer;
  #holders = 1;
  readonly #pool: SlabPool;
  /** Bound once: the callback of every socket write of this slab. */
  readonly release: () => void;

  constructor(buffer: Buffer, pool: SlabPool) {
    this.buffer = buffer;
    this.#pool = pool;
    this.release = () => {
      assert(this.#holders > 0, 'a slab is released once by each holder');
      if (--this.#holders === 0) this.#pool.give(this);
    };
  }

  hold(): void {
    this.#holders++;
  }
}

export class SlabPool {
  /** By size, powers of two from SLAB_BYTES. */
  readonly #idle = new Map<number, Slab[]>();
  #idleBytes = 0;

  /** A slab of at least this size, held once by the caller. */
  take(bytes: number): Slab {
    let size = SLAB_BYTES;
    while (size < bytes) size *= 2;
    const slab = this.#idle.get(size)?.pop();
    if (slab === undefined) return new Slab(Buffer.allocUnsafeSlow(size), this);
    this.#idleBytes -= size;
    slab.hold();
    return slab;
  }

  give(slab: Slab): void {
    const size = slab.buffer.length;
    if (this.#idleBytes + size > POOLED_BYTES) return;
    this.#idleBytes += size;
    const idle = this.#idle.get(size);
    if (idle === undefined) this.#idle.set(size, [slab]);
    else idle.push(slab);
  }
}

/** A contiguous part of a slab that goes into one socket write. */
export interface Piece {
  readonly slab: Slab;
  readonly start: number;
  readonly end: number;
}

/** Appends frames and cuts what was appended since the last time into pieces. */
export class SlabWriter {
  readonly #pool: SlabPool;
  #slab: Slab | null = null;
  #start = 0;
  #position = 0;
  readonly #pieces: Piece[] = [];

  constructor(pool: SlabPool) {
    this.#pool = pool;
  }

  get empty(): boolean {
    return this.#pieces.length === 0 && this.#position === this.#start;
  }

  /** The slab with room for a frame of this many bytes at `position`. */
  reserve(bytes: number): Slab {
    const slab = this.#slab;
    if (slab !== null && this.#position + bytes <= slab.buffer.length) return slab;
    if (slab !== null) {
      this.#cut(slab);
      slab.release();
    }
    this.#slab = this.#pool.take(bytes);
    this.#start = 0;
    this.#position = 0;
    return this.#slab;
  }

  get position(): number {
    return this.#position;
  }

  /** The frame at `position` is complete. */
  advance(bytes: number): void {
    this.#position += bytes;
  }

  /** Everything appended since the last clear(). The pieces are held until clear(). */
  pieces(): readonly Piece[] {
    if (this.#slab !== null) this.#cut(this.#slab);
    return this.#pieces;
  }

  clear(): void {
    if (this.#slab !== null) this.#cut(this.#slab);
    for (const { slab } of this.#pieces) slab.release();
    this.#pieces.length = 0;
    // An idle volume gives its slab back; and what was sent is never written over while others may
    // still read it.
    if (this.#slab !== null && this.#position > this.#slab.buffer.length - MIN_ROOM_BYTES) {
      this.#slab.release();
      this.#slab = null;
      this.#start = 0;
      this.#position = 0;
    }
  }

  #cut(slab: Slab): void {
    if (this.#position === this.#start) return;
    slab.hold();
    this.#pieces.push({ slab, start: this.#start, end: this.#position });
    this.#start = this.#position;
  }
}

/** Less room than this is not worth keeping a slab for. Bytes. */
const MIN_ROOM_BYTES = 8 * 1024;
