import assert from 'node:assert';
import type { Socket } from 'node:net';
import { net } from './builtin.ts';
import type { Connection } from './connection.ts';
import type { Slab } from './slab-pool.ts';
import { SlabPool } from './slab-pool.ts';

/**
 * Receives a stream of frames into one buffer that is used again and again.
 *
 * A socket's 'data' event allocates 64 KiB for each read, which costs more than everything else
 * that is done with a large frame (measured at 64 KiB frames: 46 us against 11 us here; at 4 KiB
 * frames 4.2 us against 1.2 us). Here the kernel copies into a buffer small enough to stay in the
 * processor's cache, and frames are seen whole and contiguous.
 *
 * The price is a rule: what `consume` is shown is borrowed. It is valid until `consume` returns;
 * whoever needs it longer copies it, or holds the slab that it stands in: a slab that somebody
 * holds is not written over, the receiver goes on behind what was shown or in another one.
 */
export class Receiver {
  #slab: Slab;
  #start = 0;
  #end = 0;
  #reserved = 0;
  #paused = false;
  #consuming = false;
  /** resume() was called from inside of consume, after a pause() there. */
  #resumedInside = false;
  #socketPaused = false;
  readonly #consume: (buffer: Buffer, start: number, end: number) => number;
  readonly #pool: SlabPool;
  #socket: Connection | null = null;

  /**
   * `consume(buffer, start, end)` handles the complete frames in buffer[start, end) and returns the
   * offset of the first byte that it did not consume. When a frame needs more than is there, it may
   * call `reserve`.
   */
  constructor(
    consume: (buffer: Buffer, start: number, end: number) => number,
    pool = new SlabPool(OWN_POOL_BYTES),
  ) {
    this.#consume = consume;
    this.#pool = pool;
    this.#slab = pool.take(RECEIVE_BUFFER_BYTES);
  }

  /** Where the bytes stand that consume is shown. Inside of consume: hold it to keep them. */
  get slab(): Slab {
    return this.#slab;
  }

  /**
   * Makes sure that a frame of this many bytes will fit; the caller has compared it with its cap.
   * Bytes.
   */
  reserve(frameBytes: number): void {
    if (frameBytes > this.#reserved) this.#reserved = frameBytes;
  }

  /** Stops after the frame in hand; consume returns as soon as it sees `paused`. */
  pause(): void {
    this.#paused = true;
    this.#socketPaused = true;
    this.#socket?.pause();
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Consumes what is left from before the pause, then reads on. */
  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#consuming) this.#resumedInside = true;
    else this.#run();
  }

  /** Options for net.connect: the socket's reads go here. Call `attach` with the socket. */
  get onread(): { buffer: () => Buffer; callback: (bytes: number) => boolean } {
    return { buffer: () => this.#space(), callback: (bytes) => this.#received(bytes) };
  }

  attach(socket: Connection): void {
    this.#socket = socket;
  }

  /**
   * Takes over a socket that a server has accepted. net.Server has no option for a reused buffer,
   * so the handle moves to a new Socket made with it; where there is no such handle the 'data'
   * events are copied instead. Returns the socket to use from now on.
   */
  adopt(accepted: Socket): Socket;
  adopt(accepted: Connection): Connection;
  adopt(accepted: Connection): Connection {
    const { _handle: handle } = accepted as unknown as { _handle?: object | null };
    if (handle === undefined || handle === null) {
      this.attach(accepted);
      accepted.on('data', (chunk: Buffer) => this.feed(chunk));
      return accepted;
    }
    (accepted as unknown as { _handle: object | null })._handle = null;
    const socket = new net.Socket({
      handle,
      onread: this.onread,
    } as unknown as ConstructorParameters<typeof net.Socket>[0]);
    this.attach(socket);
    socket.resume();
    socket.read(0);
    return socket;
  }

  /** As if these bytes had been read: for tests, and for sockets without a handle. */
  feed(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      const space = this.#space();
      const take = Math.min(space.length, chunk.length - at);
      space.set(chunk.subarray(at, at + take));
      at += take;
      this.#received(take);
    }
  }

  #received(bytes: number): boolean {
    this.#end += bytes;
    if (!this.#paused) this.#run();
    return !this.#paused;
  }

  /** Asked anew after consume. */
  #isResumedInside(): boolean {
    return this.#resumedInside;
  }

  #run(): void {
    do {
      this.#resumedInside = false;
      this.#consuming = true;
      const start = this.#consume(this.#slab.buffer, this.#start, this.#end);
      this.#consuming = false;
      assert(start >= this.#start && start <= this.#end, 'consume returned an offset out of range');
      this.#start = start;
      // Frames that the pause has held back are complete: no further read would bring them up.
    } while (this.#isResumedInside() && !this.paused);
    if (this.#socketPaused && !this.paused) {
      this.#socketPaused = false;
      this.#socket?.resume();
    }
  }

  /**
   * Where the next read goes: behind what is there, after making room. The socket has this place
   * from one read to the next, so that only here may the slab change and its end go back: resume()
   * consumes in between.
   */
  #space(): Buffer {
    const slab = this.#slab;
    const held = this.#end - this.#start;
    if (held === 0) {
      const expected = this.#reserved;
      this.#reserved = 0;
      // Back to the usual size once a large frame has passed: an idle connection holds no more than
      // that.
      const isTooLarge =
        slab.buffer.length > RECEIVE_BUFFER_BYTES && expected <= RECEIVE_BUFFER_BYTES;
      if (!slab.shared && !isTooLarge) {
        this.#start = 0;
        this.#end = 0;
        return slab.buffer;
      }
      // What others hold is not written over, but there may be room behind it.
      const room = slab.buffer.length - this.#end;
      if (isTooLarge || room < Math.max(expected, LEAST_ROOM_BYTES)) {
        this.#move(Math.max(expected, RECEIVE_BUFFER_BYTES));
      }
      return this.#slab.buffer.subarray(this.#end);
    }
    const needed = Math.max(this.#reserved, held + 1);
    const { length } = slab.buffer;
    if (this.#start + needed <= length && this.#end < length) {
      return slab.buffer.subarray(this.#end);
    }
    if (needed > length || slab.shared) {
      this.#move(Math.max(needed, RECEIVE_BUFFER_BYTES));
    } else {
      slab.buffer.copy(slab.buffer, 0, this.#start, this.#end);
      this.#start = 0;
      this.#end = held;
    }
    return this.#slab.buffer.subarray(this.#end);
  }

  /** Goes on at the start of another slab, with what is not consumed yet. */
  #move(bytes: number): void {
    const slab = this.#slab;
    const next = this.#pool.take(bytes);
    slab.buffer.copy(next.buffer, 0, this.#start, this.#end);
    this.#end -= this.#start;
    this.#start = 0;
    this.#slab = next;
    slab.release();
  }
}

/**
 * Small enough for a processor's second-level cache, large enough for 60 frames of 4 KiB. Bytes.
 */
export const RECEIVE_BUFFER_BYTES = 256 * 1024;
/** Less room than this behind what somebody holds is not worth a read. Bytes. */
const LEAST_ROOM_BYTES = 64 * 1024;
/** Idle slabs that a receiver keeps to itself where no pool is given. Bytes. */
const OWN_POOL_BYTES = 4 * 1024 * 1024;
