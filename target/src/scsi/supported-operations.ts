/** REPORT SUPPORTED OPERATION CODES and TASK MANAGEMENT FUNCTIONS. SPC-4 6.35, 6.36 */
import { readU16, readU32, writeU16, writeU32 } from './cdb.ts';
import type { Command } from './command.ts';
import type { Operation } from './operation.ts';

/** REPORTING OPTIONS. SPC-4 table 289 */
const Options = { all: 0, opcode: 1, serviceAction: 2, either: 3 } as const;
const RCTD = 0x80;
const TIMEOUTS_BYTES = 12;
/** Zero: no time is indicated. SPC-4 6.35.4 */
const NO_TIMEOUT = 0;

/** What the table offers; handed in, because the table itself holds this command. */
export interface OperationCatalogue {
  readonly operations: readonly Operation[];
  hasServiceActions(opcode: number): boolean;
  find(opcode: number, serviceAction: number): Operation | null;
}

export function reportSupportedOperations(command: Command, catalogue: OperationCatalogue): void {
  const { cdb } = command;
  const timeouts = ((cdb[2] ?? 0) & RCTD) !== 0;
  const options = (cdb[2] ?? 0) & 0x07;
  const opcode = cdb[3] ?? 0;
  const serviceAction = readU16(cdb, 4);
  const allocationLength = readU32(cdb, 6);
  const grouped = catalogue.hasServiceActions(opcode);
  switch (options) {
    case Options.all:
      command.goodWithData(
        allCommands(
          catalogue.operations.filter((each) => each.offered?.(command.unit) !== false),
          timeouts,
        ),
        allocationLength,
      );
      return;
    case Options.opcode:
      // SPC-4 6.35.1: these two are for operation codes without and with service actions.
      if (grouped) {
        command.invalidCdbField(2, 2);
        return;
      }
      break;
    case Options.serviceAction:
      if (!grouped) {
        command.invalidCdbField(2, 2);
        return;
      }
      break;
    case Options.either:
      break;
    default:
      command.invalidCdbField(2, 2);
      return;
  }
  // With option 011b a service action of an operation code that has none must be zero.
  const wanted =
    options === Options.either && !grouped && serviceAction !== 0
      ? null
      : catalogue.find(opcode, serviceAction);
  const isOffered = wanted?.offered?.(command.unit) !== false;
  command.goodWithData(oneCommand(isOffered ? wanted : null, timeouts), allocationLength);
}

/** SPC-4 6.35.2 */
function allCommands(operations: readonly Operation[], timeouts: boolean): Uint8Array {
  const each = 8 + (timeouts ? TIMEOUTS_BYTES : 0);
  const data = new Uint8Array(4 + each * operations.length);
  writeU32(data, 0, data.length - 4);
  operations.forEach((operation, i) => {
    const at = 4 + each * i;
    data[at] = operation.opcode;
    writeU16(data, at + 2, operation.serviceAction ?? 0);
    data[at + 5] = (timeouts ? 0x02 : 0x00) | (operation.serviceAction === null ? 0x00 : 0x01);
    writeU16(data, at + 6, operation.usage.length);
    if (timeouts) writeTimeouts(data, at + 8);
  });
  return data;
}

/** SPC-4 6.35.3 */
function oneCommand(operation: Operation | null, timeouts: boolean): Uint8Array {
  if (operation === null) return Uint8Array.of(0x00, 0x01, 0x00, 0x00);
  const { usage } = operation;
  const data = new Uint8Array(4 + usage.length + (timeouts ? TIMEOUTS_BYTES : 0));
  // SUPPORT 011b: in conformance with a standard.
  data[1] = (timeouts ? 0x80 : 0x00) | 0x03;
  writeU16(data, 2, usage.length);
  data.set(usage, 4);
  if (timeouts) writeTimeouts(data, 4 + usage.length);
  return data;
}

function writeTimeouts(data: Uint8Array, at: number): void {
  writeU16(data, at, TIMEOUTS_BYTES - 2);
  writeU32(data, at + 4, NO_TIMEOUT);
  writeU32(data, at + 8, NO_TIMEOUT);
}

/** ABORT TASK, ABORT TASK SET, CLEAR TASK SET, LOGICAL UNIT RESET, TARGET RESET. SPC-4 6.36 */
const SUPPORTED_FUNCTIONS = 0x80 | 0x40 | 0x10 | 0x08 | 0x02;
const REPD = 0x80;

export function reportTaskManagement(command: Command): void {
  const { cdb } = command;
  const allocationLength = readU32(cdb, 6);
  if (allocationLength < 4) {
    command.invalidCdbField(6);
    return;
  }
  const extended = ((cdb[2] ?? 0) & REPD) !== 0;
  const data = new Uint8Array(extended ? 16 : 4);
  data[0] = SUPPORTED_FUNCTIONS;
  if (extended) data[3] = 12;
  command.goodWithData(data, allocationLength);
}
