/** UNMAP. SBC-3 5.28 */
import { SCSI_LIMITS } from '../limits.ts';
import { gather, readU16, readU32, readU64 } from './cdb.ts';
import type { Command } from './command.ts';
import { BLOCK_BYTES } from './geometry.ts';
import { finishWrite } from './read-write.ts';
import { checkRange } from './media-range.ts';

const HEADER_BYTES = 8;
const DESCRIPTOR_BYTES = 16;
const MAX_LIST_BYTES = HEADER_BYTES + DESCRIPTOR_BYTES * SCSI_LIMITS.unmapDescriptors;

export function unmapBytes(cdb: Uint8Array): number {
  const length = readU16(cdb, 7);
  // One descriptor too many is looked at, to refuse it for what it is.
  return Math.min(length, MAX_LIST_BYTES + DESCRIPTOR_BYTES);
}

interface Run {
  offsetBytes: number;
  lengthBytes: number;
}

export function unmap(command: Command): void {
  const { cdb } = command;
  const length = readU16(cdb, 7);
  command.transferBytes = unmapBytes(cdb);
  // SBC-3 5.28.1: an empty list is not an error.
  if (length === 0) {
    command.good();
    return;
  }
  if (length < HEADER_BYTES || command.dataOutBytes < command.transferBytes) {
    command.parameterListLengthError();
    return;
  }
  const runs = parseRuns(command, gather(command.dataOut, command.transferBytes));
  if (runs !== null) unmapRuns(command, runs);
}

/** Answers the command and gives null when a descriptor is refused: then none is carried out. */
function parseRuns(command: Command, list: Uint8Array): Run[] | null {
  const descriptorBytes = readU16(list, 2);
  // SBC-3 5.28.2: an incomplete last descriptor is ignored.
  const count = Math.floor(descriptorBytes / DESCRIPTOR_BYTES);
  if (count > SCSI_LIMITS.unmapDescriptors) {
    command.invalidParameter(2);
    return null;
  }
  if (HEADER_BYTES + count * DESCRIPTOR_BYTES > list.length) {
    command.parameterListLengthError();
    return null;
  }
  const runs: Run[] = [];
  let total = 0;
  for (let i = 0; i < count; i += 1) {
    const at = HEADER_BYTES + i * DESCRIPTOR_BYTES;
    const lba = readU64(list, at);
    const blocks = readU32(list, at + 8);
    total += blocks;
    // SBC-3 6.6.3: MAXIMUM UNMAP LBA COUNT, of all descriptors together.
    if (total > SCSI_LIMITS.unmapBlocks) {
      command.invalidParameter(at + 8);
      return null;
    }
    // SBC-3 5.28.2: no blocks, nothing to do, wherever it points.
    if (blocks === 0) continue;
    if (!checkRange(command, lba, blocks)) return null;
    runs.push({ offsetBytes: lba * BLOCK_BYTES, lengthBytes: blocks * BLOCK_BYTES });
  }
  return runs;
}

/** One after the other, in pieces; descriptors may overlap. */
export function unmapRuns(command: Command, runs: readonly Run[]): void {
  command.context = runs.map((run) => ({ ...run }));
  unmapNext(command);
}

function unmapNext(command: Command): void {
  const runs = command.context as Run[];
  const run = runs[0];
  if (run === undefined) {
    finishWrite(command);
    return;
  }
  const { offsetBytes } = run;
  const lengthBytes = Math.min(run.lengthBytes, SCSI_LIMITS.unmapPieceBytes);
  run.offsetBytes += lengthBytes;
  run.lengthBytes -= lengthBytes;
  if (run.lengthBytes === 0) runs.shift();
  command.submit('unmap', offsetBytes, lengthBytes, [], unmapNext);
}
