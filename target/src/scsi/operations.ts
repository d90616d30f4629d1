/**
 * The operation code table: the one place that says which commands there are. Dispatch, the check
 * of reserved bits, REPORT SUPPORTED OPERATION CODES, reservation conflicts and the length of
 * Data-Out all come from it.
 */
import { defineOperation, type Operation } from './operation.ts';
import { SBC_OPERATIONS } from './sbc-operations.ts';
import { SPC_OPERATIONS } from './spc-operations.ts';
import { reportSupportedOperations, type OperationCatalogue } from './supported-operations.ts';

const SERVICE_ACTION_MASK = 0x1f;

/** Lists the table that it is itself a row of. */
const REPORT_SUPPORTED_OPERATIONS = defineOperation(
  'REPORT SUPPORTED OPERATION CODES',
  'a3 0c 87 ff ff ff ff ff ff ff 00 00',
  0x0c,
  (command) => reportSupportedOperations(command, CATALOGUE),
  { reservation: 'read' },
);

export const OPERATIONS: readonly Operation[] = [
  ...SPC_OPERATIONS,
  ...SBC_OPERATIONS,
  REPORT_SUPPORTED_OPERATIONS,
].sort((a, b) => a.opcode - b.opcode || (a.serviceAction ?? 0) - (b.serviceAction ?? 0));

type Slot = Operation | Map<number, Operation> | null;

function buildSlots(operations: readonly Operation[]): Slot[] {
  const slots = new Array<Slot>(256).fill(null);
  for (const operation of operations) {
    const { opcode, serviceAction } = operation;
    if (serviceAction === null) {
      slots[opcode] = operation;
      continue;
    }
    const slot = slots[opcode];
    if (slot instanceof Map) slot.set(serviceAction, operation);
    else slots[opcode] = new Map([[serviceAction, operation]]);
  }
  return slots;
}

const SLOTS = buildSlots(OPERATIONS);

const CATALOGUE: OperationCatalogue = {
  operations: OPERATIONS,
  hasServiceActions,
  find(opcode, serviceAction) {
    const slot = SLOTS[opcode] ?? null;
    return slot instanceof Map ? (slot.get(serviceAction) ?? null) : slot;
  },
};

/** Null when there is no such operation code, or no such service action of it. */
export function findOperation(cdb: Uint8Array): Operation | null {
  const slot = SLOTS[cdb[0] ?? 0] ?? null;
  if (!(slot instanceof Map)) return slot;
  return slot.get((cdb[1] ?? 0) & SERVICE_ACTION_MASK) ?? null;
}

export function hasServiceActions(opcode: number): boolean {
  return SLOTS[opcode] instanceof Map;
}
