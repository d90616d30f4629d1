/** COMPARE AND WRITE and ORWRITE: a read and a write that nothing comes between. SBC-3 5.3, 5.13 */
import { SCSI_LIMITS } from '../limits.ts';
import { takeChunks } from './cdb.ts';
import type { Command } from './command.ts';
import { firstDifference } from './compare.ts';
import { BLOCK_BYTES } from './geometry.ts';
import { blocksOf, checkRange, checkTransferLength, lbaOf } from './media-range.ts';
import { checkDataOutComplete, finishWrite } from './read-write.ts';
import { Asc, SenseKey } from './sense.ts';

function compareBlocks(cdb: Uint8Array): number {
  return cdb[13] ?? 0;
}

export function compareAndWriteBytes(cdb: Uint8Array): number {
  const blocks = compareBlocks(cdb);
  return blocks > SCSI_LIMITS.compareAndWriteBlocks ? 0 : 2 * blocks * BLOCK_BYTES;
}

export function compareAndWrite(command: Command): void {
  const { cdb, task } = command;
  const lba = lbaOf(cdb);
  const blocks = compareBlocks(cdb);
  if (!checkRange(command, lba, blocks)) return;
  // SBC-3 5.3: beyond MAXIMUM COMPARE AND WRITE LENGTH.
  if (blocks > SCSI_LIMITS.compareAndWriteBlocks) {
    command.invalidCdbField(13);
    return;
  }
  const neededBytes = compareAndWriteBytes(cdb);
  command.transferBytes = neededBytes;
  // The data to compare and the data to write are two halves: Data-Out of another length has no
  // such halves.
  if (command.dataOutBytes < neededBytes || task.expectedBytes > neededBytes) {
    command.invalidCdbField(13);
    return;
  }
  if (blocks === 0) {
    command.good();
    return;
  }
  command.keepDataOut();
  command.acquire(lba * BLOCK_BYTES, blocks * BLOCK_BYTES, 'exclusive', readToCompare);
}

function readToCompare(command: Command): void {
  const { cdb } = command;
  command.read(lbaOf(cdb) * BLOCK_BYTES, compareBlocks(cdb) * BLOCK_BYTES, compareAndContinue);
}

function compareAndContinue(command: Command): void {
  const { lengthBytes, offsetBytes } = command;
  const difference = firstDifference(command.dataOut, command.chunks, lengthBytes);
  if (difference >= 0) {
    // INFORMATION: the offset of the first byte that differs. SBC-3 5.3
    command.check(SenseKey.miscompare, Asc.miscompareDuringVerify, difference);
    return;
  }
  const second = takeChunks(command.dataOut, lengthBytes, lengthBytes);
  command.submit('write', offsetBytes, lengthBytes, second, finishWrite);
}

export function orWrite(command: Command): void {
  const { cdb } = command;
  const lba = lbaOf(cdb);
  const blocks = blocksOf(cdb);
  if (!checkRange(command, lba, blocks) || !checkTransferLength(command, blocks)) return;
  if (!checkDataOutComplete(command, blocks * BLOCK_BYTES)) return;
  if (blocks === 0) {
    command.good();
    return;
  }
  command.keepDataOut();
  command.acquire(lba * BLOCK_BYTES, blocks * BLOCK_BYTES, 'exclusive', readToMerge);
}

function readToMerge(command: Command): void {
  const { cdb } = command;
  command.read(lbaOf(cdb) * BLOCK_BYTES, blocksOf(cdb) * BLOCK_BYTES, mergeAndWrite);
}

function mergeAndWrite(command: Command): void {
  const { offsetBytes, lengthBytes } = command;
  const merged = new Uint8Array(lengthBytes);
  let at = 0;
  for (const chunk of command.chunks) {
    merged.set(chunk, at);
    at += chunk.length;
  }
  at = 0;
  for (const chunk of command.dataOut) {
    const end = Math.min(chunk.length, lengthBytes - at);
    for (let i = 0; i < end; i += 1) merged[at + i] = (merged[at + i] ?? 0) | (chunk[i] ?? 0);
    at += end;
  }
  command.submit('write', offsetBytes, lengthBytes, [merged], finishWrite);
}
