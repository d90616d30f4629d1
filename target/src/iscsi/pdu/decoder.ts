import { getUint24, getUint32, padded } from './bytes.ts';
import { digest, getDigest } from './digest.ts';
import { BHS_BYTES, DIGEST_BYTES, IMMEDIATE_BIT, OPCODE_MASK } from './fields.ts';

/**
 * One PDU where it lies in the receive buffer. The decoder has one view and points it at each PDU
 * in turn: what it shows is borrowed and valid until the sink returns.
 */
export class PduView {
  buffer: Uint8Array = new Uint8Array(BHS_BYTES);
  /** Offset of the basic header segment. */
  at = 0;
  ahsBytes = 0;
  /** Offset and length of the data segment, without padding. */
  dataAt = 0;
  dataBytes = 0;
  /** False when a data digest is in use and does not fit the data. */
  dataIntact = true;

  get opcode(): number {
    return (this.buffer[this.at] as number) & OPCODE_MASK;
  }

  get immediate(): boolean {
    return ((this.buffer[this.at] as number) & IMMEDIATE_BIT) !== 0;
  }

  get flags(): number {
    return this.buffer[this.at + 1] as number;
  }

  byte(offset: number): number {
    return this.buffer[this.at + offset] as number;
  }

  uint16(offset: number): number {
    return ((this.buffer[this.at + offset] as number) << 8) | this.byte(offset + 1);
  }

  uint32(offset: number): number {
    return getUint32(this.buffer, this.at + offset);
  }

  /** A copy of a header field (or of several that follow each other). */
  copy(offset: number, bytes: number): Uint8Array {
    const copied = new Uint8Array(bytes);
    const from = this.at + offset;
    for (let index = 0; index < bytes; index++) copied[index] = this.buffer[from + index] as number;
    return copied;
  }

  /** The additional header segments. Borrowed. */
  get ahs(): Uint8Array {
    const from = this.at + BHS_BYTES;
    return this.buffer.subarray(from, from + this.ahsBytes);
  }

  /** The data segment. Borrowed. */
  get data(): Uint8Array {
    return this.buffer.subarray(this.dataAt, this.dataAt + this.dataBytes);
  }

  /** A view that owns its bytes: for a PDU that has to wait for those before it. */
  retain(): PduView {
    const kept = new PduView();
    const headerBytes = BHS_BYTES + this.ahsBytes;
    kept.buffer = new Uint8Array(headerBytes + this.dataBytes);
    kept.buffer.set(this.buffer.subarray(this.at, this.at + headerBytes));
    kept.buffer.set(this.data, headerBytes);
    kept.ahsBytes = this.ahsBytes;
    kept.dataAt = headerBytes;
    kept.dataBytes = this.dataBytes;
    kept.dataIntact = this.dataIntact;
    return kept;
  }
}

/** What makes the rest of the stream unreadable. */
export type DecodeFault = 'header-digest' | 'data-segment-too-long' | 'ahs-not-allowed';

export interface PduSink {
  /** False stops the decoder after this PDU: the connection pauses or is closing. */
  pdu(pdu: PduView): boolean;
  fault(fault: DecodeFault): void;
  /** The PDU in hand is complete only with this many bytes. */
  reserve(bytes: number): void;
}

/** Cuts a stream into PDUs, in place: no payload is copied or joined here. */
export class PduDecoder {
  headerDigest = false;
  dataDigest = false;
  maxDataSegmentBytes: number;
  /** Additional header segments belong to SCSI commands; before login there are none. */
  ahsAllowed = false;

  readonly #sink: PduSink;
  readonly #view = new PduView();
  /** The header of the PDU in hand has passed its digest already. */
  #headerIntact = false;

  constructor(sink: PduSink, maxDataSegmentBytes: number) {
    this.#sink = sink;
    this.maxDataSegmentBytes = maxDataSegmentBytes;
  }

  /**
   * Decodes what lies complete in buffer[start, end); returns the offset of the first byte not
   * consumed.
   */
  consume(buffer: Uint8Array, start: number, end: number): number {
    let at = start;
    const view = this.#view;
    for (;;) {
      if (end - at < BHS_BYTES) {
        if (end > at) this.#sink.reserve(BHS_BYTES);
        return at;
      }
      const ahsBytes = (buffer[at + 4] as number) * 4;
      const dataBytes = getUint24(buffer, at + 5);
      const headerBytes = BHS_BYTES + ahsBytes + (this.headerDigest ? DIGEST_BYTES : 0);
      if (this.headerDigest && !this.#headerIntact) {
        // A damaged length must not be believed: the header is checked as soon as it is there. RFC
        // 7143 7.8
        if (end - at < headerBytes) {
          this.#sink.reserve(headerBytes);
          return at;
        }
        const digestAt = at + BHS_BYTES + ahsBytes;
        if (digest(buffer.subarray(at, digestAt)) !== getDigest(buffer, digestAt)) {
          this.#sink.fault('header-digest');
          return end;
        }
        this.#headerIntact = true;
      }
      if (dataBytes > this.maxDataSegmentBytes) {
        this.#sink.fault('data-segment-too-long');
        return end;
      }
      if (ahsBytes !== 0 && !this.ahsAllowed) {
        this.#sink.fault('ahs-not-allowed');
        return end;
      }
      const paddedBytes = padded(dataBytes);
      const hasDataDigest = this.dataDigest && dataBytes !== 0;
      const totalBytes = headerBytes + paddedBytes + (hasDataDigest ? DIGEST_BYTES : 0);
      if (end - at < totalBytes) {
        this.#sink.reserve(totalBytes);
        return at;
      }
      view.buffer = buffer;
      view.at = at;
      view.ahsBytes = ahsBytes;
      view.dataAt = at + headerBytes;
      view.dataBytes = dataBytes;
      view.dataIntact =
        !hasDataDigest ||
        digest(buffer.subarray(view.dataAt, view.dataAt + paddedBytes)) ===
          getDigest(buffer, view.dataAt + paddedBytes);
      this.#headerIntact = false;
      at += totalBytes;
      if (!this.#sink.pdu(view)) return at;
    }
  }
}
