/** Persistent reservations as the document that the replicas keep: JSON, with a version. */
import {
  isReservationType,
  NO_RESERVATIONS,
  type Registration,
  type ReservationState,
} from './reservations.ts';
import { portKey } from './nexus.ts';

/** 1: the first. */
const DOCUMENT_VERSION = 1;

/** Without APTPL the document says that there is nothing to restore. SPC-4 5.12.5 */
export function encodeReservations(state: ReservationState): Uint8Array {
  const kept = state.persistent ? state : NO_RESERVATIONS;
  return new TextEncoder().encode(
    JSON.stringify({
      version: DOCUMENT_VERSION,
      persistent: kept.persistent,
      registrations: kept.registrations.map((registration) => ({
        initiatorName: registration.initiatorName,
        isid: registration.isid,
        portalGroupTag: registration.portalGroupTag,
        key: registration.key.toString(16),
      })),
      reservation: kept.reservation,
    }),
  );
}

/** Throws with what is wrong: reservations that cannot be read must not be taken for none. */
export function decodeReservations(content: Uint8Array): ReservationState {
  const document: unknown = JSON.parse(new TextDecoder().decode(content));
  if (!isRecord(document) || document['version'] !== DOCUMENT_VERSION) {
    throw new Error(
      `the reservations document is not of version ${DOCUMENT_VERSION}; run a target that knows it`,
    );
  }
  const { persistent, registrations, reservation } = document;
  if (typeof persistent !== 'boolean' || !Array.isArray(registrations)) throw damaged('its fields');
  const decoded = registrations.map(decodeRegistration);
  return {
    generation: 0,
    persistent,
    registrations: decoded,
    reservation: decodeHeld(reservation, decoded),
  };
}

function decodeRegistration(value: unknown): Registration {
  if (!isRecord(value)) throw damaged('a registration');
  const { initiatorName, isid, portalGroupTag, key } = value;
  if (
    typeof initiatorName !== 'string' ||
    typeof isid !== 'string' ||
    typeof portalGroupTag !== 'number' ||
    typeof key !== 'string' ||
    !/^[0-9a-f]{1,16}$/u.test(key)
  ) {
    throw damaged('a registration');
  }
  return {
    initiatorName,
    isid,
    portalGroupTag,
    portKey: portKey(initiatorName, isid, portalGroupTag),
    key: BigInt(`0x${key}`),
  };
}

function decodeHeld(
  value: unknown,
  registrations: readonly Registration[],
): ReservationState['reservation'] {
  if (value === null) return null;
  if (!isRecord(value)) throw damaged('the reservation');
  const { type, holder } = value;
  if (typeof type !== 'number' || !isReservationType(type)) throw damaged('the reservation type');
  if (holder === null) return { type, holder };
  const known = registrations.find((registration) => registration.portKey === holder);
  if (known === undefined) throw damaged('the holder of the reservation');
  return { type, holder: known.portKey };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function damaged(what: string): Error {
  return new Error(`the reservations document is damaged: ${what} cannot be understood`);
}
