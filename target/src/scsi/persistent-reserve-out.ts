/** PERSISTENT RESERVE OUT. SPC-4 6.16 */
import { VolumeError } from '../volume.ts';
import { gather, readU16, readU32 } from './cdb.ts';
import type { Command } from './command.ts';
import { portKey } from './nexus.ts';
import {
  clear,
  isReservationType,
  preempt,
  register,
  registerAndMove,
  release,
  reserve,
  type PortIdentity,
  type ReservationState,
  type ReservationStep,
  type ReservationType,
} from './reservations.ts';
import { Asc, SenseKey } from './sense.ts';
import { ScsiStatus } from './task.ts';
import { decodeTransportId } from './transport-id.ts';

/** SPC-4 6.16.3: the basic parameter list. */
const BASIC_BYTES = 24;
/** With one TransportID of the longest name. SPC-4 6.16.4, 7.6.4.6 */
const MAX_LIST_BYTES = 512;
/** Byte 20 of the basic list. */
const SPEC_I_PT = 0x08;
const ALL_TG_PT = 0x04;
const APTPL = 0x01;

export function reserveOutBytes(cdb: Uint8Array): number {
  const length = readU32(cdb, 5);
  return length > MAX_LIST_BYTES ? 0 : length;
}

interface BasicList {
  readonly key: bigint;
  readonly serviceActionKey: bigint;
  readonly persistent: boolean;
}

function readKey(bytes: Uint8Array, at: number): bigint {
  return (BigInt(readU32(bytes, at)) << 32n) | BigInt(readU32(bytes, at + 4));
}

/** Answers the command and gives null when the list cannot be taken. SPC-4 6.16.3 */
function basicList(command: Command, registers: boolean): BasicList | null {
  const { cdb } = command;
  const length = readU32(cdb, 5);
  command.transferBytes = reserveOutBytes(cdb);
  if (length !== BASIC_BYTES || command.dataOutBytes < BASIC_BYTES) {
    command.parameterListLengthError();
    return null;
  }
  const list = gather(command.dataOut, BASIC_BYTES);
  const flags = list[20] ?? 0;
  if (registers && (flags & (SPEC_I_PT | ALL_TG_PT)) !== 0) {
    command.invalidParameter(20, (flags & SPEC_I_PT) !== 0 ? 3 : 2);
    return null;
  }
  return {
    key: readKey(list, 0),
    serviceActionKey: readKey(list, 8),
    persistent: (flags & APTPL) !== 0,
  };
}

/**
 * Answers the command and gives null for a scope or type that there is not. SPC-4 table 63, table
 * 62
 */
function reservationType(command: Command): ReservationType | null {
  const byte = command.cdb[2] ?? 0;
  if (byte >>> 4 !== 0) {
    command.invalidCdbField(2, 7);
    return null;
  }
  const type = byte & 0x0f;
  if (isReservationType(type)) return type;
  command.invalidCdbField(2, 3);
  return null;
}

export function registerKey(command: Command): void {
  registerWith(command, false);
}

export function registerAndIgnoreExistingKey(command: Command): void {
  registerWith(command, true);
}

function registerWith(command: Command, ignoreExisting: boolean): void {
  const list = basicList(command, true);
  if (list === null) return;
  const { key, serviceActionKey, persistent } = list;
  change(command, (state) =>
    register(state, identity(command), key, serviceActionKey, { ignoreExisting, persistent }),
  );
}

export function reserveUnit(command: Command): void {
  const type = reservationType(command);
  if (type === null) return;
  const list = basicList(command, false);
  if (list === null) return;
  change(command, (state) => reserve(state, identity(command), list.key, type));
}

export function releaseUnit(command: Command): void {
  const type = reservationType(command);
  if (type === null) return;
  const list = basicList(command, false);
  if (list === null) return;
  change(command, (state) => release(state, identity(command), list.key, type));
}

export function clearReservations(command: Command): void {
  const list = basicList(command, false);
  if (list === null) return;
  change(command, (state) => clear(state, identity(command), list.key));
}

export function preemptReservation(command: Command): void {
  preemptWith(command, false);
}

export function preemptAndAbort(command: Command): void {
  preemptWith(command, true);
}

function preemptWith(command: Command, abort: boolean): void {
  const type = reservationType(command);
  if (type === null) return;
  const list = basicList(command, false);
  if (list === null) return;
  change(
    command,
    (state) => preempt(state, identity(command), list.key, list.serviceActionKey, type),
    abort,
  );
}

/** SPC-4 6.16.4: its list names the nexus to which the reservation goes. */
export function registerAndMoveReservation(command: Command): void {
  const { cdb } = command;
  const length = readU32(cdb, 5);
  command.transferBytes = reserveOutBytes(cdb);
  if (length <= BASIC_BYTES || length > MAX_LIST_BYTES || command.dataOutBytes < length) {
    command.parameterListLengthError();
    return;
  }
  const list = gather(command.dataOut, length);
  if (readU32(list, 20) !== length - BASIC_BYTES) {
    command.parameterListLengthError();
    return;
  }
  const decoded = decodeTransportId(list.subarray(BASIC_BYTES));
  const isid = decoded?.id.isid ?? null;
  // SPC-4 5.12.8: a TransportID that names every port of an initiator does not say where to.
  if (decoded === null || isid === null) {
    command.invalidParameter(BASIC_BYTES);
    return;
  }
  const { initiatorName } = decoded.id;
  const portalGroupTag = readU16(list, 18);
  const to: PortIdentity = {
    initiatorName,
    isid,
    portalGroupTag,
    portKey: portKey(initiatorName, isid, portalGroupTag),
  };
  const flags = list[17] ?? 0;
  const options = { unregister: (flags & 0x02) !== 0, persistent: (flags & APTPL) !== 0 };
  const key = readKey(list, 0);
  const serviceActionKey = readKey(list, 8);
  change(command, (state) =>
    registerAndMove(state, identity(command), key, serviceActionKey, to, options),
  );
}

function identity(command: Command): PortIdentity {
  const { nexus, portKey: key } = command.nexus;
  return {
    initiatorName: nexus.initiatorName,
    isid: nexus.isid,
    portalGroupTag: nexus.portalGroupTag,
    portKey: key,
  };
}

function change(
  command: Command,
  step: (state: ReservationState) => ReservationStep,
  abort = false,
): void {
  const { unit } = command;
  command.busy = true;
  unit.reservations.change(step, (taken, failure) => {
    command.busy = false;
    // The change is in force whether or not anyone waits for the answer.
    if (taken.kind === 'done' && failure === null) {
      for (const { portKey: key, asc } of taken.attentions) unit.attendPort(key, asc);
    }
    if (command.aborted) unit.taskEnded(command);
    else if (failure !== null) refuseUnkept(command, failure);
    else answer(command, taken, abort);
  });
}

function refuseUnkept(command: Command, failure: unknown): void {
  if (failure instanceof VolumeError) {
    command.fail(failure);
    return;
  }
  command.unit.log.error(
    { err: failure },
    'persistent reservations could not be kept by the replicas; the change was refused',
  );
  command.check(SenseKey.hardwareError, Asc.internalTargetFailure);
}

function answer(command: Command, step: ReservationStep, abort: boolean): void {
  switch (step.kind) {
    case 'conflict':
      command.status(ScsiStatus.reservationConflict);
      return;
    case 'refused':
      if (step.asc === Asc.invalidFieldInParameterList) command.invalidParameter(8);
      else command.check(SenseKey.illegalRequest, step.asc);
      return;
    case 'done':
      if (!abort || step.preempted.length === 0) {
        command.good();
        return;
      }
      // SPC-4 5.12.11.5: answered when the tasks of the preempted nexuses have ended.
      command.busy = true;
      command.unit.abortTasksOf(step.preempted, command, () => {
        command.busy = false;
        if (command.aborted) command.unit.taskEnded(command);
        else command.good();
      });
  }
}
