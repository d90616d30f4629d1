/** VERIFY and WRITE AND VERIFY, (10), (12) and (16). SBC-3 5.24 to 5.27, 5.34 to 5.37 */
import { SCSI_LIMITS } from '../limits.ts';
import { takeChunks } from './cdb.ts';
import { finishGood, type Command } from './command.ts';
import { firstDifference } from './compare.ts';
import { BLOCK_BYTES } from './geometry.ts';
import {
  blocksOf,
  checkRange,
  checkTransferLength,
  lbaOf,
  transferBytesOf,
} from './media-range.ts';
import { checkDataOutComplete, writeRange } from './read-write.ts';
import { Asc, SenseKey } from './sense.ts';

/** BYTCHK, bits 2 and 1 of byte 1. SBC-3 table 120 */
const ByteCheck = { none: 0, compare: 1, reserved: 2, compareOne: 3 } as const;

function byteCheck(cdb: Uint8Array): number {
  return ((cdb[1] ?? 0) >>> 1) & 0x03;
}

export function verifyBytes(cdb: Uint8Array): number {
  const blocks = blocksOf(cdb);
  if (blocks === 0 || blocks > SCSI_LIMITS.transferBlocks) return 0;
  switch (byteCheck(cdb)) {
    case ByteCheck.compare:
      return blocks * BLOCK_BYTES;
    case ByteCheck.compareOne:
      return BLOCK_BYTES;
    default:
      return 0;
  }
}

export function verify(command: Command): void {
  const { cdb } = command;
  const lba = lbaOf(cdb);
  const blocks = blocksOf(cdb);
  if (byteCheck(cdb) === ByteCheck.reserved) {
    command.invalidCdbField(1, 2);
    return;
  }
  if (!checkRange(command, lba, blocks) || !checkTransferLength(command, blocks)) return;
  if (!checkDataOutComplete(command, verifyBytes(cdb))) return;
  if (blocks === 0) {
    command.good();
    return;
  }
  command.keepDataOut();
  // Reading checks every block against its checksum, which is the medium verification asked for.
  command.read(lba * BLOCK_BYTES, blocks * BLOCK_BYTES, compareRead);
}

function compareRead(command: Command): void {
  const { cdb } = command;
  const lengthBytes = command.lengthBytes;
  let difference = -1;
  switch (byteCheck(cdb)) {
    case ByteCheck.compare:
      difference = firstDifference(command.dataOut, command.chunks, lengthBytes);
      break;
    case ByteCheck.compareOne:
      for (let at = 0; at < lengthBytes && difference < 0; at += BLOCK_BYTES) {
        const block = takeChunks(command.chunks, at, BLOCK_BYTES);
        difference = firstDifference(command.dataOut, block, BLOCK_BYTES);
      }
      break;
  }
  if (difference < 0) command.good();
  else command.check(SenseKey.miscompare, Asc.miscompareDuringVerify);
}

/**
 * Written, made stable, read back and compared where BYTCHK is 1, all under one lock, so that what
 * is verified is what this command wrote.
 */
export function writeAndVerify(command: Command): void {
  const { cdb } = command;
  const lba = lbaOf(cdb);
  const blocks = blocksOf(cdb);
  if (byteCheck(cdb) > ByteCheck.compare) {
    command.invalidCdbField(1, 2);
    return;
  }
  if (!checkRange(command, lba, blocks) || !checkTransferLength(command, blocks)) return;
  command.transferBytes = transferBytesOf(cdb);
  if (blocks === 0) {
    command.good();
    return;
  }
  command.keepDataOut();
  command.acquire(lba * BLOCK_BYTES, blocks * BLOCK_BYTES, 'exclusive', writeUnderLock);
}

function writeUnderLock(command: Command): void {
  const { cdb } = command;
  writeRange(command, lbaOf(cdb), blocksOf(cdb), makeStable);
}

function makeStable(command: Command): void {
  command.flush(readBack);
}

function readBack(command: Command): void {
  const { cdb } = command;
  const arrived = Math.floor(Math.min(command.dataOutBytes, transferBytesOf(cdb)) / BLOCK_BYTES);
  if (arrived === 0) command.good();
  else command.read(lbaOf(cdb) * BLOCK_BYTES, arrived * BLOCK_BYTES, compareWritten);
}

function compareWritten(command: Command): void {
  if (byteCheck(command.cdb) === ByteCheck.compare) compareRead(command);
  else finishGood(command);
}
