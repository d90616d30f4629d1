/**
 * The operation code table: the one place that says which commands there are. Dispatch, the check of reserved bits,
 * REPORT SUPPORTED OPERATION CODES, reservation conflicts and the length of Data-Out all come from it.
 */
import { requestSense, testUnitReady } from './basic.ts';
import { readCapacity10, readCapacity16 } from './capacity.ts';
import { readU16 } from './cdb.ts';
import { inquiry } from './inquiry.ts';
import { transferBytesOf } from './media-range.ts';
import { modeSelect10, modeSelect6, modeSense10, modeSense6 } from './mode.ts';
import { defineOperation, type Operation, type OperationTraits } from './operation.ts';
import { read, write, writeAtomic16, writeAtomicBytes } from './read-write.ts';
import { reportLuns } from './report-luns.ts';
import { synchronizeCache } from './synchronize-cache.ts';

const ALWAYS: OperationTraits = { reservation: 'always' };
const IDENTIFIES: OperationTraits = {
  reservation: 'always',
  allowedUnderReserve6: true,
  sparesAttention: true,
};
const READS: OperationTraits = { reservation: 'read', accessesMedium: true };
const WRITES: OperationTraits = {
  reservation: 'write',
  accessesMedium: true,
  writes: true,
  dataOutBytes: transferBytesOf,
};
const MODE_SENSE: OperationTraits = { reservation: 'read' };

export const OPERATIONS: readonly Operation[] = [
  defineOperation('TEST UNIT READY', '00 00 00 00 00 00', null, testUnitReady, {
    ...ALWAYS,
    accessesMedium: true,
  }),
  defineOperation('REQUEST SENSE', '03 01 00 00 ff 00', null, requestSense, IDENTIFIES),
  defineOperation('READ (6)', '08 1f ff ff ff 00', null, read, READS),
  defineOperation('WRITE (6)', '0a 1f ff ff ff 00', null, write, WRITES),
  defineOperation('INQUIRY', '12 01 ff ff ff 00', null, inquiry, IDENTIFIES),
  defineOperation('MODE SELECT (6)', '15 10 00 00 ff 00', null, modeSelect6, {
    reservation: 'write',
    dataOutBytes: (cdb) => cdb[4] ?? 0,
  }),
  defineOperation('MODE SENSE (6)', '1a 08 ff ff ff 00', null, modeSense6, MODE_SENSE),
  defineOperation('READ CAPACITY (10)', '25 00 ff ff ff ff 00 00 00 00', null, readCapacity10, {
    ...ALWAYS,
    allowedUnderReserve6: true,
    accessesMedium: true,
  }),
  defineOperation('READ (10)', '28 1a ff ff ff ff 1f ff ff 00', null, read, READS),
  defineOperation('WRITE (10)', '2a 1a ff ff ff ff 1f ff ff 00', null, write, WRITES),
  defineOperation(
    'SYNCHRONIZE CACHE (10)',
    '35 06 ff ff ff ff 1f ff ff 00',
    null,
    synchronizeCache,
    { reservation: 'write', accessesMedium: true },
  ),
  defineOperation('MODE SELECT (10)', '55 10 00 00 00 00 00 ff ff 00', null, modeSelect10, {
    reservation: 'write',
    dataOutBytes: (cdb) => readU16(cdb, 7),
  }),
  defineOperation(
    'MODE SENSE (10)',
    '5a 18 ff ff 00 00 00 ff ff 00',
    null,
    modeSense10,
    MODE_SENSE,
  ),
  defineOperation(
    'READ (16)',
    '88 1a ff ff ff ff ff ff ff ff ff ff ff ff 1f 00',
    null,
    read,
    READS,
  ),
  defineOperation(
    'WRITE (16)',
    '8a 1a ff ff ff ff ff ff ff ff ff ff ff ff 1f 00',
    null,
    write,
    WRITES,
  ),
  defineOperation(
    'SYNCHRONIZE CACHE (16)',
    '91 06 ff ff ff ff ff ff ff ff ff ff ff ff 1f 00',
    null,
    synchronizeCache,
    { reservation: 'write', accessesMedium: true },
  ),
  defineOperation(
    'WRITE ATOMIC (16)',
    '9c 18 ff ff ff ff ff ff ff ff ff ff ff ff 1f 00',
    null,
    writeAtomic16,
    { ...WRITES, dataOutBytes: writeAtomicBytes },
  ),
  defineOperation(
    'READ CAPACITY (16)',
    '9e 10 ff ff ff ff ff ff ff ff ff ff ff ff 00 00',
    0x10,
    readCapacity16,
    { ...ALWAYS, accessesMedium: true },
  ),
  defineOperation(
    'REPORT LUNS',
    'a0 00 ff 00 00 00 ff ff ff ff 00 00',
    null,
    reportLuns,
    IDENTIFIES,
  ),
  defineOperation('READ (12)', 'a8 1a ff ff ff ff ff ff ff ff 1f 00', null, read, READS),
  defineOperation('WRITE (12)', 'aa 1a ff ff ff ff ff ff ff ff 1f 00', null, write, WRITES),
];

type Slot = Operation | Map<number, Operation> | null;

const SERVICE_ACTION_MASK = 0x1f;

function buildSlots(operations: readonly Operation[]): Slot[] {
  const slots = new Array<Slot>(256).fill(null);
  const groups = new Map<number, Map<number, Operation>>();
  for (const operation of operations) {
    const { opcode, serviceAction } = operation;
    if (serviceAction === null) {
      slots[opcode] = operation;
      continue;
    }
    const group = groups.get(opcode) ?? new Map<number, Operation>();
    group.set(serviceAction, operation);
    groups.set(opcode, group);
    slots[opcode] = group;
  }
  return slots;
}

const SLOTS = buildSlots(OPERATIONS);

/** Null when there is no such operation code, or no such service action of it. */
export function findOperation(cdb: Uint8Array): Operation | null {
  const slot = SLOTS[cdb[0] ?? 0] ?? null;
  if (!(slot instanceof Map)) return slot;
  return slot.get((cdb[1] ?? 0) & SERVICE_ACTION_MASK) ?? null;
}

export function hasServiceActions(opcode: number): boolean {
  return SLOTS[opcode] instanceof Map;
}
