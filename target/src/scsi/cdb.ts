/** Readers of big-endian fields, for CDBs and parameter lists. SPC-4 4.2.5 */

export function readU16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

export function readU24(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
}

export function readU32(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] ?? 0) << 24) |
      ((bytes[at + 1] ?? 0) << 16) |
      ((bytes[at + 2] ?? 0) << 8) |
      (bytes[at + 3] ?? 0)) >>>
    0
  );
}

/**
 * Exact below 2^53; above it the nearest double, which is beyond the end of any volume all the
 * same.
 */
export function readU64(bytes: Uint8Array, at: number): number {
  return readU32(bytes, at) * 0x1_0000_0000 + readU32(bytes, at + 4);
}

export function writeU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

export function writeU24(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 16;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value;
}

export function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

export function writeU64(bytes: Uint8Array, at: number, value: number): void {
  writeU32(bytes, at, Math.floor(value / 0x1_0000_0000));
  writeU32(bytes, at + 4, value % 0x1_0000_0000);
}

/** ASCII, cut or padded with spaces to the field. SPC-4 4.3.1 */
export function writeAscii(bytes: Uint8Array, at: number, width: number, text: string): void {
  for (let i = 0; i < width; i += 1) {
    const code = i < text.length ? text.charCodeAt(i) : 0x20;
    bytes[at + i] = code >= 0x20 && code < 0x7f ? code : 0x3f;
  }
}

/**
 * SAM-5 4.6.6 to 4.6.9: LUN 0 by peripheral device or flat space addressing, with no lower level.
 */
export function isLunZero(lun: Uint8Array): boolean {
  const first = lun[0];
  if (first !== 0x00 && first !== 0x40) return false;
  for (let i = 1; i < 8; i += 1) {
    if (lun[i] !== 0) return false;
  }
  return true;
}

const NONE: readonly Uint8Array[] = [];

/** The first `lengthBytes` of a list of slices, without copying them. */
export function takeChunks(
  chunks: readonly Uint8Array[],
  offsetBytes: number,
  lengthBytes: number,
): readonly Uint8Array[] {
  if (lengthBytes === 0) return NONE;
  const taken: Uint8Array[] = [];
  let skip = offsetBytes;
  let left = lengthBytes;
  for (const chunk of chunks) {
    if (skip >= chunk.length) {
      skip -= chunk.length;
      continue;
    }
    const part = chunk.subarray(skip, Math.min(chunk.length, skip + left));
    skip = 0;
    taken.push(part);
    left -= part.length;
    if (left === 0) break;
  }
  return taken;
}

/** The first `lengthBytes` in one piece that nobody else changes. */
export function copyOf(chunks: readonly Uint8Array[], lengthBytes: number): Uint8Array {
  const whole = new Uint8Array(lengthBytes);
  let at = 0;
  for (const chunk of chunks) {
    if (at >= lengthBytes) break;
    const part = chunk.length > lengthBytes - at ? chunk.subarray(0, lengthBytes - at) : chunk;
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** A parameter list in one piece, as it is where it is one already. */
export function gather(chunks: readonly Uint8Array[], lengthBytes: number): Uint8Array {
  const only = chunks[0];
  if (only !== undefined && only.length >= lengthBytes) return only.subarray(0, lengthBytes);
  return copyOf(chunks, lengthBytes);
}
