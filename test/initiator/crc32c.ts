/**
 * CRC32C (RFC 7143 13.1, the Castagnoli polynomial, reflected), by a table: slow and simple on
 * purpose, so that the digests of the target are checked by code that it does not share.
 */
const POLYNOMIAL = 0x82f63b78;

const table = new Uint32Array(256);
for (let byte = 0; byte < 256; byte++) {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ POLYNOMIAL : value >>> 1;
  table[byte] = value >>> 0;
}

/** The digest of the parts one after the other, as the four bytes that follow them on the wire. */
export function crc32cBytes(...parts: readonly Uint8Array[]): Buffer {
  let value = 0xffffffff;
  for (const part of parts) {
    for (const byte of part) value = table[(value ^ byte) & 0xff]! ^ (value >>> 8);
  }
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE((value ^ 0xffffffff) >>> 0);
  return bytes;
}
