/** LOG SENSE. SPC-4 6.8, 7.3 */
import { readU16, writeU16 } from './cdb.ts';
import type { Command } from './command.ts';

const SUPPORTED_PAGES = 0x00;
const INFORMATIONAL_EXCEPTIONS = 0x2f;
const ALL_SUBPAGES = 0xff;
const PAGES = [SUPPORTED_PAGES, INFORMATIONAL_EXCEPTIONS];

export function logSense(command: Command): void {
  const { cdb } = command;
  const code = (cdb[2] ?? 0) & 0x3f;
  const subpage = cdb[3] ?? 0;
  const data = buildPage(code, subpage);
  if (data === null) {
    if (PAGES.includes(code)) command.invalidCdbField(3);
    else command.invalidCdbField(2, 5);
    return;
  }
  // SPC-4 6.8.1: PARAMETER POINTER beyond the page's last parameter, which is 0000h.
  if (readU16(cdb, 5) !== 0) {
    command.invalidCdbField(5);
    return;
  }
  command.goodWithData(data, readU16(cdb, 7));
}

function buildPage(code: number, subpage: number): Uint8Array | null {
  if (code === SUPPORTED_PAGES && subpage === 0) {
    return page(code, 0, Uint8Array.from(PAGES));
  }
  if (code === SUPPORTED_PAGES && subpage === ALL_SUBPAGES) {
    // SPC-4 7.3.22: pairs of page and subpage; this list is one of them.
    return page(code, subpage, Uint8Array.of(0x00, 0x00, 0x00, ALL_SUBPAGES, 0x2f, 0x00));
  }
  if (code === INFORMATIONAL_EXCEPTIONS && subpage === 0) {
    // SPC-4 7.3.11: parameter 0000h, no exception; the temperature is not known (FFh).
    return page(code, 0, Uint8Array.of(0x00, 0x00, 0x03, 0x04, 0x00, 0x00, 0xff, 0x00));
  }
  return null;
}

function page(code: number, subpage: number, content: Uint8Array): Uint8Array {
  const data = new Uint8Array(4 + content.length);
  // SPF where it is a subpage; DS: the page is not saved.
  data[0] = 0x80 | (subpage === 0 ? 0x00 : 0x40) | code;
  data[1] = subpage;
  writeU16(data, 2, content.length);
  data.set(content, 4);
  return data;
}
