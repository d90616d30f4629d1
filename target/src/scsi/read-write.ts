/** READ and WRITE of every CDB length. SBC-3 5.7 to 5.11, 5.29 to 5.33 */
import { takeChunks } from './cdb.ts';
import { finishGood, type Command } from './command.ts';
import { BLOCK_BYTES } from './geometry.ts';
import { blocksOf, checkRange, checkTransferLength, lbaOf } from './media-range.ts';
import { Asc, SenseKey } from './sense.ts';

/** In byte 1 of the 10, 12 and 16 byte CDBs. */
const FUA = 0x08;

export function read(command: Command): void {
  const { cdb } = command;
  const lba = lbaOf(cdb);
  const blocks = blocksOf(cdb);
  if (!checkRange(command, lba, blocks) || !checkTransferLength(command, blocks)) return;
  if (blocks === 0) {
    command.good();
    return;
  }
  // FUA: what a replica serves is what all replicas hold; data not yet stable is made so first.
  // SBC-3 5.8
  if (forcesUnitAccess(cdb)) command.flush(readMedium);
  else command.read(lba * BLOCK_BYTES, blocks * BLOCK_BYTES, finishRead);
}

function readMedium(command: Command): void {
  const { cdb } = command;
  command.read(lbaOf(cdb) * BLOCK_BYTES, blocksOf(cdb) * BLOCK_BYTES, finishRead);
}

function finishRead(command: Command): void {
  command.goodWithChunks(command.chunks, command.lengthBytes);
}

export function write(command: Command): void {
  const { cdb } = command;
  writeRange(command, lbaOf(cdb), blocksOf(cdb), finishWrite);
}

/**
 * Checks the range and the Data-Out and writes; `next` runs when it is in the page cache of all
 * replicas.
 */
export function writeRange(
  command: Command,
  lba: number,
  blocks: number,
  next: (command: Command) => void,
  kind: 'write' | 'write-atomic' = 'write',
): void {
  if (!checkRange(command, lba, blocks) || !checkTransferLength(command, blocks)) return;
  const lengthBytes = blocks * BLOCK_BYTES;
  command.transferBytes = lengthBytes;
  const arrived = Math.min(lengthBytes, command.dataOutBytes);
  // The initiator's expected length was smaller than the CDB's: what came is written and the
  // residual tells the rest. SAM-5 5.4.2
  if (arrived % BLOCK_BYTES !== 0) {
    command.check(SenseKey.illegalRequest, Asc.invalidFieldInCommandInformationUnit);
    return;
  }
  if (arrived === 0) {
    next(command);
    return;
  }
  const chunks =
    command.dataOutBytes === arrived ? command.dataOut : takeChunks(command.dataOut, 0, arrived);
  command.submit(kind, lba * BLOCK_BYTES, arrived, chunks, next);
}

/** Answers the command and gives false when less Data-Out came than it needs. */
export function checkDataOutComplete(command: Command, neededBytes: number): boolean {
  command.transferBytes = neededBytes;
  if (command.dataOutBytes >= neededBytes) return true;
  command.check(SenseKey.illegalRequest, Asc.invalidFieldInCommandInformationUnit);
  return false;
}

/**
 * Likewise, and also when the initiator meant to send more: then it means another command than
 * this.
 */
export function checkDataOutExact(command: Command, neededBytes: number): boolean {
  if (!checkDataOutComplete(command, neededBytes)) return false;
  if (command.task.expectedBytes <= neededBytes) return true;
  command.check(SenseKey.illegalRequest, Asc.invalidFieldInCommandInformationUnit);
  return false;
}

/**
 * The end of every command that wrote: stable first where FUA or a disabled write cache asks for
 * it.
 */
export function finishWrite(command: Command): void {
  if (command.unit.mode.writeCacheEnabled && !forcesUnitAccess(command.cdb)) command.good();
  else command.flush(finishGood);
}

function forcesUnitAccess(cdb: Uint8Array): boolean {
  // READ (6) and WRITE (6) have LBA bits there.
  return (cdb[0] ?? 0) >>> 5 !== 0 && ((cdb[1] ?? 0) & FUA) !== 0;
}
