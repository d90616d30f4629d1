/** A bitmap has one bit for each block, LSB first; what is behind its end is not set. */
export const hasBit = (bitmap: Uint8Array, block: number): boolean =>
  ((bitmap[block >>> 3] ?? 0) & (1 << (block & 7))) !== 0;
