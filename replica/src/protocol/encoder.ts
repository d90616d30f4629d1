import assert from 'node:assert';
import { crc32Range, putUint32 } from './checksum.ts';
import { VolumeKey } from './frame.ts';
import type { FrameKind } from './kinds.ts';
import { KIND_CODES } from './kinds.ts';
import * as at from './layout.ts';
import { FRAME_MAGIC, HEADER_BYTES, PROTOCOL_VERSION, putUint64 } from './layout.ts';
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
  #epochLow = 0;
  #epochHigh = 0;
  #sessionLow = 0;
  #sessionHigh = 0;

  constructor(volumeId: string) {
    this.volume = new VolumeKey(volumeId);
  }

  /** Of all frames from now on. Before the promise both are 0. */
  setSession(epoch: Epoch, session: Session): void {
    this.#epochLow = epoch >>> 0;
    this.#epochHigh = Math.floor(epoch / 0x1_0000_0000);
    this.#sessionLow = session >>> 0;
    this.#sessionHigh = Math.floor(session / 0x1_0000_0000);
  }

  /**
   * Writes the header at into[at, at + HEADER_BYTES); the table behind it must be in place. Returns
   * HEADER_BYTES + tableBytes.
   */
  header(into: Buffer, start: number, fields: FrameFields): number {
    const { volume } = this;
    const { tableBytes } = fields;
    into.writeUInt32LE(FRAME_MAGIC, start + at.AT_MAGIC);
    into[start + at.AT_VERSION] = PROTOCOL_VERSION;
    into[start + at.AT_KIND] = KIND_CODES[fields.kind];
    into[start + at.AT_FLAGS] = 0;
    into[start + at.AT_FLAGS + 1] = 0;
    into.writeUInt32LE(volume.word0, start + at.AT_VOLUME_ID);
    into.writeUInt32LE(volume.word1, start + at.AT_VOLUME_ID + 4);
    into.writeUInt32LE(volume.word2, start + at.AT_VOLUME_ID + 8);
    into.writeUInt32LE(volume.word3, start + at.AT_VOLUME_ID + 12);
    into.writeUInt32LE(this.#epochLow, start + at.AT_EPOCH);
    into.writeUInt32LE(this.#epochHigh, start + at.AT_EPOCH + 4);
    into.writeUInt32LE(this.#sessionLow, start + at.AT_SESSION);
    into.writeUInt32LE(this.#sessionHigh, start + at.AT_SESSION + 4);
    putUint64(into, fields.seq, start + at.AT_SEQ);
    putUint64(into, fields.offsetBytes, start + at.AT_OFFSET);
    into.writeUInt32LE(fields.lengthBytes, start + at.AT_LENGTH);
    into.writeUInt32LE(fields.requestId, start + at.AT_REQUEST_ID);
    into.writeUInt32LE(tableBytes, start + at.AT_TABLE_BYTES);
    into.writeUInt32LE(fields.payloadBytes, start + at.AT_PAYLOAD_BYTES);
    const tableStart = start + HEADER_BYTES;
    const tableEnd = tableStart + tableBytes;
    assert(tableEnd <= into.length, 'the table does not fit');
    into.writeUInt32LE(
      tableBytes > 0 ? crc32Range(into, tableStart, tableEnd) : 0,
      start + at.AT_TABLE_CHECKSUM,
    );
    into.writeUInt32LE(
      crc32Range(into, start, start + at.AT_HEADER_CHECKSUM),
      start + at.AT_HEADER_CHECKSUM,
    );
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
