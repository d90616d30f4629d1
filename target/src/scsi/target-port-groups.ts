/** REPORT TARGET PORT GROUPS: every portal group is always active/optimized. SPC-4 6.37 */
import { readU32, writeU16, writeU32 } from './cdb.ts';
import type { Command } from './command.ts';

const EXTENDED_FORMAT = 1;
const DESCRIPTOR_BYTES = 12;
/** AO_SUP. SPC-4 table 302 */
const ONLY_ACTIVE_OPTIMIZED = 0x01;

export function reportTargetPortGroups(command: Command): void {
  const { cdb, unit, nexus } = command;
  const format = (cdb[1] ?? 0) >>> 5;
  if (format > EXTENDED_FORMAT) {
    command.invalidCdbField(1, 7);
    return;
  }
  // The groups through which someone is connected, this nexus' among them.
  const tags = new Set([nexus.nexus.portalGroupTag]);
  for (const other of unit.nexuses.values()) tags.add(other.nexus.portalGroupTag);
  const headerBytes = format === EXTENDED_FORMAT ? 8 : 4;
  const data = new Uint8Array(headerBytes + DESCRIPTOR_BYTES * tags.size);
  writeU32(data, 0, data.length - 4);
  if (format === EXTENDED_FORMAT) data[4] = EXTENDED_FORMAT << 4;
  let at = headerBytes;
  for (const tag of [...tags].sort((a, b) => a - b)) {
    data[at + 1] = ONLY_ACTIVE_OPTIMIZED;
    writeU16(data, at + 2, tag);
    // One target port in each group, with the group's number.
    data[at + 7] = 1;
    writeU16(data, at + 10, tag);
    at += DESCRIPTOR_BYTES;
  }
  command.goodWithData(data, readU32(cdb, 6));
}
