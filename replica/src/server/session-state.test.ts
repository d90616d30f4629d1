import { expect } from 'chai';
import fc from 'fast-check';
import { epoch, session } from '../protocol/index.ts';
import type { SessionEvent, SessionState, Step } from './session-state.ts';
import { isTransitionValid, step } from './session-state.ts';

const VOLUME = '6f1c3c52-7d5b-4c4e-9a39-1f9f5b0d7a11';
const OTHER = '11111111-2222-4333-8444-555555555555';

const hello = (changes: Partial<SessionEvent & { kind: 'hello' }> = {}): SessionEvent => ({
  kind: 'hello',
  targetName: 'demo',
  volumeId: VOLUME,
  protocolVersions: [1],
  ...changes,
});

const promise = (value: number, highest = 0, id = 7): SessionEvent => ({
  kind: 'promise',
  epoch: epoch(value),
  session: session(id),
  highestEpoch: epoch(highest),
});

const run = (...events: readonly SessionEvent[]): Step => {
  let result: Step = { state: { kind: 'greeting' }, actions: [] };
  for (const event of events) {
    const next = step(result.state, event, VOLUME);
    expect(isTransitionValid(result.state.kind, next.state.kind)).to.equal(true);
    result = next;
  }
  return result;
};

const actionsOf = ({ actions }: Step): string[] => actions.map(({ kind }) => kind);

describe('a session', () => {
  it('serves after hello, promise and its durability', () => {
    expect(actionsOf(run(hello()))).to.deep.equal(['send-welcome']);
    expect(actionsOf(run(hello(), promise(3)))).to.deep.equal(['make-promise']);
    const serving = run(hello(), promise(3), { kind: 'promise-durable' });
    expect(serving.state).to.include({ kind: 'serving', epoch: 3, session: 7 });
    expect(actionsOf(serving)).to.deep.equal(['serve']);
  });

  it('may promise a higher epoch while it serves', () => {
    const again = run(hello(), promise(3), { kind: 'promise-durable' }, promise(4, 3));
    expect(again.state).to.include({ kind: 'promising', epoch: 4 });
  });

  it('is fenced by a lower epoch than any that was promised, and asks for nothing', () => {
    const stale = run(hello(), promise(3, 5));
    expect(stale.state.kind).to.equal('over');
    expect(actionsOf(stale)).to.deep.equal(['send-fenced', 'close']);
  });

  it('does not serve when it was fenced while its promise was made durable', () => {
    const late = run(
      hello(),
      promise(3),
      { kind: 'fenced', highestEpoch: epoch(4) },
      { kind: 'promise-durable' },
    );
    expect(late.state.kind).to.equal('over');
    expect(late.actions).to.deep.equal([]);
  });

  it('refuses another volume, unknown versions, a second hello and epoch 0', () => {
    const codeOf = (...events: readonly SessionEvent[]): unknown => {
      const [first] = run(...events).actions;
      return first !== undefined && 'code' in first ? first.code : first;
    };
    expect(codeOf(hello({ volumeId: OTHER }))).to.equal('WRONG_VOLUME');
    expect(codeOf(hello({ protocolVersions: [2, 3] }))).to.equal('NO_COMMON_VERSION');
    expect(codeOf(hello(), hello())).to.equal('UNEXPECTED_KIND');
    expect(codeOf(promise(1))).to.equal('UNEXPECTED_KIND');
    expect(codeOf(hello(), promise(0))).to.equal('MALFORMED_FRAME');
    expect(codeOf(hello(), promise(1, 0, 0))).to.equal('MALFORMED_FRAME');
  });

  it('says `refused` before a promise, `failed` afterwards', () => {
    const wrong: SessionEvent = { kind: 'peer-error', code: 'UNKNOWN_KIND', message: '' };
    expect(actionsOf(run(hello(), wrong))).to.deep.equal(['send-refused', 'close']);
    const serving = run(hello(), promise(3), { kind: 'promise-durable' }, wrong);
    expect(actionsOf(serving)).to.deep.equal(['send-failed', 'close']);
  });

  it('keeps to its diagram, never serves a lower epoch, and is over for ever', () => {
    const events: fc.Arbitrary<SessionEvent> = fc.oneof(
      fc.constant(hello()),
      fc.tuple(fc.nat(4), fc.nat(4), fc.nat(2)).map(([a, b, c]) => promise(a, b, c)),
      fc.constant<SessionEvent>({ kind: 'promise-durable' }),
      fc.constant<SessionEvent>({ kind: 'fenced', highestEpoch: epoch(3) }),
      fc.constant<SessionEvent>({ kind: 'timeout' }),
      fc.constant<SessionEvent>({ kind: 'displaced' }),
      fc.constant<SessionEvent>({ kind: 'stopped' }),
      fc.constant<SessionEvent>({ kind: 'disconnected', reason: '' }),
    );
    fc.assert(
      fc.property(fc.array(events, { maxLength: 12 }), (list) => {
        let state: SessionState = { kind: 'greeting' };
        for (const event of list) {
          const next = step(state, event, VOLUME);
          expect(isTransitionValid(state.kind, next.state.kind)).to.equal(true);
          if (state.kind === 'over') expect(next.actions).to.deep.equal([]);
          if (event.kind === 'promise' && event.epoch < event.highestEpoch) {
            expect(actionsOf(next)).not.to.include('make-promise');
          }
          const closes = actionsOf(next).includes('close');
          expect(closes).to.equal(state.kind !== 'over' && next.state.kind === 'over');
          state = next.state;
        }
      }),
    );
  });
});
