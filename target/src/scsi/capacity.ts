/** READ CAPACITY (10) and (16). SBC-3 5.15, 5.16 */
import { readU32, readU64, writeU16, writeU32, writeU64 } from './cdb.ts';
import type { Command } from './command.ts';
import { BLOCK_BYTES, PHYSICAL_BLOCK_EXPONENT } from './geometry.ts';

export function readCapacity10(command: Command): void {
  const { cdb } = command;
  // SBC-3 5.15.1: an LBA without PMI (which is obsolete and not supported) is an error.
  if (readU32(cdb, 2) !== 0) {
    command.invalidCdbField(2);
    return;
  }
  const data = new Uint8Array(8);
  const last = command.unit.blocks - 1;
  writeU32(data, 0, Math.min(last, 0xffff_ffff));
  writeU32(data, 4, BLOCK_BYTES);
  command.goodWithData(data, data.length);
}

export function readCapacity16(command: Command): void {
  const { cdb } = command;
  if (readU64(cdb, 2) !== 0) {
    command.invalidCdbField(2);
    return;
  }
  const data = new Uint8Array(32);
  writeU64(data, 0, command.unit.blocks - 1);
  writeU32(data, 8, BLOCK_BYTES);
  data[13] = PHYSICAL_BLOCK_EXPONENT;
  // LBPME: thin provisioning is implemented. LBPRZ: deallocated blocks read zero. Lowest aligned
  // LBA: 0.
  writeU16(data, 14, 0x8000 | 0x4000);
  command.goodWithData(data, readU32(cdb, 10));
}
