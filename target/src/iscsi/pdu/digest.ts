import { createRequire } from 'node:module';

type Crc32c = (bytes: Uint8Array, previous?: number) => number;

let crc32c: Crc32c | null = null;

/**
 * CRC32C as in RFC 7143 13.1, of several pieces in turn. The native library is loaded when the
 * first digest is wanted.
 */
export const digest = (bytes: Uint8Array, previous = 0): number => {
  crc32c ??= (createRequire(import.meta.url)('@node-rs/crc32') as { crc32c: Crc32c }).crc32c;
  return crc32c(bytes, previous);
};

/** The digest goes out least significant byte first. RFC 7143 appendix A.4 */
export const setDigest = (bytes: Uint8Array, at: number, value: number): void => {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
};

export const getDigest = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)) >>>
  0;
