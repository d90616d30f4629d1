import type { Epoch, FrameFields, Session } from '@openebs/replica/protocol';
import {
  computeSegmentChecksums,
  FrameEncoder,
  frameFields,
  HEADER_BYTES,
  segmentTableBytes,
} from '@openebs/replica/protocol';
import type { Seq } from '@openebs/replica/protocol';
import type { Slab, SlabPool } from '@openebs/replica/runtime';
import type { Piece } from './slab-writer.ts';
import { SlabWriter } from './slab-writer.ts';

/** Where the table and the payload of a write are kept until the write completes. */
export interface KeptPayload {
  slab: Slab | null;
  tableStart: number;
  payloadStart: number;
  payloadEnd: number;
}

type WriteKind = 'write' | 'write-atomic';

/** Data in a slab, verified against the table. */
export interface ForwardedPayload {
  readonly data: Uint8Array;
  readonly table: Uint8Array;
  readonly slab: Slab;
}

/**
 * The frames of one turn, encoded once and sent to every member of the stream: they differ in
 * nothing, since epoch, session and sequence numbers are the same for all.
 */
export class Batch {
  readonly #encoder: FrameEncoder;
  readonly #writer: SlabWriter;
  readonly #fields: FrameFields = frameFields('write');

  constructor(volumeId: string, pool: SlabPool) {
    this.#encoder = new FrameEncoder(volumeId);
    this.#writer = new SlabWriter(pool);
  }

  setSession(epoch: Epoch, session: Session): void {
    this.#encoder.setSession(epoch, session);
  }

  get empty(): boolean {
    return this.#writer.empty;
  }

  /**
   * Copies the payload, sums it, and says in `kept` where both are; the slab is held for the
   * caller.
   */
  write(
    seq: Seq,
    offsetBytes: number,
    chunks: readonly Uint8Array[],
    kept: KeptPayload,
    kind: WriteKind = 'write',
  ): void {
    let lengthBytes = 0;
    for (const chunk of chunks) lengthBytes += chunk.length;
    const tableBytes = segmentTableBytes(offsetBytes, lengthBytes);
    const frameBytes = HEADER_BYTES + tableBytes + lengthBytes;
    const slab = this.#writer.reserve(frameBytes);
    const start = this.#writer.position;
    kept.slab = slab;
    kept.tableStart = start + HEADER_BYTES;
    kept.payloadStart = kept.tableStart + tableBytes;
    kept.payloadEnd = kept.payloadStart + lengthBytes;
    slab.hold();
    const { buffer } = slab;
    let at = kept.payloadStart;
    for (const chunk of chunks) {
      buffer.set(chunk, at);
      at += chunk.length;
    }
    computeSegmentChecksums(offsetBytes, chunks, buffer, kept.tableStart);
    this.#header(kind, seq, offsetBytes, lengthBytes, tableBytes, lengthBytes);
    this.#writer.advance(frameBytes);
  }

  /**
   * A payload that an earlier batch has copied and summed already: sent once more under a new
   * number.
   */
  rewrite(seq: Seq, offsetBytes: number, kept: KeptPayload, kind: WriteKind = 'write'): void {
    const { slab, tableStart, payloadStart, payloadEnd } = kept;
    if (slab === null) throw new RangeError('the payload was not kept');
    const tableBytes = payloadStart - tableStart;
    const lengthBytes = payloadEnd - payloadStart;
    const into = this.#writer.reserve(HEADER_BYTES + tableBytes + lengthBytes);
    slab.buffer.copy(into.buffer, this.#writer.position + HEADER_BYTES, tableStart, payloadEnd);
    this.#header(kind, seq, offsetBytes, lengthBytes, tableBytes, lengthBytes);
    this.#writer.advance(HEADER_BYTES + tableBytes + lengthBytes);
  }

  /** What another member has sent goes on from the memory in which it arrived. */
  forward(seq: Seq, offsetBytes: number, { data, table, slab }: ForwardedPayload): void {
    const lengthBytes = data.length;
    const into = this.#writer.reserve(HEADER_BYTES + table.length);
    into.buffer.set(table, this.#writer.position + HEADER_BYTES);
    this.#header('write', seq, offsetBytes, lengthBytes, table.length, lengthBytes);
    this.#writer.advance(HEADER_BYTES + table.length);
    this.#writer.insert({ slab, bytes: data });
  }

  unmap(seq: Seq, offsetBytes: number, lengthBytes: number): void {
    this.#bare('unmap', seq, offsetBytes, lengthBytes);
  }

  stamp(seq: Seq, offsetBytes: number, lengthBytes: number): void {
    this.#bare('stamp', seq, offsetBytes, lengthBytes);
  }

  pieces(): readonly Piece[] {
    return this.#writer.pieces();
  }

  clear(): void {
    this.#writer.clear();
  }

  #bare(kind: 'unmap' | 'stamp', seq: Seq, offsetBytes: number, lengthBytes: number): void {
    this.#writer.reserve(HEADER_BYTES);
    this.#header(kind, seq, offsetBytes, lengthBytes, 0, 0);
    this.#writer.advance(HEADER_BYTES);
  }

  #header(
    kind: WriteKind | 'unmap' | 'stamp',
    seq: Seq,
    offsetBytes: number,
    lengthBytes: number,
    tableBytes: number,
    payloadBytes: number,
  ): void {
    const fields = this.#fields;
    fields.kind = kind;
    fields.seq = seq;
    fields.offsetBytes = offsetBytes;
    fields.lengthBytes = lengthBytes;
    fields.tableBytes = tableBytes;
    fields.payloadBytes = payloadBytes;
    this.#encoder.header(this.#writer.reserve(0).buffer, this.#writer.position, fields);
  }
}
