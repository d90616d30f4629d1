/**
 * Big-endian fields in place. Node's Buffer methods check type and range at each call; these are
 * inlined and the callers have compared the length once.
 */
export const getUint16 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] as number) << 8) | (bytes[at + 1] as number);

export const getUint24 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);

export const getUint32 = (bytes: Uint8Array, at: number): number =>
  (((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)) >>>
  0;

export const setUint16 = (bytes: Uint8Array, at: number, value: number): void => {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
};

export const setUint24 = (bytes: Uint8Array, at: number, value: number): void => {
  bytes[at] = value >>> 16;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value;
};

export const setUint32 = (bytes: Uint8Array, at: number, value: number): void => {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
};

/** Segments are padded to four bytes. RFC 7143 11.1 */
export const padded = (bytes: number): number => (bytes + 3) & ~3;

/** Serial number arithmetic, 32 bits: is a before b? RFC 1982, RFC 7143 4.2.2.1 */
export const serialBefore = (a: number, b: number): boolean => ((a - b) | 0) < 0;

export const serialNext = (a: number): number => (a + 1) >>> 0;
