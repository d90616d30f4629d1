/** Third-party Copy VPD page. SPC-4 7.8.17 */
import { SCSI_LIMITS } from '../limits.ts';
import { writeU16, writeU32 } from './cdb.ts';
import { BLOCK_TO_BLOCK_SEGMENT, IDENTIFICATION_TARGET } from './copy-parameters.ts';
import { BLOCK_BYTES } from './geometry.ts';

/** Operation code and its service actions. */
const COMMANDS: readonly (readonly [number, readonly number[]])[] = [
  [0x83, [0x00]],
  [0x84, [0x00, 0x03, 0x04]],
];

export function thirdPartyCopyDescriptors(): Uint8Array[] {
  return [supportedCommands(), parameterData(), supportedDescriptors(), generalOperations()];
}

/** Type, length, content, padded to a multiple of four. */
function descriptor(type: number, content: Uint8Array): Uint8Array {
  const padded = Math.ceil(content.length / 4) * 4;
  const data = new Uint8Array(4 + padded);
  writeU16(data, 0, type);
  writeU16(data, 2, padded);
  data.set(content, 4);
  return data;
}

/** SPC-4 7.8.17.4 */
function supportedCommands(): Uint8Array {
  const list = COMMANDS.flatMap(([opcode, actions]) => [opcode, actions.length, ...actions]);
  return descriptor(0x0001, Uint8Array.of(list.length, ...list));
}

/** SPC-4 7.8.17.5 */
function parameterData(): Uint8Array {
  const content = new Uint8Array(28);
  writeU16(content, 4, SCSI_LIMITS.copyTargetDescriptors);
  writeU16(content, 6, SCSI_LIMITS.copySegmentDescriptors);
  writeU32(content, 8, SCSI_LIMITS.copyDescriptorBytes);
  return descriptor(0x0004, content);
}

/** SPC-4 7.8.17.6 */
function supportedDescriptors(): Uint8Array {
  return descriptor(0x0008, Uint8Array.of(2, BLOCK_TO_BLOCK_SEGMENT, IDENTIFICATION_TARGET));
}

/** SPC-4 7.8.17.9 */
function generalOperations(): Uint8Array {
  const content = new Uint8Array(32);
  writeU32(content, 0, SCSI_LIMITS.concurrentCopies);
  writeU32(content, 4, SCSI_LIMITS.concurrentCopies);
  writeU32(content, 8, SCSI_LIMITS.copySegmentBytes);
  content[12] = Math.log2(BLOCK_BYTES);
  return descriptor(0x8001, content);
}
