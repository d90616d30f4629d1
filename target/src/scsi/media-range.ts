/**
 * LBA and length fields of the commands that address the medium, and the checks that they share.
 */
import { SCSI_LIMITS } from '../limits.ts';
import { readU16, readU24, readU32, readU64 } from './cdb.ts';
import type { Command } from './command.ts';
import { BLOCK_BYTES } from './geometry.ts';
import { Asc, SenseKey } from './sense.ts';

/** First byte of the TRANSFER LENGTH field, for the field pointer. */
export function lengthFieldAt(opcode: number): number {
  switch (opcode >>> 5) {
    case 0:
      return 4;
    case 1:
    case 2:
      return 7;
    case 5:
      return 6;
    default:
      return 10;
  }
}

/** The LOGICAL BLOCK ADDRESS of a 6, 10, 12 or 16 byte CDB of the common form. SBC-3 5.8 to 5.11 */
export function lbaOf(cdb: Uint8Array): number {
  const opcode = cdb[0] ?? 0;
  switch (opcode >>> 5) {
    case 0:
      return readU24(cdb, 1) & 0x1f_ffff;
    case 4:
      return readU64(cdb, 2);
    default:
      return readU32(cdb, 2);
  }
}

/** The TRANSFER LENGTH of such a CDB in blocks. */
export function blocksOf(cdb: Uint8Array): number {
  const opcode = cdb[0] ?? 0;
  switch (opcode >>> 5) {
    case 0: {
      // SBC-3 5.7: in READ (6) and WRITE (6) zero means 256.
      const blocks = cdb[4] ?? 0;
      return blocks === 0 ? 256 : blocks;
    }
    case 1:
    case 2:
      return readU16(cdb, 7);
    case 5:
      return readU32(cdb, 6);
    default:
      return readU32(cdb, 10);
  }
}

/** Data-Out of a WRITE and its kin; zero where the command will be refused for its length. */
export function transferBytesOf(cdb: Uint8Array): number {
  const blocks = blocksOf(cdb);
  return blocks > SCSI_LIMITS.transferBlocks ? 0 : blocks * BLOCK_BYTES;
}

/** Answers the command and gives false when the range is not all on the medium. SBC-3 4.6 */
export function checkRange(command: Command, lba: number, blocks: number): boolean {
  if (lba < command.unit.blocks && lba + blocks <= command.unit.blocks) return true;
  // INFORMATION: the first LBA that is not there.
  const information = lba < command.unit.blocks ? command.unit.blocks : lba;
  command.check(SenseKey.illegalRequest, Asc.lbaOutOfRange, information);
  return false;
}

/** SBC-3 6.6.3: beyond MAXIMUM TRANSFER LENGTH it is INVALID FIELD IN CDB, at the length. */
export function checkTransferLength(command: Command, blocks: number): boolean {
  if (blocks <= SCSI_LIMITS.transferBlocks) return true;
  command.invalidCdbField(lengthFieldAt(command.cdb[0] ?? 0));
  return false;
}
