import type { Slab, SlabPool } from '@openebs/replica/runtime';
import type { Loan } from '../../scsi/task.ts';
import { padded, setUint24 } from './bytes.ts';
import { digest, setDigest } from './digest.ts';
import { BHS_BYTES, DIGEST_BYTES } from './fields.ts';

/** The part of a socket that the outbox writes to. */
export interface ByteSink {
  cork(): void;
  uncork(): void;
  /** The bytes are lent until `taken` is called. */
  write(bytes: Uint8Array, taken: () => void): boolean;
  readonly writableLength: number;
}

/** Up to this much data is copied behind its header; more goes out by reference. Bytes. */
export const COPY_LIMIT_BYTES = 8 * 1024;
/** Room for 30 reads of 4 KiB. Bytes. */
export const SLAB_BYTES = 128 * 1024;
const FIRST_SLAB_BYTES = 8 * 1024;

const NO_DATA: readonly Uint8Array[] = [];
const NOTHING = (): void => undefined;

const ROOM_BYTES = BHS_BYTES + DIGEST_BYTES + COPY_LIMIT_BYTES + DIGEST_BYTES;

/**
 * Encodes the PDUs of one turn of the event loop into one slab and sends them with one write.
 *
 * `begin` gives 48 zeroed bytes to fill in, `finish` adds data, padding and digests. Several
 * Data-In PDUs take their data from one list of slices: `load` sets the list, each `finish` takes
 * the next bytes from it.
 *
 * What the socket was given is held until it calls back; the slab is written from its start again
 * when nobody holds it but the outbox.
 */
export class Outbox {
  headerDigest = false;
  dataDigest = false;
  /** Where `begin` put the header. */
  slab: Buffer;
  pdus = 0;
  bytes = 0;

  readonly #sink: ByteSink;
  readonly #pool: SlabPool;
  #memory: Slab;
  #end = 0;
  /** The start of the slab's part that is not in #segments yet. */
  #unsent = 0;
  #segments: Uint8Array[] = [];
  /** What each segment holds. */
  #releases: (() => void)[] = [];
  #source: readonly Uint8Array[] = NO_DATA;
  #sourceIndex = 0;
  #sourceOffset = 0;
  #loan: Loan | null = null;

  constructor(sink: ByteSink, pool: SlabPool) {
    this.#sink = sink;
    this.#pool = pool;
    this.#memory = pool.take(FIRST_SLAB_BYTES);
    this.slab = this.#memory.buffer;
  }

  get empty(): boolean {
    return this.#end === this.#unsent && this.#segments.length === 0;
  }

  /** Makes room and returns the offset of a zeroed header in `slab`. */
  begin(): number {
    if (this.#end > 0 && !this.#memory.shared && this.#end === this.#unsent) {
      this.#end = 0;
      this.#unsent = 0;
    }
    if (this.slab.length - this.#end < ROOM_BYTES) this.#renew();
    const at = this.#end;
    this.slab.fill(0, at, at + BHS_BYTES);
    this.#end = at + BHS_BYTES;
    return at;
  }

  /**
   * The data of the PDUs that follow. Long slices go out by reference: their memory is held until
   * they are sent, or must not change where there is no loan.
   */
  load(source: readonly Uint8Array[], loan: Loan | null = null): void {
    this.#source = source;
    this.#loan = loan;
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
        this.#push(piece, this.#loan);
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
    const releases = this.#releases;
    const { length } = segments;
    this.#source = NO_DATA;
    this.#loan = null;
    if (length > 1) this.#sink.cork();
    for (let index = 0; index < length; index++) {
      this.#sink.write(segments[index] as Uint8Array, releases[index] as () => void);
    }
    if (length > 1) this.#sink.uncork();
    segments.length = 0;
    releases.length = 0;
    return this.#sink.writableLength;
  }

  /** Nothing more is sent: what has gathered is dropped. */
  close(): void {
    this.#cut();
    for (const release of this.#releases) release();
    this.#segments.length = 0;
    this.#releases.length = 0;
    this.#source = NO_DATA;
    this.#loan = null;
  }

  #cut(): void {
    if (this.#end === this.#unsent) return;
    this.#push(this.slab.subarray(this.#unsent, this.#end), this.#memory);
    this.bytes += this.#end - this.#unsent;
    this.#unsent = this.#end;
  }

  #renew(): void {
    this.#cut();
    this.#memory.release();
    this.#memory = this.#pool.take(SLAB_BYTES);
    this.slab = this.#memory.buffer;
    this.#end = 0;
    this.#unsent = 0;
  }

  #push(segment: Uint8Array, loan: Loan | null): void {
    loan?.hold();
    this.#segments.push(segment);
    this.#releases.push(loan?.release ?? NOTHING);
  }
}
