import type { Epoch, Session } from '../protocol/index.ts';
import { PROTOCOL_VERSION } from '../protocol/index.ts';

/**
 * One connection of a target, as decisions: `step` takes what happened and says what to do. It
 * touches nothing.
 *
 *     greeting --hello--> greeted --promise--> promising --durable--> serving
 *        |                   |                     |                  |    ^
 *        |                   |                     |                  +----+ a higher promise
 *        +-------------------+----------+----------+------------------+
 *                                       v
 *                                     over
 */
export type SessionState =
  | { readonly kind: 'greeting' }
  | { readonly kind: 'greeted'; readonly targetName: string }
  | {
      readonly kind: 'promising' | 'serving';
      readonly targetName: string;
      readonly epoch: Epoch;
      readonly session: Session;
    }
  | { readonly kind: 'over'; readonly reason: string };

export type SessionEvent =
  | {
      readonly kind: 'hello';
      readonly targetName: string;
      readonly volumeId: string;
      readonly protocolVersions: readonly number[];
    }
  /** `highestEpoch`: of all promises made, or being made, to any session. */
  | {
      readonly kind: 'promise';
      readonly epoch: Epoch;
      readonly session: Session;
      readonly highestEpoch: Epoch;
    }
  | { readonly kind: 'promise-durable' }
  /**
   * The store has promised a higher epoch, or this one to another session; another one is served;
   * or a frame names another session.
   */
  | { readonly kind: 'fenced'; readonly highestEpoch: Epoch }
  /** The peer broke the protocol, or asks for what cannot be. */
  | { readonly kind: 'peer-error'; readonly code: string; readonly message: string }
  /** The store can go on with this session no more. */
  | { readonly kind: 'store-failed'; readonly code: string; readonly message: string }
  | { readonly kind: 'timeout' }
  | { readonly kind: 'displaced' }
  /** Everything is answered and flushed: the daemon stops. */
  | { readonly kind: 'stopped' }
  | { readonly kind: 'disconnected'; readonly reason: string };

export type SessionAction =
  | { readonly kind: 'send-welcome' }
  /**
   * End the session that is served now, if any and if it is another; make the promise durable;
   * answer with promise-durable or fenced.
   */
  | { readonly kind: 'make-promise'; readonly epoch: Epoch; readonly session: Session }
  /** All frames from now on carry this session; answer `promised`. */
  | { readonly kind: 'serve'; readonly epoch: Epoch; readonly session: Session }
  | { readonly kind: 'send-fenced'; readonly highestEpoch: Epoch }
  | {
      readonly kind: 'send-refused' | 'send-failed';
      readonly code: string;
      readonly message: string;
    }
  | { readonly kind: 'send-bye' }
  /** After what was sent has left. */
  | { readonly kind: 'close' };

export interface Step {
  readonly state: SessionState;
  readonly actions: readonly SessionAction[];
}

type StateKind = SessionState['kind'];

const TRANSITIONS: Readonly<Record<StateKind, readonly StateKind[]>> = {
  greeting: ['greeted', 'over'],
  greeted: ['promising', 'over'],
  promising: ['serving', 'over'],
  serving: ['promising', 'over'],
  over: [],
};

export const isTransitionValid = (from: StateKind, to: StateKind): boolean =>
  from === to || TRANSITIONS[from].includes(to);

/** `volumeId`: whose replica this is. */
export const step = (state: SessionState, event: SessionEvent, volumeId: string): Step => {
  if (state.kind === 'over') return { state, actions: [] };
  switch (event.kind) {
    case 'hello':
      return hello(state, event, volumeId);
    case 'promise':
      return promise(state, event);
    case 'promise-durable':
      if (state.kind !== 'promising') return { state, actions: [] };
      return {
        state: { ...state, kind: 'serving' },
        actions: [{ kind: 'serve', epoch: state.epoch, session: state.session }],
      };
    case 'fenced':
      return over(`fenced: epoch ${event.highestEpoch} was promised`, {
        kind: 'send-fenced',
        highestEpoch: event.highestEpoch,
      });
    case 'peer-error':
      return refuse(state, event.code, event.message);
    case 'store-failed':
      return over(`the store failed: ${event.message}`, {
        kind: 'send-failed',
        code: event.code,
        message: event.message,
      });
    case 'timeout':
      return refuse(
        state,
        'TIMEOUT',
        state.kind === 'greeting' ? 'no hello arrived in time' : 'no promise arrived in time',
      );
    case 'displaced':
      return refuse(state, 'BUSY', 'the replica has too many connections; this one was the oldest');
    case 'stopped':
      return over('the replica stops', { kind: 'send-bye' });
    case 'disconnected':
      return over(event.reason);
  }
};

const over = (reason: string, ...actions: readonly SessionAction[]): Step => ({
  state: { kind: 'over', reason },
  actions: [...actions, { kind: 'close' }],
});

/** Before the promise a peer is refused; afterwards its stream has failed. */
const refuse = (state: SessionState, code: string, message: string): Step =>
  over(`${code}: ${message}`, {
    kind: state.kind === 'serving' || state.kind === 'promising' ? 'send-failed' : 'send-refused',
    code,
    message,
  });

const hello = (
  state: SessionState,
  event: SessionEvent & { readonly kind: 'hello' },
  volumeId: string,
): Step => {
  if (state.kind !== 'greeting') return refuse(state, 'UNEXPECTED_KIND', 'hello came twice');
  if (event.volumeId !== volumeId) {
    return refuse(
      state,
      'WRONG_VOLUME',
      `this replica belongs to volume ${volumeId}, the target serves ${event.volumeId}; ` +
        `correct the target's list of replicas`,
    );
  }
  if (!event.protocolVersions.includes(PROTOCOL_VERSION)) {
    return refuse(
      state,
      'NO_COMMON_VERSION',
      `the replica speaks version ${PROTOCOL_VERSION}, the target ` +
        `${event.protocolVersions.join(', ')}; run the same release on both`,
    );
  }
  return {
    state: { kind: 'greeted', targetName: event.targetName },
    actions: [{ kind: 'send-welcome' }],
  };
};

const promise = (state: SessionState, event: SessionEvent & { readonly kind: 'promise' }): Step => {
  if (state.kind !== 'greeted' && state.kind !== 'serving') {
    return refuse(state, 'UNEXPECTED_KIND', `promise came while ${state.kind}`);
  }
  const { epoch, session, highestEpoch } = event;
  if (epoch < 1 || session < 1) {
    return refuse(state, 'MALFORMED_FRAME', 'epoch and session count from 1');
  }
  // A lower epoch ends nobody's session but its own. The same epoch is decided by the store, which
  // knows whose it is.
  if (epoch < highestEpoch) {
    return over(`fenced: epoch ${highestEpoch} was promised`, {
      kind: 'send-fenced',
      highestEpoch,
    });
  }
  return {
    state: { kind: 'promising', targetName: state.targetName, epoch, session },
    actions: [{ kind: 'make-promise', epoch, session }],
  };
};
