/** Block sizes as the initiator sees them. */

/** Logical block: what LBAs count. */
export const BLOCK_BYTES = 512;
/**
 * log2 of the logical blocks in a physical block: 4 KiB, what the replicas checksum and allocate.
 * SBC-3 5.16.2
 */
export const PHYSICAL_BLOCK_EXPONENT = 3;
export const PHYSICAL_BLOCK_BLOCKS = 1 << PHYSICAL_BLOCK_EXPONENT;
export const PHYSICAL_BLOCK_BYTES = BLOCK_BYTES << PHYSICAL_BLOCK_EXPONENT;
