import assert from 'node:assert';
import { MAX_FREE_LARGE_BYTES, MAX_FREE_SLABS, SLAB_BYTES } from '../limits.ts';
import type { Connection } from '../runtime/index.ts';
import { pageAligned } from '../runtime/index.ts';

/** A buffer of responses. It is free again when nothing in it waits to be filled or sent. */
export class Slab {
  readonly buffer: Buffer;
  /**
   * Writes of the socket that have not called back, regions that are still to be filled, and 1
   * while it is the current one.
   */
  uses = 0;
  /** Made once, so that a write costs no closure. */
  readonly sent: () => void;

  constructor(bytes: number, released: (slab: Slab) => void) {
    this.buffer = pageAligned(bytes);
    this.sent = () => released(this);
  }
}

/**
 * The responses of one connection. Frames are written into slabs in place; all that were made in
 * one turn of the event loop leave together. A slab is used again only when the socket has taken
 * what is in it.
 *
 * A region whose content comes later (a read that has to wait) is detached: what stands before and
 * behind it leaves without it.
 */
export class Outbox {
  readonly #socket: Connection;
  readonly #drained: () => void;
  readonly #freeSlabs: Slab[] = [];
  readonly #freeLarge: Slab[] = [];
  #freeLargeBytes = 0;
  #current: Slab;
  /** current.buffer[#runStart, #position) is ready to leave. */
  #runStart = 0;
  #position = 0;
  /** What is ready to leave from other slabs, in order. */
  #ready: { readonly slab: Slab; readonly start: number; readonly end: number }[] = [];
  #readyBytes = 0;
  #detachedBytes = 0;
  #closed = false;
  /** Where `reserve` has made room. */
  slab: Slab;

  /** `drained` is called whenever the socket has taken something. */
  constructor(socket: Connection, drained: () => void) {
    this.#socket = socket;
    this.#drained = drained;
    this.#current = this.#take(SLAB_BYTES);
    this.#current.uses = 1;
    this.slab = this.#current;
  }

  /** Bytes that the peer has not taken, or that are being read for it. */
  get queuedBytes(): number {
    return (
      this.#socket.writableLength +
      this.#readyBytes +
      this.#detachedBytes +
      (this.#position - this.#runStart)
    );
  }

  /**
   * Room for a frame: slab.buffer[result, result + bytes), to be filled before the next call of
   * flush() or detached.
   */
  reserve(bytes: number): number {
    if (bytes > SLAB_BYTES / 2) {
      this.#endRun();
      this.slab = this.#take(bytes);
      this.#pushReady(this.slab, 0, bytes);
      return 0;
    }
    if (this.#position + bytes > SLAB_BYTES) this.#nextSlab();
    this.slab = this.#current;
    const at = this.#position;
    this.#position += bytes;
    return at;
  }

  /** Takes back the reservation just made. */
  unreserve(bytes: number): void {
    const { slab } = this;
    if (slab === this.#current) {
      this.#position -= bytes;
      assert(this.#position >= this.#runStart, 'only the last reservation can be taken back');
      return;
    }
    this.#popReady(slab, bytes);
    this.#release(slab);
  }

  /** The reservation just made is filled later; end with `attach` or `abandon`. */
  detach(bytes: number): void {
    const { slab } = this;
    this.#detachedBytes += bytes;
    if (slab !== this.#current) {
      // The use counted for being ready goes over to the region.
      this.#popReady(slab, bytes);
      return;
    }
    this.#position -= bytes;
    this.#endRun();
    this.#position += bytes;
    this.#runStart = this.#position;
    slab.uses++;
  }

  /** A detached region is filled: it leaves with the next flush. */
  attach(slab: Slab, start: number, bytes: number): void {
    this.#detachedBytes -= bytes;
    this.#endRun();
    this.#pushReady(slab, start, bytes);
    // pushReady counted one use, which the region had already.
    slab.uses--;
  }

  /** A detached region is not sent after all. */
  abandon(slab: Slab, bytes: number): void {
    this.#detachedBytes -= bytes;
    this.#release(slab);
  }

  /** A frame made elsewhere. */
  append(frame: Buffer): void {
    const at = this.reserve(frame.length);
    this.slab.buffer.set(frame, at);
  }

  /** Hands everything that is ready to the socket, in one write where it is in one slab. */
  flush(): void {
    if (this.#ready.length === 0) {
      if (this.#position === this.#runStart) return;
      this.#write(this.#current, this.#runStart, this.#position);
      this.#current.uses++;
      this.#runStart = this.#position;
      if (this.#position > SLAB_BYTES / 2) this.#nextSlab();
      return;
    }
    this.#endRun();
    const ready = this.#ready;
    this.#ready = [];
    this.#readyBytes = 0;
    this.#socket.cork();
    for (const { slab, start, end } of ready) this.#write(slab, start, end);
    this.#socket.uncork();
  }

  /** Nothing is sent any more. */
  close(): void {
    this.#closed = true;
  }

  #write(slab: Slab, start: number, end: number): void {
    if (this.#closed) {
      process.nextTick(slab.sent);
      return;
    }
    this.#socket.write(slab.buffer.subarray(start, end), slab.sent);
  }

  #pushReady(slab: Slab, start: number, bytes: number): void {
    this.#ready.push({ slab, start, end: start + bytes });
    this.#readyBytes += bytes;
    slab.uses++;
  }

  #popReady(slab: Slab, bytes: number): void {
    const last = this.#ready.pop();
    assert(last?.slab === slab, 'only the last reservation can be taken back');
    this.#readyBytes -= bytes;
  }

  #endRun(): void {
    if (this.#position === this.#runStart) return;
    this.#pushReady(this.#current, this.#runStart, this.#position - this.#runStart);
    this.#runStart = this.#position;
  }

  #nextSlab(): void {
    this.#endRun();
    const full = this.#current;
    this.#current = this.#take(SLAB_BYTES);
    this.#current.uses = 1;
    this.#runStart = 0;
    this.#position = 0;
    this.#release(full);
  }

  #take(bytes: number): Slab {
    if (bytes <= SLAB_BYTES) {
      const free = this.#freeSlabs.pop();
      if (free !== undefined) return free;
      return new Slab(SLAB_BYTES, (slab) => this.#sent(slab));
    }
    // The one used last: it is in the processor's cache.
    const index = this.#freeLarge.findLastIndex((slab) => slab.buffer.length >= bytes);
    if (index >= 0) {
      const [free] = this.#freeLarge.splice(index, 1) as [Slab];
      this.#freeLargeBytes -= free.buffer.length;
      return free;
    }
    const rounded = Math.ceil(bytes / SLAB_BYTES) * SLAB_BYTES;
    return new Slab(rounded, (slab) => this.#sent(slab));
  }

  #sent(slab: Slab): void {
    this.#release(slab);
    this.#drained();
  }

  #release(slab: Slab): void {
    slab.uses--;
    assert(slab.uses >= 0, 'a slab was released twice');
    if (slab.uses > 0) {
      // Only the current slab's own use is left: it is empty, begin at its start again.
      if (slab === this.#current && slab.uses === 1 && this.#position === this.#runStart) {
        this.#position = 0;
        this.#runStart = 0;
      }
      return;
    }
    const { length } = slab.buffer;
    if (length === SLAB_BYTES) {
      if (this.#freeSlabs.length < MAX_FREE_SLABS) this.#freeSlabs.push(slab);
    } else if (this.#freeLargeBytes + length <= MAX_FREE_LARGE_BYTES) {
      this.#freeLarge.push(slab);
      this.#freeLargeBytes += length;
    }
  }
}
