/** RECEIVE COPY RESULTS, and what is kept for it. SPC-4 6.17 to 6.24 */
import { SCSI_LIMITS } from '../limits.ts';
import { readU32, writeU16, writeU32 } from './cdb.ts';
import type { Command } from './command.ts';
import { BLOCK_TO_BLOCK_SEGMENT, IDENTIFICATION_TARGET } from './copy-parameters.ts';
import { BLOCK_BYTES } from './geometry.ts';
import type { NexusState } from './nexus.ts';

/** A copy that ended well; one that failed has told so with its own status. */
export interface CopyResult {
  readonly segments: number;
  readonly bytes: number;
}

/** Results of the latest copies of a nexus; the oldest is forgotten. */
const MAX_RESULTS = 16;

export function rememberCopy(nexus: NexusState, listId: number, result: CopyResult): void {
  nexus.copyResults.delete(listId);
  nexus.copyResults.set(listId, result);
  const oldest = nexus.copyResults.keys().next();
  if (nexus.copyResults.size > MAX_RESULTS && oldest.done !== true) {
    nexus.copyResults.delete(oldest.value);
  }
}

/** SPC-4 6.18 */
export function receiveCopyStatus(command: Command): void {
  const { cdb, nexus } = command;
  const result = nexus.copyResults.get(cdb[2] ?? 0);
  if (result === undefined) {
    command.invalidCdbField(2);
    return;
  }
  const data = new Uint8Array(12);
  writeU32(data, 0, data.length - 4);
  // COPY COMMAND STATUS: ended without errors. Transfer count in bytes.
  data[4] = 0x01;
  writeU16(data, 5, result.segments);
  writeU32(data, 8, Math.min(result.bytes, 0xffff_ffff));
  command.goodWithData(data, readU32(cdb, 10));
}

/** SPC-4 6.22: a copy that fails is described by its sense data; nothing more is held. */
export function receiveFailedSegmentDetails(command: Command): void {
  command.goodWithData(new Uint8Array(4), readU32(command.cdb, 10));
}

/** SPC-4 6.21 */
export function receiveOperatingParameters(command: Command): void {
  const descriptors = [BLOCK_TO_BLOCK_SEGMENT, IDENTIFICATION_TARGET];
  const data = new Uint8Array(44 + descriptors.length);
  writeU32(data, 0, data.length - 4);
  // SNLID: a copy needs no list identifier.
  data[4] = 0x01;
  writeU16(data, 8, SCSI_LIMITS.copyTargetDescriptors);
  writeU16(data, 10, SCSI_LIMITS.copySegmentDescriptors);
  writeU32(data, 12, SCSI_LIMITS.copyDescriptorBytes);
  writeU32(data, 16, SCSI_LIMITS.copySegmentBytes);
  writeU16(data, 34, SCSI_LIMITS.concurrentCopies);
  data[36] = SCSI_LIMITS.concurrentCopies;
  // DATA SEGMENT GRANULARITY: log2 of a block.
  data[37] = Math.log2(BLOCK_BYTES);
  data[43] = descriptors.length;
  data.set(descriptors, 44);
  command.goodWithData(data, readU32(command.cdb, 10));
}
