/** WRITE SAME (10) and (16). SBC-3 5.38, 5.39 */
import { SCSI_LIMITS } from '../limits.ts';
import { gather } from './cdb.ts';
import type { Command } from './command.ts';
import { isZero } from './compare.ts';
import { BLOCK_BYTES } from './geometry.ts';
import { blocksOf, checkRange, lbaOf, lengthFieldAt } from './media-range.ts';
import { checkDataOutExact, finishWrite } from './read-write.ts';
import { unmapRuns } from './unmap.ts';

/** Byte 1 of WRITE SAME (16): no Data-Out buffer, the block is all zero. */
const NDOB = 0x01;
const OPCODE_16 = 0x93;

export function writeSameBytes(cdb: Uint8Array): number {
  return hasNoBuffer(cdb) ? 0 : BLOCK_BYTES;
}

function hasNoBuffer(cdb: Uint8Array): boolean {
  return cdb[0] === OPCODE_16 && ((cdb[1] ?? 0) & NDOB) !== 0;
}

export function writeSame(command: Command): void {
  const { cdb } = command;
  const lba = lbaOf(cdb);
  const blocks = blocksOf(cdb);
  // WSNZ: the number of blocks must not be zero. SBC-3 6.6.3, and MAXIMUM WRITE SAME LENGTH
  if (blocks === 0 || blocks > SCSI_LIMITS.writeSameBlocks) {
    command.invalidCdbField(lengthFieldAt(cdb[0] ?? 0));
    return;
  }
  if (!checkRange(command, lba, blocks)) return;
  if (!checkDataOutExact(command, writeSameBytes(cdb))) return;
  const block = hasNoBuffer(cdb) ? null : gather(command.dataOut, BLOCK_BYTES);
  const offsetBytes = lba * BLOCK_BYTES;
  const lengthBytes = blocks * BLOCK_BYTES;
  // Blocks of zeros read the same when they are deallocated (LBPRZ), with or without the UNMAP bit.
  // Any other block is written, also with it: SBC-3 5.38 allows deallocation only where it reads
  // back what was sent.
  if (block === null || isZero(block)) unmapRuns(command, [{ offsetBytes, lengthBytes }]);
  else writePattern(command, block, offsetBytes, lengthBytes);
}

interface Progress {
  readonly pattern: Uint8Array;
  offsetBytes: number;
  leftBytes: number;
}

function writePattern(
  command: Command,
  block: Uint8Array,
  offsetBytes: number,
  lengthBytes: number,
): void {
  const pattern = new Uint8Array(Math.min(lengthBytes, SCSI_LIMITS.copyPieceBytes));
  pattern.set(block);
  for (let filled = BLOCK_BYTES; filled < pattern.length; filled *= 2) {
    pattern.copyWithin(filled, 0, Math.min(filled, pattern.length - filled));
  }
  const progress: Progress = { pattern, offsetBytes, leftBytes: lengthBytes };
  command.context = progress;
  writeNext(command);
}

function writeNext(command: Command): void {
  const progress = command.context as Progress;
  const { pattern, offsetBytes, leftBytes } = progress;
  if (leftBytes === 0) {
    finishWrite(command);
    return;
  }
  const piece = Math.min(leftBytes, pattern.length);
  progress.offsetBytes += piece;
  progress.leftBytes -= piece;
  const chunk = piece === pattern.length ? pattern : pattern.subarray(0, piece);
  command.submit('write', offsetBytes, piece, [chunk], writeNext);
}
