/**
 * The frame of the replication protocol. Everything is little endian; a u64 holds an exact integer
 * below 2^53.
 *
 *     header (HEADER_BYTES) | table (tableBytes) | payload (payloadBytes)
 *
 * Version 1: first version.
 */
export const PROTOCOL_VERSION = 1;
/** "OBR1" in the order of the bytes. */
export const FRAME_MAGIC = 0x3152424f;
export const HEADER_BYTES = 80;

export const AT_MAGIC = 0;
export const AT_VERSION = 4;
export const AT_KIND = 5;
/** No flag is defined; a receiver refuses those that it does not know. */
export const AT_FLAGS = 6;
export const AT_VOLUME_ID = 8;
export const AT_EPOCH = 24;
export const AT_SESSION = 32;
export const AT_SEQ = 40;
export const AT_OFFSET = 48;
export const AT_LENGTH = 56;
export const AT_REQUEST_ID = 60;
export const AT_TABLE_BYTES = 64;
export const AT_PAYLOAD_BYTES = 68;
/** crc32 of the table, 0 where there is none. */
export const AT_TABLE_CHECKSUM = 72;
/** crc32 of all bytes of the header before this field. */
export const AT_HEADER_CHECKSUM = 76;

/**
 * The same as a table: name, first byte, length. A test asserts that it adds up to HEADER_BYTES.
 */
export const HEADER_FIELDS: readonly {
  readonly name: string;
  readonly at: number;
  readonly bytes: number;
}[] = [
  { name: 'magic', at: AT_MAGIC, bytes: 4 },
  { name: 'version', at: AT_VERSION, bytes: 1 },
  { name: 'kind', at: AT_KIND, bytes: 1 },
  { name: 'flags', at: AT_FLAGS, bytes: 2 },
  { name: 'volumeId', at: AT_VOLUME_ID, bytes: 16 },
  { name: 'epoch', at: AT_EPOCH, bytes: 8 },
  { name: 'session', at: AT_SESSION, bytes: 8 },
  { name: 'seq', at: AT_SEQ, bytes: 8 },
  { name: 'offset', at: AT_OFFSET, bytes: 8 },
  { name: 'length', at: AT_LENGTH, bytes: 4 },
  { name: 'requestId', at: AT_REQUEST_ID, bytes: 4 },
  { name: 'tableBytes', at: AT_TABLE_BYTES, bytes: 4 },
  { name: 'payloadBytes', at: AT_PAYLOAD_BYTES, bytes: 4 },
  { name: 'tableChecksum', at: AT_TABLE_CHECKSUM, bytes: 4 },
  { name: 'headerChecksum', at: AT_HEADER_CHECKSUM, bytes: 4 },
];
