import { BLOCK_BYTES } from './types.ts';

/** What a scrub of one extent has found. Bitmaps: one bit for each block, LSB first. */
export interface ScrubAnswer {
  /** Blocks of the volume that cannot be believed. */
  readonly bad: Uint8Array;
  /** Blocks that a frozen layer itself holds, by the layer's id; only layers that have any. */
  readonly layers: ReadonlyMap<number, Uint8Array>;
}

export const NOTHING_BAD: ScrubAnswer = { bad: new Uint8Array(0), layers: new Map() };

const ID_BYTES = 8;

/**
 * The volume's bitmap, then for each frozen layer with bad blocks its id (u64) and its bitmap. A
 * target that does not ask for layers is not told of them.
 */
export const encodeScrubAnswer = ({ bad, layers }: ScrubAnswer): Uint8Array => {
  const bytes = Buffer.alloc(bad.length + layers.size * (ID_BYTES + bad.length));
  bytes.set(bad);
  let at = bad.length;
  for (const [id, bitmap] of layers) {
    bytes.writeBigUInt64LE(BigInt(id), at);
    bytes.set(bitmap, at + ID_BYTES);
    at += ID_BYTES + bad.length;
  }
  return bytes;
};

/** Throws a RangeError where the length is not that of an answer. */
export const decodeScrubAnswer = (bytes: Uint8Array, lengthBytes: number): ScrubAnswer => {
  const bitmapBytes = Math.ceil(lengthBytes / BLOCK_BYTES / 8);
  const entryBytes = ID_BYTES + bitmapBytes;
  if (bytes.length < bitmapBytes || (bytes.length - bitmapBytes) % entryBytes !== 0) {
    throw new RangeError(`the answer to a scrub of ${lengthBytes} bytes has ${bytes.length} bytes`);
  }
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const layers = new Map<number, Uint8Array>();
  for (let at = bitmapBytes; at < bytes.length; at += entryBytes) {
    layers.set(Number(buffer.readBigUInt64LE(at)), bytes.subarray(at + ID_BYTES, at + entryBytes));
  }
  return { bad: bytes.subarray(0, bitmapBytes), layers };
};

/** Each block once, though a layer's may be seen in the volume as well. */
export const badBlocksOf = ({ bad, layers }: ScrubAnswer): number => {
  let blocks = bitsIn(bad);
  for (const bitmap of layers.values())
    blocks += bitsIn(bitmap.map((byte, at) => byte & ~(bad[at] ?? 0)));
  return blocks;
};

const bitsIn = (bitmap: Uint8Array): number => {
  let bits = 0;
  for (const byte of bitmap) for (let rest = byte; rest !== 0; rest &= rest - 1) bits++;
  return bits;
};
