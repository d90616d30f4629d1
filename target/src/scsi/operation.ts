/** The shape of a row of the operation code table. */
import type { Command } from './command.ts';
import type { LogicalUnit } from './logical-unit.ts';

/**
 * How a reservation of another nexus treats the command. SPC-4 table 66, SBC-3 table 13
 * - always: allowed whatever is reserved.
 * - read: allowed under Write Exclusive types.
 * - write: conflicts with every type.
 */
export type ReservationClass = 'always' | 'read' | 'write';

export interface Operation {
  readonly name: string;
  readonly opcode: number;
  /** Null where the operation code has no service actions. */
  readonly serviceAction: number | null;
  /**
   * CDB usage data: every bit that is evaluated or ignored; a bit outside of it is refused. SPC-4
   * 6.35.3
   */
  readonly usage: Uint8Array;
  readonly reservation: ReservationClass;
  /** Fields that make the command allowed in spite of its class. */
  readonly admitted: ((cdb: Uint8Array) => boolean) | null;
  /** Allowed while another nexus holds the unit by RESERVE(6). SPC-2 table 10 */
  readonly allowedUnderReserve6: boolean;
  /** Does not report a unit attention condition. SPC-4 5.14.1 */
  readonly sparesAttention: boolean;
  /** Needs the unit to be started and its volume to be there. */
  readonly accessesMedium: boolean;
  /** Refused while software write protect is on. SPC-4 7.5.10 */
  readonly writes: boolean;
  /** Data-Out that the CDB asks for, within the limits; null: none ever. */
  readonly dataOutBytes: ((cdb: Uint8Array) => number) | null;
  /** Not everything can be done on every volume; null: it can. */
  readonly offered: ((unit: LogicalUnit) => boolean) | null;
  readonly run: (command: Command) => void;
}

export interface OperationTraits {
  readonly reservation?: ReservationClass;
  readonly admitted?: (cdb: Uint8Array) => boolean;
  readonly allowedUnderReserve6?: boolean;
  readonly sparesAttention?: boolean;
  readonly accessesMedium?: boolean;
  readonly writes?: boolean;
  readonly dataOutBytes?: (cdb: Uint8Array) => number;
  readonly offered?: (unit: LogicalUnit) => boolean;
}

/** `usage` is hexadecimal, its first byte the operation code. */
export function defineOperation(
  name: string,
  usage: string,
  serviceAction: number | null,
  run: (command: Command) => void,
  traits: OperationTraits = {},
): Operation {
  const mask = Uint8Array.from(usage.split(' '), (byte) => Number.parseInt(byte, 16));
  return {
    name,
    opcode: mask[0] ?? 0,
    serviceAction,
    usage: mask,
    reservation: traits.reservation ?? 'always',
    admitted: traits.admitted ?? null,
    allowedUnderReserve6: traits.allowedUnderReserve6 ?? false,
    sparesAttention: traits.sparesAttention ?? false,
    accessesMedium: traits.accessesMedium ?? false,
    writes: traits.writes ?? false,
    dataOutBytes: traits.dataOutBytes ?? null,
    offered: traits.offered ?? null,
    run,
  };
}
