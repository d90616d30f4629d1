/** WRITE ATOMIC (16). SBC-4 5.48, 4.29 */
import { SCSI_LIMITS } from '../limits.ts';
import { readU16 } from './cdb.ts';
import type { Command } from './command.ts';
import { BLOCK_BYTES, PHYSICAL_BLOCK_BLOCKS } from './geometry.ts';
import type { LogicalUnit } from './logical-unit.ts';
import { checkRange, lbaOf } from './media-range.ts';
import { finishWrite, writeRange } from './read-write.ts';
import { Asc, SenseKey } from './sense.ts';

const LBA_AT = 2;
const LENGTH_AT = 12;

/** Where it begins and how long it is: multiples of the blocks that the replicas keep whole. */
export const ATOMIC_UNIT_BLOCKS = PHYSICAL_BLOCK_BLOCKS;

/** MAXIMUM ATOMIC TRANSFER LENGTH; 0 where a replica cannot do it. */
export function atomicBlocks(unit: LogicalUnit): number {
  return unit.volume.atomicBytes / BLOCK_BYTES;
}

export function offersAtomicWrites(unit: LogicalUnit): boolean {
  return atomicBlocks(unit) > 0;
}

/** Zero where the command will be refused for its length. */
export function writeAtomicBytes(cdb: Uint8Array): number {
  const blocks = readU16(cdb, LENGTH_AT);
  return blocks > SCSI_LIMITS.transferBlocks ? 0 : blocks * BLOCK_BYTES;
}

/** ATOMIC BOUNDARY is outside of the CDB usage: zero is the only one, as page B0h says. */
export function writeAtomic(command: Command): void {
  const { cdb, unit } = command;
  const lba = lbaOf(cdb);
  const blocks = readU16(cdb, LENGTH_AT);
  if (!offersAtomicWrites(unit)) {
    command.check(SenseKey.illegalRequest, Asc.invalidOperationCode);
    return;
  }
  if (!checkRange(command, lba, blocks)) return;
  if (lba % ATOMIC_UNIT_BLOCKS !== 0) {
    command.invalidCdbField(LBA_AT);
    return;
  }
  if (blocks > atomicBlocks(unit) || blocks % ATOMIC_UNIT_BLOCKS !== 0) {
    command.invalidCdbField(LENGTH_AT);
    return;
  }
  // A part of it is what it must never be.
  if (command.dataOutBytes !== blocks * BLOCK_BYTES) {
    command.transferBytes = blocks * BLOCK_BYTES;
    command.check(SenseKey.illegalRequest, Asc.invalidFieldInCommandInformationUnit);
    return;
  }
  writeRange(command, lba, blocks, finishWrite, 'write-atomic');
}
