/**
 * Persistent reservations: a pure state machine. SPC-4 5.12
 *
 * A state is never changed: each service action gives the next one, which becomes the unit's when
 * it is durable (or at once where it need not be).
 *
 *            REGISTER            RESERVE
 *   nothing ----------> registered ----------> reserved
 *      ^                   |  ^                   |
 *      |   last key goes   |  |  RELEASE, holder's key goes
 *      +-------------------+  +-------------------+
 *      ^                                          |
 *      +------------------ CLEAR -----------------+      PREEMPT: keys go, the reservation may move
 */
import { SCSI_LIMITS } from '../limits.ts';
import { Asc } from './sense.ts';

/** SPC-4 table 62 */
export const ReservationType = {
  writeExclusive: 0x1,
  exclusiveAccess: 0x3,
  writeExclusiveRegistrantsOnly: 0x5,
  exclusiveAccessRegistrantsOnly: 0x6,
  writeExclusiveAllRegistrants: 0x7,
  exclusiveAccessAllRegistrants: 0x8,
} as const;
export type ReservationType = (typeof ReservationType)[keyof typeof ReservationType];

const TYPES: ReadonlySet<number> = new Set(Object.values(ReservationType));

export function isReservationType(type: number): type is ReservationType {
  return TYPES.has(type);
}

/** SPC-4 5.12.10.4: every registered nexus holds the reservation. */
export function isAllRegistrants(type: ReservationType): boolean {
  return (
    type === ReservationType.writeExclusiveAllRegistrants ||
    type === ReservationType.exclusiveAccessAllRegistrants
  );
}

export function isWriteExclusive(type: ReservationType): boolean {
  return (
    type === ReservationType.writeExclusive ||
    type === ReservationType.writeExclusiveRegistrantsOnly ||
    type === ReservationType.writeExclusiveAllRegistrants
  );
}

/** Registered nexuses have access, holder or not. */
export function admitsRegistrants(type: ReservationType): boolean {
  return type !== ReservationType.writeExclusive && type !== ReservationType.exclusiveAccess;
}

/** An I_T nexus by names, so that it outlives its session. */
export interface PortIdentity {
  readonly initiatorName: string;
  readonly isid: string;
  readonly portalGroupTag: number;
  /** All three in one string: what identities are compared by. */
  readonly portKey: string;
}

export interface Registration extends PortIdentity {
  readonly key: bigint;
}

export interface ReservationState {
  /** PRGENERATION: not kept over a restart. SPC-4 6.15.2 */
  readonly generation: number;
  /** Persist through power loss. SPC-4 5.12.5 */
  readonly persistent: boolean;
  readonly registrations: readonly Registration[];
  /** `holder` is the port key of the one nexus that holds it; null where all registrants do. */
  readonly reservation: { readonly type: ReservationType; readonly holder: string | null } | null;
}

export const NO_RESERVATIONS: ReservationState = {
  generation: 0,
  persistent: false,
  registrations: [],
  reservation: null,
};

/** What a service action does: the next state and whom to tell, or why not. */
export type ReservationStep =
  | {
      readonly kind: 'done';
      readonly state: ReservationState;
      readonly attentions: readonly { readonly portKey: string; readonly asc: number }[];
      /** PREEMPT AND ABORT: the nexuses whose tasks are aborted. */
      readonly preempted: readonly string[];
    }
  | { readonly kind: 'conflict' }
  | { readonly kind: 'refused'; readonly asc: number };

type Attention = { readonly portKey: string; readonly asc: number };

const CONFLICT: ReservationStep = { kind: 'conflict' };

function done(
  state: ReservationState,
  attentions: readonly Attention[] = [],
  preempted: readonly string[] = [],
): ReservationStep {
  return { kind: 'done', state, attentions, preempted };
}

function nextGeneration(state: ReservationState): number {
  return (state.generation + 1) >>> 0;
}

export function registrationOf(state: ReservationState, portKey: string): Registration | null {
  return state.registrations.find((registration) => registration.portKey === portKey) ?? null;
}

export function holds(state: ReservationState, portKey: string): boolean {
  const { reservation } = state;
  if (reservation === null) return false;
  if (reservation.holder !== null) return reservation.holder === portKey;
  return registrationOf(state, portKey) !== null;
}

/** REGISTER, and with `ignoreExisting` REGISTER AND IGNORE EXISTING KEY. SPC-4 5.12.7 */
export function register(
  state: ReservationState,
  from: PortIdentity,
  key: bigint,
  serviceActionKey: bigint,
  options: { readonly ignoreExisting: boolean; readonly persistent: boolean },
): ReservationStep {
  const existing = registrationOf(state, from.portKey);
  // SPC-4 table 58: a nexus that is not registered registers with key zero.
  if (!options.ignoreExisting && key !== (existing?.key ?? 0n)) return CONFLICT;
  const { persistent } = options;
  const generation = nextGeneration(state);
  if (serviceActionKey === 0n) {
    if (existing === null) return done(state);
    return unregister({ ...state, generation, persistent }, from.portKey);
  }
  const registration: Registration = {
    initiatorName: from.initiatorName,
    isid: from.isid,
    portalGroupTag: from.portalGroupTag,
    portKey: from.portKey,
    key: serviceActionKey,
  };
  if (existing === null && state.registrations.length >= SCSI_LIMITS.registrations) {
    return { kind: 'refused', asc: Asc.insufficientRegistrationResources };
  }
  const registrations =
    existing === null
      ? [...state.registrations, registration]
      : state.registrations.map((other) => (other === existing ? registration : other));
  return done({ ...state, generation, persistent, registrations });
}

/** SPC-4 5.12.11.2: the reservation goes with its holder's registration, or with the last one. */
function unregister(state: ReservationState, portKey: string): ReservationStep {
  const wasHolder = holds(state, portKey);
  const registrations = state.registrations.filter((other) => other.portKey !== portKey);
  const { reservation } = state;
  const released =
    reservation !== null &&
    wasHolder &&
    (!isAllRegistrants(reservation.type) || registrations.length === 0);
  if (!released) return done({ ...state, registrations });
  // Only registrants-only types tell the others. SPC-4 5.12.11.2.1
  const attentions = admitsRegistrants(reservation.type)
    ? tell(registrations, Asc.reservationsReleased)
    : [];
  return done({ ...state, registrations, reservation: null }, attentions);
}

function tell(to: readonly Registration[], asc: number): Attention[] {
  return to.map((registration) => ({ portKey: registration.portKey, asc }));
}

/** SPC-4 5.12.9 */
export function reserve(
  state: ReservationState,
  from: PortIdentity,
  key: bigint,
  type: ReservationType,
): ReservationStep {
  const registration = registrationOf(state, from.portKey);
  if (registration?.key !== key) return CONFLICT;
  const { reservation } = state;
  if (reservation !== null) {
    // The holder may ask again for what it has; anything else conflicts.
    return holds(state, from.portKey) && reservation.type === type ? done(state) : CONFLICT;
  }
  const holder = isAllRegistrants(type) ? null : from.portKey;
  return done({ ...state, reservation: { type, holder } });
}

/** SPC-4 5.12.11.1 */
export function release(
  state: ReservationState,
  from: PortIdentity,
  key: bigint,
  type: ReservationType,
): ReservationStep {
  const registration = registrationOf(state, from.portKey);
  if (registration?.key !== key) return CONFLICT;
  const { reservation } = state;
  // Without a reservation, or one held by another nexus, it does nothing and is GOOD.
  if (reservation === null || !holds(state, from.portKey)) return done(state);
  if (reservation.type !== type) return { kind: 'refused', asc: Asc.invalidReleaseOfReservation };
  const others = state.registrations.filter((other) => other.portKey !== from.portKey);
  const attentions = admitsRegistrants(type) ? tell(others, Asc.reservationsReleased) : [];
  return done({ ...state, reservation: null }, attentions);
}

/** SPC-4 5.12.11.3 */
export function clear(state: ReservationState, from: PortIdentity, key: bigint): ReservationStep {
  const registration = registrationOf(state, from.portKey);
  if (registration?.key !== key) return CONFLICT;
  const others = state.registrations.filter((other) => other.portKey !== from.portKey);
  return done(
    { ...state, generation: nextGeneration(state), registrations: [], reservation: null },
    tell(others, Asc.reservationsPreempted),
  );
}

/** PREEMPT and PREEMPT AND ABORT. SPC-4 5.12.11.4, 5.12.11.5 */
export function preempt(
  state: ReservationState,
  from: PortIdentity,
  key: bigint,
  serviceActionKey: bigint,
  type: ReservationType,
): ReservationStep {
  const own = registrationOf(state, from.portKey);
  if (own?.key !== key) return CONFLICT;
  const { reservation } = state;
  const generation = nextGeneration(state);
  const allHold = reservation?.holder === null;
  if (serviceActionKey === 0n) {
    // Only an all registrants reservation is preempted by key zero: every other registration goes.
    if (!allHold) return { kind: 'refused', asc: Asc.invalidFieldInParameterList };
    return takeOver(state, own, type, generation, (other) => other.portKey !== own.portKey);
  }
  const matching = state.registrations.filter((other) => other.key === serviceActionKey);
  const preemptsHolder =
    reservation !== null &&
    !allHold &&
    matching.some((other) => other.portKey === reservation.holder);
  if (preemptsHolder) {
    return takeOver(
      state,
      own,
      type,
      generation,
      (other) => other.key === serviceActionKey && other.portKey !== own.portKey,
    );
  }
  // SPC-4 5.12.11.4.3: only registrations go; a key that nobody has is a conflict.
  if (matching.length === 0) return CONFLICT;
  const registrations = state.registrations.filter((other) => other.key !== serviceActionKey);
  const gone = matching.filter((other) => other.portKey !== own.portKey);
  const emptied = allHold && registrations.length === 0;
  return done(
    { ...state, generation, registrations, reservation: emptied ? null : reservation },
    tell(gone, Asc.registrationsPreempted),
    matching.map((other) => other.portKey),
  );
}

/**
 * The reservation is released and made again for the preempting nexus; the registrations that
 * `goes` names are removed.
 */
function takeOver(
  state: ReservationState,
  own: Registration,
  type: ReservationType,
  generation: number,
  goes: (registration: Registration) => boolean,
): ReservationStep {
  const gone = state.registrations.filter(goes);
  const registrations = state.registrations.filter((other) => !goes(other));
  const attentions = tell(gone, Asc.registrationsPreempted);
  // SPC-4 5.12.11.4.2 e): where the type changes, those that stay registered are told of the
  // release.
  if (state.reservation?.type !== type) {
    const staying = registrations.filter((other) => other.portKey !== own.portKey);
    attentions.push(...tell(staying, Asc.reservationsReleased));
  }
  const holder = isAllRegistrants(type) ? null : own.portKey;
  return done(
    { ...state, generation, registrations, reservation: { type, holder } },
    attentions,
    gone.map((other) => other.portKey),
  );
}

/** REGISTER AND MOVE. SPC-4 5.12.8 */
export function registerAndMove(
  state: ReservationState,
  from: PortIdentity,
  key: bigint,
  serviceActionKey: bigint,
  to: PortIdentity,
  options: { readonly unregister: boolean; readonly persistent: boolean },
): ReservationStep {
  const own = registrationOf(state, from.portKey);
  if (own?.key !== key) return CONFLICT;
  const { reservation } = state;
  if (reservation === null || !holds(state, from.portKey)) return CONFLICT;
  // SPC-4 5.12.8: an all registrants reservation has nobody to move from; the key must not be zero,
  // nor the target oneself.
  if (isAllRegistrants(reservation.type)) return CONFLICT;
  if (serviceActionKey === 0n || to.portKey === from.portKey) {
    return { kind: 'refused', asc: Asc.invalidFieldInParameterList };
  }
  const kept = state.registrations.filter(
    (other) => other.portKey !== to.portKey && !(options.unregister && other === own),
  );
  if (kept.length >= SCSI_LIMITS.registrations) {
    return { kind: 'refused', asc: Asc.insufficientRegistrationResources };
  }
  const moved: Registration = {
    initiatorName: to.initiatorName,
    isid: to.isid,
    portalGroupTag: to.portalGroupTag,
    portKey: to.portKey,
    key: serviceActionKey,
  };
  return done({
    generation: nextGeneration(state),
    persistent: options.persistent,
    registrations: [...kept, moved],
    reservation: { type: reservation.type, holder: to.portKey },
  });
}

/** Whether the reservation lets this nexus run a command of this class. SPC-4 table 66 */
export function allows(
  state: ReservationState,
  portKey: string,
  access: 'read' | 'write',
): boolean {
  const { reservation } = state;
  if (reservation === null) return true;
  if (reservation.holder === portKey) return true;
  if (access === 'read' && isWriteExclusive(reservation.type)) return true;
  return admitsRegistrants(reservation.type) && registrationOf(state, portKey) !== null;
}
