import { MAX_IO_BYTES, MAX_JSON_BYTES, MAX_PAYLOAD_BYTES, MAX_TABLE_BYTES } from '../limits.ts';
import { crc32Range, segmentTableBytes, takeUint32 } from './checksum.ts';
import { ProtocolError } from './errors.ts';
import { Frame } from './frame.ts';
import { HeaderWords } from './header-words.ts';
import type { FrameKind } from './kinds.ts';
import { BODIES, KINDS } from './kinds.ts';
import * as at from './layout.ts';
import { FRAME_MAGIC, HEADER_BYTES, PROTOCOL_VERSION } from './layout.ts';
import { epoch, seq, session } from './types.ts';

/** Where the bytes come from; runtime/receiver.ts is one. */
export interface FrameSource {
  /** A frame of this many bytes is under way: make room. It has been compared with the caps. */
  reserve(frameBytes: number): void;
  /** True: hand out no further frame. */
  readonly paused: boolean;
}

/**
 * Bytes to frames. It keeps nothing between two calls but the frame object, which it fills again
 * and again. Checks, in this order: magic, version, header checksum, kind, caps, table checksum,
 * and the payload checksum of everything but
 * `write` and `data`, whose handlers compare them where they have the checksums at hand
 * anyway.
 */
export class FrameDecoder {
  readonly #frame = new Frame();
  /** Of the frame in hand. */
  readonly #words = new HeaderWords();
  readonly #handle: (frame: Frame) => void;

  /** `handle` must not keep the frame nor anything in it beyond its return. */
  constructor(handle: (frame: Frame) => void) {
    this.#handle = handle;
  }

  /**
   * Handles the complete frames in buffer[start, end) and returns where the first incomplete one
   * begins. Throws ProtocolError; the stream cannot be decoded beyond it.
   */
  consume(buffer: Buffer, start: number, end: number, source: FrameSource): number {
    let position = start;
    while (position < end && !source.paused) {
      const available = end - position;
      if (available < HEADER_BYTES) {
        checkOpening(buffer, position, available);
        source.reserve(HEADER_BYTES);
        break;
      }
      const frameBytes = this.#header(buffer, position);
      if (available < frameBytes) {
        source.reserve(frameBytes);
        break;
      }
      this.#body(buffer, position, position + frameBytes);
      position += frameBytes;
      this.#handle(this.#frame);
    }
    return position;
  }

  /** Fills the frame from the header and returns the length of the whole frame. */
  #header(buffer: Buffer, start: number): number {
    checkOpening(buffer, start, HEADER_BYTES);
    const words = this.#words;
    words.copyFrom(buffer, start);
    if (words.sum() !== words.take(at.AT_HEADER_CHECKSUM)) {
      throw new ProtocolError('HEADER_CHECKSUM', 'a frame header arrived damaged');
    }
    const code = buffer.readUInt8(start + at.AT_KIND);
    const kind = KINDS[code];
    if (kind === undefined) throw new ProtocolError('UNKNOWN_KIND', `no frame has kind ${code}`);
    // The two bytes behind version and kind.
    const flags = words.take(at.AT_VERSION) >>> 16;
    if (flags !== 0) throw new ProtocolError('MALFORMED_FRAME', `${kind} has unknown flags`);
    const frame = this.#frame;
    frame.kind = kind;
    frame.word0 = words.take(at.AT_VOLUME_ID);
    frame.word1 = words.take(at.AT_VOLUME_ID + 4);
    frame.word2 = words.take(at.AT_VOLUME_ID + 8);
    frame.word3 = words.take(at.AT_VOLUME_ID + 12);
    frame.epoch = epoch(exact(words.takeUint64(at.AT_EPOCH), kind));
    frame.session = session(exact(words.takeUint64(at.AT_SESSION), kind));
    frame.seq = seq(exact(words.takeUint64(at.AT_SEQ), kind));
    frame.offsetBytes = exact(words.takeUint64(at.AT_OFFSET), kind);
    frame.lengthBytes = words.take(at.AT_LENGTH);
    frame.requestId = words.take(at.AT_REQUEST_ID);
    const tableBytes = words.take(at.AT_TABLE_BYTES);
    const payloadBytes = words.take(at.AT_PAYLOAD_BYTES);
    checkLengths(frame, code, tableBytes, payloadBytes);
    return HEADER_BYTES + tableBytes + payloadBytes;
  }

  /**
   * Points table and payload into the buffer and checks what can be checked without knowing the
   * receiver.
   */
  #body(buffer: Buffer, start: number, end: number): void {
    const frame = this.#frame;
    const tableStart = start + HEADER_BYTES;
    const payloadStart = tableStart + this.#words.take(at.AT_TABLE_BYTES);
    frame.table = buffer.subarray(tableStart, payloadStart);
    frame.payload = buffer.subarray(payloadStart, end);
    frame.chunks[0] = frame.payload;
    const sum = payloadStart > tableStart ? crc32Range(buffer, tableStart, payloadStart) : 0;
    if (sum !== this.#words.take(at.AT_TABLE_CHECKSUM)) {
      throw new ProtocolError('TABLE_CHECKSUM', `the checksum table of ${frame.kind} is damaged`);
    }
    const body = BODIES[buffer.readUInt8(start + at.AT_KIND)];
    if (body === 'json' || body === 'bytes') {
      if (crc32Range(buffer, payloadStart, end) !== takeUint32(frame.table, 0)) {
        throw new ProtocolError('PAYLOAD_CHECKSUM', `the payload of ${frame.kind} is damaged`);
      }
    }
  }
}

/**
 * A peer that speaks something else is told so at its fourth byte, not when it has sent a whole
 * header.
 */
const checkOpening = (buffer: Buffer, start: number, available: number): void => {
  if (available < at.AT_VERSION) return;
  if (buffer.readUInt32LE(start + at.AT_MAGIC) !== FRAME_MAGIC) {
    throw new ProtocolError(
      'WRONG_MAGIC',
      'this is no frame of the replication protocol; connect OpenEBS targets only to this port',
    );
  }
  if (available <= at.AT_VERSION) return;
  const version = buffer.readUInt8(start + at.AT_VERSION);
  if (version !== PROTOCOL_VERSION) {
    throw new ProtocolError(
      'WRONG_VERSION',
      `the peer speaks version ${version} of the replication protocol, this side ` +
        `${PROTOCOL_VERSION}; run the same release on both`,
    );
  }
};

const exact = (value: number, kind: FrameKind): number => {
  if (value <= Number.MAX_SAFE_INTEGER) return value;
  throw new ProtocolError('MALFORMED_FRAME', `${kind} has a number above 2^53`);
};

const checkLengths = (
  frame: Frame,
  code: number,
  tableBytes: number,
  payloadBytes: number,
): void => {
  const { kind } = frame;
  switch (BODIES[code]) {
    case 'segments': {
      const { offsetBytes, lengthBytes } = frame;
      if (lengthBytes > MAX_IO_BYTES) throw tooLarge(kind, lengthBytes, MAX_IO_BYTES);
      if (tableBytes > MAX_TABLE_BYTES) throw tooLarge(kind, tableBytes, MAX_TABLE_BYTES);
      if (
        lengthBytes === 0 ||
        payloadBytes !== lengthBytes ||
        tableBytes !== segmentTableBytes(offsetBytes, lengthBytes)
      ) {
        throw new ProtocolError(
          'MALFORMED_FRAME',
          `${kind} at ${offsetBytes} of ${lengthBytes} bytes cannot have ${payloadBytes} bytes ` +
            `of payload and ${tableBytes} of table`,
        );
      }
      return;
    }
    case 'json':
      if (payloadBytes > MAX_JSON_BYTES) throw tooLarge(kind, payloadBytes, MAX_JSON_BYTES);
      if (tableBytes !== 4) throw new ProtocolError('MALFORMED_FRAME', `${kind} needs a checksum`);
      return;
    case 'bytes':
      if (payloadBytes > MAX_PAYLOAD_BYTES) throw tooLarge(kind, payloadBytes, MAX_PAYLOAD_BYTES);
      if (tableBytes !== 4) throw new ProtocolError('MALFORMED_FRAME', `${kind} needs a checksum`);
      return;
    default:
      if (tableBytes !== 0 || payloadBytes !== 0) {
        throw new ProtocolError('MALFORMED_FRAME', `${kind} has no payload`);
      }
  }
};

const tooLarge = (kind: FrameKind, bytes: number, capBytes: number): ProtocolError =>
  new ProtocolError('TOO_LARGE', `${kind} of ${bytes} bytes; at most ${capBytes} are allowed`);
