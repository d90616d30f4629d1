import assert from 'node:assert';
import { crc32Range, putUint32 } from './checksum.ts';
import { VolumeKey } from './frame.ts';
import { HeaderWords } from './header-words.ts';
import type { FrameKind } from './kinds.ts';
import { KIND_CODES } from './kinds.ts';
import * as at from './layout.ts';
import { FRAME_MAGIC, HEADER_BYTES, PROTOCOL_VERSION } from './layout.ts';
import type { Epoch, Session } from './types.ts';

/**
 * What differs from frame to frame. On the hot path the caller keeps one such object and changes
 * it.
 */
export interface FrameFields {
  kind: FrameKind;
  seq: number;
  offsetBytes: number;
  lengthBytes: number;
  requestId: number;
  tableBytes: number;
  payloadBytes: number;
}

/** Fields of a frame without table and payload, to be changed and used again. */
export const frameFields = (kind: FrameKind): FrameFields => ({
  kind,
  seq: 0,
  offsetBytes: 0,
  lengthBytes: 0,
  requestId: 0,
  tableBytes: 0,
  payloadBytes: 0,
});

/**
 * Frames of one session to bytes. Writes into buffers of the caller and allocates nothing:
 *
 * 1. put the table at into[at + HEADER_BYTES, ...) (computeSegmentChecksums does)
 * 2. put the payload behind the table, or send it from a buffer of its own right after it
 * 3. `header(into, at, fields)`, which sums the table that it finds there
 */
export class FrameEncoder {
  readonly volume: VolumeKey;
  /** The header of the frame before: what is the same in all frames stays. */
  readonly #words = new HeaderWords();

  constructor(volumeId: string) {
    this.volume = new VolumeKey(volumeId);
    const { word0, word1, word2, word3 } = this.volume;
    this.#words.put(FRAME_MAGIC, at.AT_MAGIC);
    this.#words.put(word0, at.AT_VOLUME_ID);
    this.#words.put(word1, at.AT_VOLUME_ID + 4);
    this.#words.put(word2, at.AT_VOLUME_ID + 8);
    this.#words.put(word3, at.AT_VOLUME_ID + 12);
  }

  /** Of all frames from now on. Before the promise both are 0. */
  setSession(epoch: Epoch, session: Session): void {
    this.#words.putUint64(epoch, at.AT_EPOCH);
    this.#words.putUint64(session, at.AT_SESSION);
  }

  /**
   * Writes the header at into[at, at + HEADER_BYTES); the table behind it must be in place. Returns
   * HEADER_BYTES + tableBytes.
   */
  header(into: Buffer, start: number, fields: FrameFields): number {
    const { tableBytes } = fields;
    const words = this.#words;
    const tableStart = start + HEADER_BYTES;
    const tableEnd = tableStart + tableBytes;
    assert(tableEnd <= into.length, 'the table does not fit');
    words.put(PROTOCOL_VERSION | (KIND_CODES[fields.kind] << 8), at.AT_VERSION);
    words.putUint64(fields.seq, at.AT_SEQ);
    words.putUint64(fields.offsetBytes, at.AT_OFFSET);
    words.put(fields.lengthBytes, at.AT_LENGTH);
    words.put(fields.requestId, at.AT_REQUEST_ID);
    words.put(tableBytes, at.AT_TABLE_BYTES);
    words.put(fields.payloadBytes, at.AT_PAYLOAD_BYTES);
    const tableChecksum = tableBytes > 0 ? crc32Range(into, tableStart, tableEnd) : 0;
    words.put(tableChecksum, at.AT_TABLE_CHECKSUM);
    words.put(words.sum(), at.AT_HEADER_CHECKSUM);
    words.copyTo(into, start);
    return HEADER_BYTES + tableBytes;
  }

  /**
   * A whole frame of a kind with a `json` or `bytes` body, or with nothing. Allocates: not for the
   * hot path.
   */
  frame(fields: FrameFields, payload: Uint8Array | null = null): Buffer {
    const tableBytes = payload === null ? 0 : 4;
    const payloadBytes = payload === null ? 0 : payload.length;
    const buffer = Buffer.allocUnsafe(HEADER_BYTES + tableBytes + payloadBytes);
    if (payload !== null) {
      putUint32(buffer, crc32Range(payload, 0, payload.length), HEADER_BYTES);
      buffer.set(payload, HEADER_BYTES + tableBytes);
    }
    this.header(buffer, 0, { ...fields, tableBytes, payloadBytes });
    return buffer;
  }

  /**
   * A whole frame of a kind with a `segments` body. Copies the payload: not for the hot path.
   */
  segments(fields: FrameFields, table: Uint8Array, chunks: readonly Uint8Array[]): Buffer {
    const { lengthBytes } = fields;
    const buffer = Buffer.allocUnsafe(HEADER_BYTES + table.length + lengthBytes);
    buffer.set(table, HEADER_BYTES);
    let position = HEADER_BYTES + table.length;
    for (const chunk of chunks) {
      buffer.set(chunk, position);
      position += chunk.length;
    }
    assert(position === buffer.length, 'the payload is as long as the frame says');
    this.header(buffer, 0, { ...fields, tableBytes: table.length, payloadBytes: lengthBytes });
    return buffer;
  }
}
