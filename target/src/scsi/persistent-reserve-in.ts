/** PERSISTENT RESERVE IN. SPC-4 6.15 */
import { readU16, writeU16, writeU32 } from './cdb.ts';
import type { Command } from './command.ts';
import { holds, type ReservationState, ReservationType } from './reservations.ts';
import { encodeTransportId } from './transport-id.ts';

const HEADER_BYTES = 8;

function header(state: ReservationState, contentBytes: number): Uint8Array {
  const data = new Uint8Array(HEADER_BYTES + contentBytes);
  writeU32(data, 0, state.generation);
  writeU32(data, 4, contentBytes);
  return data;
}

function writeKey(data: Uint8Array, at: number, key: bigint): void {
  writeU32(data, at, Number(key >> 32n));
  writeU32(data, at + 4, Number(key & 0xffff_ffffn));
}

function answer(command: Command, data: Uint8Array): void {
  command.goodWithData(data, readU16(command.cdb, 7));
}

/** SPC-4 6.15.2 */
export function readKeys(command: Command): void {
  const { state } = command.unit.reservations;
  const data = header(state, 8 * state.registrations.length);
  state.registrations.forEach(({ key }, i) => writeKey(data, HEADER_BYTES + 8 * i, key));
  answer(command, data);
}

/** SPC-4 6.15.3 */
export function readReservation(command: Command): void {
  const { state } = command.unit.reservations;
  const { reservation } = state;
  if (reservation === null) {
    answer(command, header(state, 0));
    return;
  }
  const data = header(state, 16);
  const holder = state.registrations.find(({ portKey }) => portKey === reservation.holder);
  // An all registrants reservation has no one holder: its key is zero.
  writeKey(data, 8, holder?.key ?? 0n);
  data[21] = reservation.type;
  answer(command, data);
}

/** SPC-4 6.15.4 */
export function reportCapabilities(command: Command): void {
  const data = new Uint8Array(8);
  writeU16(data, 0, data.length);
  // PTPL_C: reservations can persist through a loss of power. No SPEC_I_PT, no ALL_TG_PT.
  data[2] = 0x01;
  // TMV: the type mask is valid; PTPL_A: such a reservation is in force.
  data[3] = 0x80 | (command.unit.reservations.state.persistent ? 0x01 : 0x00);
  data[4] = typeMask([
    ReservationType.writeExclusive,
    ReservationType.exclusiveAccess,
    ReservationType.writeExclusiveRegistrantsOnly,
    ReservationType.exclusiveAccessRegistrantsOnly,
    ReservationType.writeExclusiveAllRegistrants,
  ]);
  // EX_AC_AR
  data[5] = 0x01;
  answer(command, data);
}

/** Byte 4 has a bit for each type, by its number. SPC-4 table 189 */
function typeMask(types: readonly number[]): number {
  return types.reduce((mask, type) => mask | (1 << type), 0);
}

/** SPC-4 6.15.5 */
export function readFullStatus(command: Command): void {
  const { state } = command.unit.reservations;
  const descriptors = state.registrations.map((registration) => {
    const transportId = encodeTransportId(registration.initiatorName, registration.isid);
    const descriptor = new Uint8Array(24 + transportId.length);
    writeKey(descriptor, 0, registration.key);
    if (state.reservation !== null && holds(state, registration.portKey)) {
      descriptor[12] = 0x01;
      descriptor[13] = state.reservation.type;
    }
    writeU16(descriptor, 18, registration.portalGroupTag);
    writeU32(descriptor, 20, transportId.length);
    descriptor.set(transportId, 24);
    return descriptor;
  });
  const data = header(
    state,
    descriptors.reduce((total, descriptor) => total + descriptor.length, 0),
  );
  let at = HEADER_BYTES;
  for (const descriptor of descriptors) {
    data.set(descriptor, at);
    at += descriptor.length;
  }
  answer(command, data);
}
