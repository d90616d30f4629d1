/**
 * Command descriptor blocks that the tests send. SBC-3 5, SPC-4 6. Addresses and lengths in blocks
 * of 512 bytes.
 */
const empty = (operation: number): Buffer => {
  const cdb = Buffer.alloc(16);
  cdb.writeUInt8(operation, 0);
  return cdb;
};

const blocks16 = (operation: number, lba: number, blocks: number, flags = 0): Buffer => {
  const cdb = empty(operation);
  cdb.writeUInt8(flags, 1);
  cdb.writeBigUInt64BE(BigInt(lba), 2);
  cdb.writeUInt32BE(blocks, 10);
  return cdb;
};

export const testUnitReady = (): Buffer => empty(0x00);

/** `page` asks for vital product data. SPC-4 6.6 */
export function inquiry(allocationBytes: number, page?: number): Buffer {
  const cdb = empty(0x12);
  if (page !== undefined) {
    cdb.writeUInt8(1, 1);
    cdb.writeUInt8(page, 2);
  }
  cdb.writeUInt16BE(allocationBytes, 3);
  return cdb;
}

export const read16 = (lba: number, blocks: number): Buffer => blocks16(0x88, lba, blocks);

/** `forceUnitAccess`: durable before the status. SBC-3 5.34 */
export const write16 = (lba: number, blocks: number, forceUnitAccess = false): Buffer =>
  blocks16(0x8a, lba, blocks, forceUnitAccess ? 0x08 : 0);

/** Zero blocks: the whole medium. SBC-3 5.23 */
export const synchronizeCache16 = (lba = 0, blocks = 0): Buffer => blocks16(0x91, lba, blocks);

/** SBC-3 5.16 */
export function readCapacity16(): Buffer {
  const cdb = empty(0x9e);
  cdb.writeUInt8(0x10, 1);
  cdb.writeUInt32BE(32, 10);
  return cdb;
}

export function unmap(parameterBytes: number): Buffer {
  const cdb = empty(0x42);
  cdb.writeUInt16BE(parameterBytes, 7);
  return cdb;
}

/** SBC-3 5.28.2: the parameter list of UNMAP. */
export function unmapParameters(
  ranges: readonly { readonly lba: number; readonly blocks: number }[],
): Buffer {
  const list = Buffer.alloc(8 + 16 * ranges.length);
  list.writeUInt16BE(list.length - 2, 0);
  list.writeUInt16BE(16 * ranges.length, 2);
  for (const [index, { lba, blocks }] of ranges.entries()) {
    list.writeBigUInt64BE(BigInt(lba), 8 + 16 * index);
    list.writeUInt32BE(blocks, 16 + 16 * index);
  }
  return list;
}
