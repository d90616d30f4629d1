/** Every cap of the replica, in one place. A length from a peer is compared with its cap before anything is allocated. */

/** Largest payload of any frame. Bytes. */
export const MAX_PAYLOAD_BYTES = 16 * 1024 * 1024;
/** Largest single write or read. Bytes. */
export const MAX_IO_BYTES = 8 * 1024 * 1024;
/** Largest checksum table of a frame. Bytes. */
export const MAX_TABLE_BYTES = 64 * 1024;
/** Largest JSON payload of a frame. Bytes. */
export const MAX_JSON_BYTES = 128 * 1024;
