/** INQUIRY, standard data. SPC-4 6.6 */
import { readU16, writeAscii, writeU16 } from './cdb.ts';
import type { Command } from './command.ts';
import { PRODUCT, VENDOR } from './identity.ts';
import { buildVpdPage } from './vpd.ts';

const STANDARD_BYTES = 96;

/** SPC-4 6.6.2, table 144 */
const VERSION_SPC4 = 0x06;
/** SPC-4 6.6.2, table 147: SAM-5, SPC-4, SBC-3, iSCSI; no particular revision of each. */
const VERSION_DESCRIPTORS = [0x00a0, 0x0460, 0x04c0, 0x0960];
/** SPC-4 6.6.2: PERIPHERAL QUALIFIER 011b, the target is not capable of a unit at this LUN. */
const NO_UNIT_HERE = 0x7f;

export function inquiry(command: Command): void {
  const { cdb } = command;
  const allocationLength = readU16(cdb, 3);
  const page = cdb[2] ?? 0;
  if (((cdb[1] ?? 0) & 0x01) !== 0) {
    const data = buildVpdPage(page, command.unit, command.nexus);
    if (data === null) command.invalidCdbField(2);
    else command.goodWithData(data, allocationLength);
    return;
  }
  // SPC-4 6.6.1: a page code without EVPD is an error.
  if (page !== 0) {
    command.invalidCdbField(2);
    return;
  }
  command.goodWithData(standardData(0x00, command.unit.productRevision), allocationLength);
}

export function runInquiryOnAbsentUnit(command: Command): void {
  const { cdb } = command;
  if (((cdb[1] ?? 0) & 0x01) !== 0 || (cdb[2] ?? 0) !== 0) {
    command.invalidCdbField(((cdb[1] ?? 0) & 0x01) !== 0 ? 1 : 2);
    return;
  }
  command.goodWithData(standardData(NO_UNIT_HERE, command.unit.productRevision), readU16(cdb, 3));
}

function standardData(peripheral: number, productRevision: string): Uint8Array {
  const data = new Uint8Array(STANDARD_BYTES);
  data[0] = peripheral;
  data[2] = VERSION_SPC4;
  // HISUP: hierarchical LUNs are understood; response data format 2.
  data[3] = 0x10 | 0x02;
  data[4] = STANDARD_BYTES - 5;
  // TPGS 01b: implicit asymmetric access, one group that is always active/optimized; 3PC: EXTENDED
  // COPY.
  data[5] = 0x10 | 0x08;
  // CMDQUE
  data[7] = 0x02;
  writeAscii(data, 8, 8, VENDOR);
  writeAscii(data, 16, 16, PRODUCT);
  writeAscii(data, 32, 4, productRevision);
  VERSION_DESCRIPTORS.forEach((descriptor, i) => writeU16(data, 58 + 2 * i, descriptor));
  return data;
}
