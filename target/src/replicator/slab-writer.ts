import type { Slab, SlabPool } from '@openebs/replica/runtime';

/** Frames of a turn stand one behind the other in a slab that fits the processor's cache. Bytes. */
export const SLAB_BYTES = 256 * 1024;

/** A contiguous part of a slab that goes into one socket write. */
export interface Piece {
  readonly slab: Slab;
  readonly bytes: Uint8Array;
}

/**
 * Appends outgoing frames and cuts what was appended since the last time into pieces. A slab is
 * used again when the last socket has written it and the last operation that might have to send it
 * once more has completed.
 */
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
    this.#slab = this.#pool.take(Math.max(bytes, SLAB_BYTES));
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

  /** What stands elsewhere follows what was appended so far. */
  insert(piece: Piece): void {
    if (this.#slab !== null) this.#cut(this.#slab);
    piece.slab.hold();
    this.#pieces.push(piece);
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
    this.#pieces.push({ slab, bytes: slab.buffer.subarray(this.#start, this.#position) });
    this.#start = this.#position;
  }
}

/** Less room than this is not worth keeping a slab for. Bytes. */
const MIN_ROOM_BYTES = 8 * 1024;
