import { crc32cBytes } from './crc32c.ts';

/**
 * Protocol data units as the test initiator sees them: a header of 48 bytes, additional headers,
 * data. RFC 7143 11.
 */
export interface Pdu {
  readonly header: Buffer;
  readonly additional: Buffer;
  readonly data: Buffer;
}

export const BHS_BYTES = 48;
/** RFC 7143 11.2.1.2: a tag that is not in use. */
export const RESERVED_TAG = 0xffffffff;

/** RFC 7143 11.2.1.2 */
export const Opcode = {
  nopOut: 0x00,
  scsiCommand: 0x01,
  taskManagement: 0x02,
  login: 0x03,
  text: 0x04,
  dataOut: 0x05,
  logout: 0x06,
  snack: 0x10,
  nopIn: 0x20,
  scsiResponse: 0x21,
  taskManagementResponse: 0x22,
  loginResponse: 0x23,
  textResponse: 0x24,
  dataIn: 0x25,
  logoutResponse: 0x26,
  r2t: 0x31,
  asyncMessage: 0x32,
  reject: 0x3f,
} as const;

/** Offsets in the basic header segment that several PDUs share. RFC 7143 11.2 to 11.19. */
export const At = {
  opcode: 0,
  flags: 1,
  response: 2,
  status: 3,
  additionalWords: 4,
  dataLength: 5,
  lun: 8,
  taskTag: 16,
  /** Target transfer tag; in SCSI commands the expected data transfer length. */
  transferTag: 20,
  cmdSn: 24,
  statSn: 24,
  expStatSn: 28,
  expCmdSn: 28,
  maxCmdSn: 32,
  cdb: 32,
  dataSn: 36,
  r2tSn: 36,
  expDataSn: 36,
  bufferOffset: 40,
  desiredLength: 44,
  residual: 44,
} as const;

export interface Digests {
  readonly header: boolean;
  readonly data: boolean;
}
export const NO_DIGESTS: Digests = { header: false, data: false };

/** The target broke the protocol; tests let it surface. */
export class ProtocolViolation extends Error {
  override readonly name = 'ProtocolViolation';
}

export const opcodeOf = (pdu: Pdu): number => pdu.header.readUInt8(At.opcode) & 0x3f;
export const flagsOf = (pdu: Pdu): number => pdu.header.readUInt8(At.flags);
export const taskTagOf = (pdu: Pdu): number => pdu.header.readUInt32BE(At.taskTag);

/** A header with opcode (with the immediate bit where wanted) and flags set, all else zero. */
export function newHeader(opcode: number, flags: number): Buffer {
  const header = Buffer.alloc(BHS_BYTES);
  header.writeUInt8(opcode, At.opcode);
  header.writeUInt8(flags, At.flags);
  return header;
}

const padding = [Buffer.alloc(0), Buffer.alloc(1), Buffer.alloc(2), Buffer.alloc(3)] as const;
const paddingFor = (bytes: number): Buffer => padding[(4 - (bytes % 4)) % 4]!;

/** The pieces of one PDU in wire order. Sets the length fields; does not copy the data. */
export function encodePdu(
  header: Buffer,
  data: Uint8Array,
  digests: Digests,
  additional: Uint8Array = padding[0],
): Uint8Array[] {
  header.writeUInt8(additional.length / 4, At.additionalWords);
  header.writeUIntBE(data.length, At.dataLength, 3);
  const pieces: Uint8Array[] = [header];
  if (additional.length > 0) pieces.push(additional);
  if (digests.header) pieces.push(crc32cBytes(header, additional));
  if (data.length > 0) {
    const pad = paddingFor(data.length);
    pieces.push(data);
    if (pad.length > 0) pieces.push(pad);
    if (digests.data) pieces.push(crc32cBytes(data, pad));
  }
  return pieces;
}

/**
 * Cuts a byte stream into PDUs. Keeps chunks as they come and joins them once, when a PDU is
 * complete.
 */
export class PduReader {
  digests: Digests = NO_DIGESTS;
  /** What we declared; the target must keep to it. */
  maxDataBytes = 8192;
  #chunks: Buffer[] = [];
  #held = 0;
  #needed = BHS_BYTES;

  /**
   * Calls `onPdu` for each complete PDU; it may change `digests` and `maxDataBytes` for what
   * follows.
   */
  feed(chunk: Buffer, onPdu: (pdu: Pdu) => void): void {
    this.#chunks.push(chunk);
    this.#held += chunk.length;
    if (this.#held < this.#needed) return;
    const bytes = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks, this.#held);
    let at = 0;
    for (;;) {
      const total = this.#measure(bytes, at);
      this.#needed = total;
      if (bytes.length - at < total) break;
      const pdu = this.#take(bytes, at);
      if (pdu === null) break;
      at += total;
      onPdu(pdu);
    }
    const rest = bytes.subarray(at);
    this.#chunks = rest.length > 0 ? [rest] : [];
    this.#held = rest.length;
  }

  #measure(bytes: Buffer, at: number): number {
    if (bytes.length - at < BHS_BYTES) return BHS_BYTES;
    const additional = bytes.readUInt8(at + At.additionalWords) * 4;
    const data = bytes.readUIntBE(at + At.dataLength, 3);
    if (data > this.maxDataBytes) {
      throw new ProtocolViolation(`data segment of ${data} bytes, ${this.maxDataBytes} declared`);
    }
    const padded = data + paddingFor(data).length;
    return (
      BHS_BYTES +
      additional +
      (this.digests.header ? 4 : 0) +
      padded +
      (this.digests.data && data > 0 ? 4 : 0)
    );
  }

  #take(bytes: Buffer, start: number): Pdu | null {
    if (bytes.length - start < BHS_BYTES) return null;
    let at = start;
    const header = bytes.subarray(at, (at += BHS_BYTES));
    const additional = bytes.subarray(at, (at += header.readUInt8(At.additionalWords) * 4));
    if (this.digests.header) {
      if (!crc32cBytes(header, additional).equals(bytes.subarray(at, at + 4))) {
        throw new ProtocolViolation('header digest is wrong');
      }
      at += 4;
    }
    const length = header.readUIntBE(At.dataLength, 3);
    const data = bytes.subarray(at, at + length);
    const padded = bytes.subarray(at, at + length + paddingFor(length).length);
    at += padded.length;
    if (this.digests.data && length > 0) {
      if (!crc32cBytes(padded).equals(bytes.subarray(at, at + 4))) {
        throw new ProtocolViolation('data digest is wrong');
      }
    }
    return { header, additional, data };
  }
}
