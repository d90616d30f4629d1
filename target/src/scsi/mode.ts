/** MODE SENSE and MODE SELECT, (6) and (10). SPC-4 6.9 to 6.12 */
import {
  gather,
  readU16,
  readU24,
  readU32,
  readU64,
  writeU16,
  writeU24,
  writeU32,
  writeU64,
} from './cdb.ts';
import { finishGood, type Command } from './command.ts';
import { BLOCK_BYTES } from './geometry.ts';
import {
  findModePage,
  MODE_PAGES,
  modePageData,
  PageControl,
  type ModePage,
} from './mode-pages.ts';
import { Asc, SenseKey } from './sense.ts';

const ALL_PAGES = 0x3f;
const ALL_SUBPAGES = 0xff;
/** DEVICE-SPECIFIC PARAMETER. SBC-3 6.5.1 */
const WP = 0x80;
const DPOFUA = 0x10;
const DBD = 0x08;
const LLBAA = 0x10;

export function modeSense6(command: Command): void {
  modeSense(command, false, command.cdb[4] ?? 0);
}

export function modeSense10(command: Command): void {
  modeSense(command, true, readU16(command.cdb, 7));
}

function modeSense(command: Command, ten: boolean, allocationLength: number): void {
  const { cdb, unit } = command;
  const control = (cdb[2] ?? 0) >>> 6;
  // SPC-4 6.11.1: no page can be saved.
  if (control === PageControl.saved) {
    command.check(SenseKey.illegalRequest, Asc.savingParametersNotSupported);
    return;
  }
  const pages = selectPages(command);
  if (pages === null) return;
  const withDescriptor = ((cdb[1] ?? 0) & DBD) === 0;
  const longLba = ten && ((cdb[1] ?? 0) & LLBAA) !== 0;
  const descriptor = withDescriptor ? blockDescriptor(unit.blocks, longLba) : new Uint8Array(0);
  const parts = pages.map((page) => modePageData(page, control, unit.mode));
  const headerBytes = ten ? 8 : 4;
  const total = parts.reduce((sum, part) => sum + part.length, headerBytes + descriptor.length);
  const data = new Uint8Array(total);
  const deviceSpecific = DPOFUA | (unit.mode.softwareWriteProtect ? WP : 0);
  if (ten) {
    writeU16(data, 0, total - 2);
    data[3] = deviceSpecific;
    data[4] = longLba && withDescriptor ? 0x01 : 0x00;
    writeU16(data, 6, descriptor.length);
  } else {
    data[0] = total - 1;
    data[2] = deviceSpecific;
    data[3] = descriptor.length;
  }
  data.set(descriptor, headerBytes);
  let at = headerBytes + descriptor.length;
  for (const part of parts) {
    data.set(part, at);
    at += part.length;
  }
  command.goodWithData(data, allocationLength);
}

/** Answers the command and gives null when it asks for a page that is not there. */
function selectPages(command: Command): readonly ModePage[] | null {
  const code = (command.cdb[2] ?? 0) & 0x3f;
  const subpage = command.cdb[3] ?? 0;
  // There are no subpages: "all subpages" of a page is the page itself. SPC-4 6.11.1, table 187
  if (subpage !== 0 && subpage !== ALL_SUBPAGES) {
    command.invalidCdbField(3);
    return null;
  }
  if (code === ALL_PAGES) return MODE_PAGES;
  const page = findModePage(code);
  if (page === null) {
    command.invalidCdbField(2, 5);
    return null;
  }
  return [page];
}

/** SBC-3 6.5.2 */
function blockDescriptor(blocks: number, longLba: boolean): Uint8Array {
  const descriptor = new Uint8Array(longLba ? 16 : 8);
  if (longLba) {
    writeU64(descriptor, 0, blocks);
    writeU32(descriptor, 12, BLOCK_BYTES);
  } else {
    writeU32(descriptor, 0, Math.min(blocks, 0xffff_ffff));
    writeU24(descriptor, 5, BLOCK_BYTES);
  }
  return descriptor;
}

export function modeSelect6(command: Command): void {
  modeSelect(command, false, command.cdb[4] ?? 0);
}

export function modeSelect10(command: Command): void {
  modeSelect(command, true, readU16(command.cdb, 7));
}

function modeSelect(command: Command, ten: boolean, listLength: number): void {
  const { unit } = command;
  command.transferBytes = listLength;
  // SPC-4 6.9.1: zero is not an error and changes nothing.
  if (listLength === 0) {
    command.good();
    return;
  }
  if (command.dataOutBytes < listLength) {
    command.parameterListLengthError();
    return;
  }
  const list = gather(command.dataOut, listLength);
  const pagesAt = checkHeader(command, list, ten);
  if (pagesAt === null) return;
  const next = { ...unit.mode };
  if (!applyPages(command, list, pagesAt, next)) return;
  const before = unit.mode;
  const changed =
    before.descriptorSense !== next.descriptorSense ||
    before.softwareWriteProtect !== next.softwareWriteProtect ||
    before.writeCacheEnabled !== next.writeCacheEnabled;
  unit.mode = next;
  // SPC-4 5.14, 6.9.1: the mode pages are shared, so every other nexus is told.
  if (changed) unit.attendOthers(command.nexus, Asc.modeParametersChanged);
  // What was answered before the cache was disabled is made stable too.
  if (before.writeCacheEnabled && !next.writeCacheEnabled) command.flush(finishGood);
  else command.good();
}

/** Where the pages begin; null when the command was answered. SPC-4 7.5.5, 7.5.6 */
function checkHeader(command: Command, list: Uint8Array, ten: boolean): number | null {
  const headerBytes = ten ? 8 : 4;
  if (list.length < headerBytes) {
    command.parameterListLengthError();
    return null;
  }
  const mediumTypeAt = ten ? 2 : 1;
  if (list[mediumTypeAt] !== 0) {
    command.invalidParameter(mediumTypeAt);
    return null;
  }
  const longLba = ten && ((list[4] ?? 0) & 0x01) !== 0;
  const descriptorBytes = ten ? readU16(list, 6) : (list[3] ?? 0);
  if (descriptorBytes === 0) return headerBytes;
  if (descriptorBytes !== (longLba ? 16 : 8)) {
    command.invalidParameter(ten ? 6 : 3);
    return null;
  }
  if (list.length < headerBytes + descriptorBytes) {
    command.parameterListLengthError();
    return null;
  }
  const blocks = longLba ? readU64(list, headerBytes) : readU32(list, headerBytes);
  const lengthAt = headerBytes + (longLba ? 12 : 5);
  const blockBytes = longLba ? readU32(list, lengthAt) : readU24(list, lengthAt);
  const whole = Math.min(command.unit.blocks, longLba ? Infinity : 0xffff_ffff);
  // SBC-3 6.5.2: neither the capacity nor the block length can be changed; zero blocks means "as it
  // is".
  if (blocks !== 0 && blocks !== whole) {
    command.invalidParameter(headerBytes);
    return null;
  }
  if (blockBytes !== BLOCK_BYTES) {
    command.invalidParameter(lengthAt);
    return null;
  }
  return headerBytes + descriptorBytes;
}

function applyPages(
  command: Command,
  list: Uint8Array,
  pagesAt: number,
  next: typeof command.unit.mode,
): boolean {
  let at = pagesAt;
  while (at < list.length) {
    const first = list[at] ?? 0;
    // SPF: a subpage; there is none. SPC-4 7.5.7
    const page = (first & 0x40) === 0 ? findModePage(first & 0x3f) : null;
    if (page === null) {
      command.invalidParameter(at, 5);
      return false;
    }
    if (at + 2 > list.length) {
      command.parameterListLengthError();
      return false;
    }
    const current = page.build(next);
    if (list[at + 1] !== current[1]) {
      command.invalidParameter(at + 1);
      return false;
    }
    if (at + current.length > list.length) {
      command.parameterListLengthError();
      return false;
    }
    // SPC-4 6.9.1: a field that cannot be changed must have its current value.
    for (let i = 2; i < current.length; i += 1) {
      const different = (list[at + i] ?? 0) ^ (current[i] ?? 0);
      const wrong = different & ~(page.changeable[i] ?? 0);
      if (wrong !== 0) {
        command.invalidParameter(at + i, 31 - Math.clz32(wrong));
        return false;
      }
    }
    page.apply(list.subarray(at, at + current.length), next);
    at += current.length;
  }
  return true;
}
