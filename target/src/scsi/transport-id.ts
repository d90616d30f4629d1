/** iSCSI TransportIDs. SPC-4 7.6.4.6 */
import { readU16, writeU16 } from './cdb.ts';

const PROTOCOL_ISCSI = 0x05;
/** FORMAT CODE 01b: the initiator port, name and ISID; 00b: the initiator device. */
const FORMAT_PORT = 0x40;
/** An iSCSI name has at most 223 bytes. RFC 7143 4.2.7.1 */
const MAX_NAME_BYTES = 223;
/** SPC-4 7.6.4.6: ADDITIONAL LENGTH is at least 20. */
const MIN_ADDITIONAL_BYTES = 20;

export interface TransportId {
  readonly initiatorName: string;
  /** Null: every port of that initiator. */
  readonly isid: string | null;
}

export function encodeTransportId(initiatorName: string, isid: string): Uint8Array {
  const text = new TextEncoder().encode(`${initiatorName},i,0x${isid}`);
  const additional = Math.max(MIN_ADDITIONAL_BYTES, Math.ceil((text.length + 1) / 4) * 4);
  const bytes = new Uint8Array(4 + additional);
  bytes[0] = FORMAT_PORT | PROTOCOL_ISCSI;
  writeU16(bytes, 2, additional);
  bytes.set(text, 4);
  return bytes;
}

/** Null when it is not an iSCSI TransportID; `lengthBytes` is what it takes in the list. */
export function decodeTransportId(
  bytes: Uint8Array,
): { readonly id: TransportId; readonly lengthBytes: number } | null {
  const first = bytes[0] ?? 0;
  const format = first & 0xc0;
  if ((first & 0x0f) !== PROTOCOL_ISCSI || (format !== 0 && format !== FORMAT_PORT)) return null;
  const additional = readU16(bytes, 2);
  const lengthBytes = 4 + additional;
  if (additional < MIN_ADDITIONAL_BYTES || additional % 4 !== 0 || lengthBytes > bytes.length) {
    return null;
  }
  const content = bytes.subarray(4, lengthBytes);
  const end = content.indexOf(0);
  if (end < 0) return null;
  const text = new TextDecoder().decode(content.subarray(0, end));
  if (format === 0) {
    return isName(text) ? { id: { initiatorName: text, isid: null }, lengthBytes } : null;
  }
  const match = /^(.+),i,0x([0-9a-f]{12})$/iu.exec(text);
  const name = match?.[1];
  const isid = match?.[2];
  if (name === undefined || isid === undefined || !isName(name)) return null;
  return { id: { initiatorName: name, isid: isid.toLowerCase() }, lengthBytes };
}

function isName(text: string): boolean {
  return text.length > 0 && text.length <= MAX_NAME_BYTES && !text.includes(',');
}
