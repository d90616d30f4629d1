import { padded, setUint24 } from './bytes.ts';
import { digest, setDigest } from './digest.ts';
import { BHS_BYTES, DIGEST_BYTES } from './fields.ts';

/** The part of a socket that the outbox writes to. */
export interface ByteSink {
  cork(): void;
  uncork(): void;
  write(bytes: Uint8Array): boolean;
  readonly writableLength: number;
}

/** Up to this much data is copied behind its header; more goes out by reference. Bytes. */
export const COPY_LIMIT_BYTES = 8 * 1024;
/** Room for 30 reads of 4 KiB. Bytes. */
export const SLAB_BYTES = 128 * 1024;
const FIRST_SLAB_BYTES = 8 * 1024;

const ROOM_BYTES = BHS_BYTES + DIGEST_BYTES + COPY_LIMIT_BYTES + DIGEST_BYTES;

/**
 * Encodes the PDUs of one turn of the event loop into one slab and sends them with one write.
 *
 * `begin` gives 48 zeroed bytes to fill in, `finish` adds data, padding and digests. Several
 * Data-In PDUs take their data from one list of slices: `load` sets the list, each `finish` takes
 * the next bytes from it.
 */
export class Outbox {
  headerDigest = false;
  dataDigest = false;
  /** Where `begin` put the header. */
  slab: Buffer;
  pdus = 0;
  bytes = 0;

  readonly #sink: ByteSink;
  #end = 0;
  /** The start of the slab's part that is not in #segments yet. */
  #unsent = 0;
  #segments: Uint8Array[] = [];
  #source: readonly Uint8Array[] = [];
  #sourceIndex = 0;
  #sourceOffset = 0;

  constructor(sink: ByteSink) {
    this.#sink = sink;
    this.slab = Buffer.allocUnsafeSlow(FIRST_SLAB_BYTES);
  }

  get empty(): boolean {
    return this.#end === this.#unsent && this.#segments.length === 0;
  }

  /** Makes room and returns the offset of a zeroed header in `slab`. */
  begin(): number {
    if (this.slab.length - this.#end < ROOM_BYTES) this.#renew();
    const at = this.#end;
    this.slab.fill(0, at, at + BHS_BYTES);
    this.#end = at + BHS_BYTES;
    return at;
  }

  /**
   * The data of the PDUs that follow; the slices must not change until they are sent when they are
   * long.
   */
  load(source: readonly Uint8Array[]): void {
    this.#source = source;
    this.#sourceIndex = 0;
    this.#sourceOffset = 0;
  }

  /** Completes the PDU begun at `at` with the next `dataBytes` of the loaded slices. */
  finish(at: number, dataBytes: number): void {
    this.pdus++;
    setUint24(this.slab, at + 5, dataBytes);
    if (this.headerDigest) {
      setDigest(this.slab, this.#end, digest(this.slab.subarray(at, at + BHS_BYTES)));
      this.#end += DIGEST_BYTES;
    }
    if (dataBytes === 0) return;
    let sum = 0;
    let left = dataBytes;
    const copying = dataBytes <= COPY_LIMIT_BYTES;
    while (left > 0) {
      const slice = this.#source[this.#sourceIndex] as Uint8Array;
      const take = Math.min(slice.length - this.#sourceOffset, left);
      const piece =
        this.#sourceOffset === 0 && take === slice.length
          ? slice
          : slice.subarray(this.#sourceOffset, this.#sourceOffset + take);
      if (copying) {
        this.slab.set(piece, this.#end);
        this.#end += take;
      } else if (take > 0) {
        this.#cut();
        this.#segments.push(piece);
        this.bytes += take;
      }
      if (this.dataDigest) sum = digest(piece, sum);
      left -= take;
      this.#sourceOffset += take;
      if (this.#sourceOffset === slice.length) {
        this.#sourceIndex++;
        this.#sourceOffset = 0;
      }
    }
    const padBytes = padded(dataBytes) - dataBytes;
    const padAt = this.#end;
    for (let pad = 0; pad < padBytes; pad++) this.slab[this.#end++] = 0;
    if (this.dataDigest) {
      if (padBytes !== 0) sum = digest(this.slab.subarray(padAt, this.#end), sum);
      setDigest(this.slab, this.#end, sum);
      this.#end += DIGEST_BYTES;
    }
  }

  /** Sends what has gathered; returns how much the socket still holds. Bytes. */
  flush(): number {
    if (this.empty) return this.#sink.writableLength;
    this.#cut();
    const segments = this.#segments;
    this.#source = [];
    if (segments.length === 1) {
      this.#sink.write(segments[0] as Uint8Array);
    } else {
      this.#sink.cork();
      for (const segment of segments) this.#sink.write(segment);
      this.#sink.uncork();
    }
    this.#segments = [];
    const backlog = this.#sink.writableLength;
    // The kernel has taken everything, so the slab may be written over; else its written part
    // belongs to the socket.
    if (backlog === 0) {
      this.#end = 0;
      this.#unsent = 0;
    }
    return backlog;
  }

  #cut(): void {
    if (this.#end === this.#unsent) return;
    this.#segments.push(this.slab.subarray(this.#unsent, this.#end));
    this.bytes += this.#end - this.#unsent;
    this.#unsent = this.#end;
  }

  #renew(): void {
    this.#cut();
    this.slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
    this.#end = 0;
    this.#unsent = 0;
  }
}
