import { expect } from 'chai';
import fc from 'fast-check';
import { decodeReservations, encodeReservations } from './reservation-document.ts';
import { portKey } from './nexus.ts';
import {
  admitsRegistrants,
  allows,
  clear,
  holds,
  isAllRegistrants,
  NO_RESERVATIONS,
  preempt,
  register,
  registerAndMove,
  registrationOf,
  release,
  reserve,
  ReservationType,
  type PortIdentity,
  type ReservationState,
  type ReservationStep,
} from './reservations.ts';
import { SCSI_LIMITS } from '../limits.ts';
import { Asc } from './sense.ts';

const TYPES = Object.values(ReservationType);

function port(name: string): PortIdentity {
  const fields = { initiatorName: `iqn.example:${name}`, isid: '400001370000', portalGroupTag: 1 };
  return { ...fields, portKey: portKey(fields.initiatorName, fields.isid, 1) };
}

const A = port('a');
const B = port('b');
const C = port('c');
const STRANGER = port('stranger');
const WITH_APTPL = { ignoreExisting: true, persistent: true };

function taken(step: ReservationStep): ReservationState {
  expect(step.kind).to.equal('done');
  return (step as ReservationStep & { kind: 'done' }).state;
}

function told(step: ReservationStep): string[] {
  const { attentions } = step as ReservationStep & { kind: 'done' };
  return attentions.map(({ portKey: key, asc }) => `${key.slice(12, 13)} ${asc.toString(16)}`);
}

/** A holds it; B and C are registered. */
function reserved(type: ReservationType): ReservationState {
  let state = NO_RESERVATIONS;
  for (const [who, key] of [
    [A, 1n],
    [B, 2n],
    [C, 3n],
  ] as const) {
    state = taken(register(state, who, 0n, key, WITH_APTPL));
  }
  return taken(reserve(state, A, 1n, type));
}

describe('persistent reservations', () => {
  it('give access as the table of SPC-4 has it', () => {
    // Columns: reads and writes of the holder, of another registrant, of a stranger.
    const table: Record<number, string> = {
      [ReservationType.writeExclusive]: 'rw r- r-',
      [ReservationType.exclusiveAccess]: 'rw -- --',
      [ReservationType.writeExclusiveRegistrantsOnly]: 'rw rw r-',
      [ReservationType.exclusiveAccessRegistrantsOnly]: 'rw rw --',
      [ReservationType.writeExclusiveAllRegistrants]: 'rw rw r-',
      [ReservationType.exclusiveAccessAllRegistrants]: 'rw rw --',
    };
    for (const type of TYPES) {
      const state = reserved(type);
      const access = [A, B, STRANGER].map(({ portKey: key }) =>
        [allows(state, key, 'read') ? 'r' : '-', allows(state, key, 'write') ? 'w' : '-'].join(''),
      );
      expect(access.join(' '), `type ${type}`).to.equal(table[type]);
    }
  });

  it('conflict where the key is not the registered one', () => {
    const state = reserved(ReservationType.writeExclusive);
    const steps = [
      register(state, A, 9n, 5n, { ignoreExisting: false, persistent: false }),
      register(state, STRANGER, 9n, 5n, { ignoreExisting: false, persistent: false }),
      reserve(state, B, 9n, ReservationType.writeExclusive),
      release(state, A, 9n, ReservationType.writeExclusive),
      clear(state, STRANGER, 0n),
      preempt(state, STRANGER, 0n, 1n, ReservationType.writeExclusive),
      registerAndMove(state, A, 9n, 5n, B, { unregister: false, persistent: false }),
    ];
    for (const step of steps) expect(step.kind).to.equal('conflict');
  });

  it('are reserved once; only the holder may ask for the same again', () => {
    const state = reserved(ReservationType.exclusiveAccess);
    expect(reserve(state, A, 1n, ReservationType.exclusiveAccess).kind).to.equal('done');
    expect(reserve(state, A, 1n, ReservationType.writeExclusive).kind).to.equal('conflict');
    expect(reserve(state, B, 2n, ReservationType.exclusiveAccess).kind).to.equal('conflict');
  });

  it('are released by the holder with the right type, telling registrants where due', () => {
    for (const type of TYPES) {
      const state = reserved(type);
      const wrong = TYPES.find((other) => other !== type)!;
      expect(release(state, A, 1n, wrong)).to.deep.include({
        kind: 'refused',
        asc: Asc.invalidReleaseOfReservation,
      });
      const step = release(state, A, 1n, type);
      expect(taken(step).reservation).to.be.null;
      expect(told(step)).to.deep.equal(admitsRegistrants(type) ? ['b 2a04', 'c 2a04'] : []);
      if (!isAllRegistrants(type)) expect(taken(release(state, B, 2n, type))).to.equal(state);
    }
  });

  it('go with the registration of the holder, or of the last of all registrants', () => {
    for (const type of TYPES) {
      const step = register(reserved(type), A, 1n, 0n, WITH_APTPL);
      expect(taken(step).reservation === null).to.equal(!isAllRegistrants(type));
      let state = taken(step);
      for (const who of [B, C]) state = taken(register(state, who, 0n, 0n, WITH_APTPL));
      expect(state.reservation).to.be.null;
      expect(state.registrations).to.be.empty;
    }
  });

  it('are cleared for all, who are told', () => {
    const step = clear(reserved(ReservationType.exclusiveAccess), B, 2n);
    expect(taken(step)).to.deep.include({ registrations: [], reservation: null });
    expect(told(step)).to.deep.equal(['a 2a03', 'c 2a03']);
  });

  it('are preempted by the key of the holder, who loses its registration', () => {
    const state = reserved(ReservationType.exclusiveAccessRegistrantsOnly);
    const step = preempt(state, B, 2n, 1n, ReservationType.writeExclusive);
    expect(taken(step).reservation).to.deep.equal({
      type: ReservationType.writeExclusive,
      holder: B.portKey,
    });
    expect(registrationOf(taken(step), A.portKey)).to.be.null;
    expect(told(step)).to.deep.equal(['a 2a05', 'c 2a04']);
    expect((step as ReservationStep & { kind: 'done' }).preempted).to.deep.equal([A.portKey]);
  });

  it('lose a registration that is not the holder’s to PREEMPT and stay', () => {
    const state = reserved(ReservationType.writeExclusive);
    const step = preempt(state, B, 2n, 3n, ReservationType.writeExclusive);
    expect(holds(taken(step), A.portKey)).to.be.true;
    expect(told(step)).to.deep.equal(['c 2a05']);
    expect(preempt(state, B, 2n, 9n, ReservationType.writeExclusive).kind).to.equal('conflict');
  });

  it('of all registrants are preempted with key zero, other types are not', () => {
    const all = reserved(ReservationType.exclusiveAccessAllRegistrants);
    const step = preempt(all, B, 2n, 0n, ReservationType.exclusiveAccess);
    expect(taken(step).registrations.map(({ portKey: key }) => key)).to.deep.equal([B.portKey]);
    expect(holds(taken(step), B.portKey)).to.be.true;
    const one = reserved(ReservationType.exclusiveAccess);
    expect(preempt(one, B, 2n, 0n, ReservationType.exclusiveAccess).kind).to.equal('refused');
  });

  it('move to another port, which is registered by it', () => {
    const state = reserved(ReservationType.exclusiveAccess);
    const options = { unregister: true, persistent: true };
    const moved = taken(registerAndMove(state, A, 1n, 7n, STRANGER, options));
    expect(holds(moved, STRANGER.portKey)).to.be.true;
    expect(registrationOf(moved, STRANGER.portKey)?.key).to.equal(7n);
    expect(registrationOf(moved, A.portKey)).to.be.null;
    expect(registerAndMove(state, B, 2n, 7n, STRANGER, options).kind).to.equal('conflict');
    expect(registerAndMove(state, A, 1n, 7n, A, options).kind).to.equal('refused');
  });

  it('are bounded', () => {
    let state = NO_RESERVATIONS;
    for (let i = 0; i < SCSI_LIMITS.registrations; i += 1) {
      state = taken(register(state, port(`p${i}`), 0n, 1n, WITH_APTPL));
    }
    expect(register(state, A, 0n, 1n, WITH_APTPL)).to.deep.include({
      kind: 'refused',
      asc: Asc.insufficientRegistrationResources,
    });
    expect(encodeReservations(state).length).to.be.below(48 * 1024);
  });

  it('keep their invariants whatever is asked for, and survive a loss of power', () => {
    const who = fc.constantFrom(A, B, C);
    const key = fc.bigInt(0n, 3n);
    const type = fc.constantFrom(...TYPES);
    const action = fc.tuple(fc.nat(6), who, key, key, type, who, fc.boolean());
    fc.assert(
      fc.property(fc.array(action, { maxLength: 30 }), (actions) => {
        let state = NO_RESERVATIONS;
        for (const [kind, from, own, other, wanted, to, flag] of actions) {
          const options = { ignoreExisting: flag, persistent: true };
          const steps = [
            () => register(state, from, own, other, options),
            () => reserve(state, from, own, wanted),
            () => release(state, from, own, wanted),
            () => clear(state, from, own),
            () => preempt(state, from, own, other, wanted),
            () =>
              registerAndMove(state, from, own, other, to, { unregister: flag, persistent: true }),
            () => register(state, from, own, 0n, options),
          ];
          const step = steps[kind]!();
          if (step.kind === 'done') state = step.state;
          const { registrations, reservation } = state;
          const keys = registrations.map((registration) => registration.portKey);
          expect(new Set(keys).size).to.equal(keys.length);
          expect(registrations.every((registration) => registration.key !== 0n)).to.be.true;
          // Somebody registered holds what is reserved.
          if (reservation !== null) expect(keys.some((name) => holds(state, name))).to.be.true;
          const restored = decodeReservations(encodeReservations(state));
          const kept = state.persistent ? state : NO_RESERVATIONS;
          expect(restored).to.deep.equal({ ...kept, generation: 0 });
        }
      }),
    );
  });

  it('are not taken for none when their document cannot be read', () => {
    const broken = ['{}', '[]', '{"version":2}', '{"version":1,"persistent":true}'];
    for (const content of broken) {
      expect(() => decodeReservations(new TextEncoder().encode(content))).to.throw(/reservations/u);
    }
    const whole = reserved(ReservationType.writeExclusive);
    const text = new TextDecoder().decode(encodeReservations(whole));
    const orphan = text.replace(`"holder":"${A.portKey}"`, '"holder":"nobody"');
    expect(() => decodeReservations(new TextEncoder().encode(orphan))).to.throw(/holder/u);
  });
});
