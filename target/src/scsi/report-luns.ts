/** REPORT LUNS. SPC-4 6.33 */
import { readU32, writeU32 } from './cdb.ts';
import type { Command } from './command.ts';

/** SPC-4 6.33.1: the allocation length must leave room for one LUN. */
const MIN_ALLOCATION_BYTES = 16;

export function reportLuns(command: Command): void {
  const allocationLength = readU32(command.cdb, 6);
  if (allocationLength < MIN_ALLOCATION_BYTES) {
    command.invalidCdbField(6);
    return;
  }
  switch (command.cdb[2] ?? 0) {
    // All but well known units; all; administrative and plain ones.
    case 0x00:
    case 0x02:
    case 0x11:
      command.goodWithData(list(1), allocationLength);
      return;
    // Well known units, administrative ones, subsidiaries: there are none.
    case 0x01:
    case 0x10:
    case 0x12:
      command.goodWithData(list(0), allocationLength);
      return;
    default:
      command.invalidCdbField(2);
  }
}

/** LUN 0 is eight zero bytes in the list. */
function list(count: 0 | 1): Uint8Array {
  const data = new Uint8Array(8 + 8 * count);
  writeU32(data, 0, 8 * count);
  return data;
}
