/**
 * READ DEFECT DATA (10) and (12): the replicas repair what is bad, so the lists are empty. SBC-3
 * 5.17, 5.18
 */
import { readU16, readU32 } from './cdb.ts';
import type { Command } from './command.ts';

/**
 * REQ_PLIST, REQ_GLIST and the format are given back: these lists, in this format, with nothing in
 * them.
 */
const LIST_FIELDS = 0x1f;

export function readDefectData10(command: Command): void {
  const { cdb } = command;
  const data = new Uint8Array(4);
  data[1] = (cdb[2] ?? 0) & LIST_FIELDS;
  command.goodWithData(data, readU16(cdb, 7));
}

export function readDefectData12(command: Command): void {
  const { cdb } = command;
  const data = new Uint8Array(8);
  data[1] = (cdb[1] ?? 0) & LIST_FIELDS;
  command.goodWithData(data, readU32(cdb, 6));
}
