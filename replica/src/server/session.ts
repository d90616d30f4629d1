import assert from 'node:assert';
import type { Epoch, Frame, Seq, Session, VolumeKey } from '../protocol/index.ts';
import { decodeMessage, FrameDecoder, PROTOCOL_VERSION, ProtocolError } from '../protocol/index.ts';
import {
  GREETED_TIMEOUT_MS,
  HANDSHAKE_TIMEOUT_MS,
  KEEP_ALIVE_DELAY_MS,
  LINGER_MS,
  MAX_OUTPUT_BYTES,
  MAX_PENDING_REQUESTS,
  MAX_STORE_QUEUE_BYTES,
} from '../limits.ts';
import type { Clock, Connection, Logger } from '../runtime/index.ts';
import { Receiver } from '../runtime/index.ts';
import type { StoreError } from '../store/errors.ts';
import { readsGoOn } from '../store/errors.ts';
import type { Store } from '../store/types.ts';
import type { Lease } from './lease.ts';
import { Reads } from './reads.ts';
import { Replies } from './replies.ts';
import { Requests, welcomeState } from './requests.ts';
import type { SessionAction, SessionEvent, SessionState } from './session-state.ts';
import { isTransitionValid, step } from './session-state.ts';
import type { Stream, StreamOwner } from './stream.ts';

/** What all sessions of a replica share; the server is it. */
export interface SessionHost {
  readonly store: Store;
  readonly stream: Stream;
  readonly volume: VolumeKey;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly lease: Lease;
  /** Of all promises made, or being made. */
  readonly highestEpoch: Epoch;
  /** Answers with the event promise-durable or fenced. */
  makePromise(session: ReplicaSession, epoch: Epoch, sessionId: Session): void;
  /** The target of this session answers nothing more: it has said so, or its process is gone. */
  released(session: ReplicaSession): void;
  flushed(seconds: number): void;
  protocolError(code: string): void;
  ended(session: ReplicaSession): void;
}

/** How a connection over a unix socket is called. */
export const UNIX_PEER = 'unix';

/** Why a connection is not read from. */
const OUTPUT_FULL = 1;
const STORE_FULL = 2;
const STOPPING = 4;
const OVER = 8;

/** One connection of a target: a socket, the state of the session, and what answers its frames. */
export class ReplicaSession implements StreamOwner {
  readonly peer: string;
  readonly #host: SessionHost;
  readonly #socket: Connection;
  readonly #receiver: Receiver;
  readonly #decoder: FrameDecoder;
  readonly #replies: Replies;
  readonly #reads: Reads;
  readonly #requests: Requests;
  readonly #flushLater: () => void;
  #state: SessionState = { kind: 'greeting' };
  #cancelTimer: () => void;
  #paused = 0;
  #inTurn = false;
  #flushScheduled = false;
  #stopped: (() => void) | null = null;

  constructor(accepted: Connection, peer: string, host: SessionHost) {
    this.peer = peer;
    this.#host = host;
    this.#receiver = new Receiver((buffer, start, end) => this.#turn(buffer, start, end));
    this.#decoder = new FrameDecoder((frame) => this.#handle(frame));
    this.#socket = this.#receiver.adopt(accepted);
    this.#socket.setNoDelay(true);
    this.#socket.setKeepAlive(true, KEEP_ALIVE_DELAY_MS);
    this.#replies = new Replies(this.#socket, host.volume.uuid, () => this.#drained());
    const late = (): void => this.#answeredLate();
    this.#reads = new Reads(host.store, this.#replies, late);
    this.#requests = new Requests({
      store: host.store,
      stream: host.stream,
      lease: host.lease,
      replies: this.#replies,
      now: () => host.clock.now(),
      late,
      flushed: (seconds) => host.flushed(seconds),
    });
    this.#flushLater = () => {
      this.#flushScheduled = false;
      if (!this.#inTurn) this.#replies.outbox.flush();
    };
    this.#cancelTimer = this.#timeout(HANDSHAKE_TIMEOUT_MS);
    this.#socket.on('error', (error) => {
      this.#endedByPeer((error as NodeJS.ErrnoException).code);
      this.#gone(error.message);
    });
    this.#socket.on('end', () => {
      this.#endedByPeer();
      this.#gone('the target closed the connection');
    });
    this.#socket.on('close', () => {
      this.#gone('the connection was lost');
      this.#cancelTimer();
      host.ended(this);
    });
  }

  get state(): SessionState {
    return this.#state;
  }

  /** What happened outside of this connection. */
  event(event: SessionEvent): void {
    const before = this.#state;
    const { state, actions } = step(before, event, this.#host.volume.uuid);
    assert(isTransitionValid(before.kind, state.kind), `${before.kind} to ${state.kind}`);
    this.#state = state;
    for (const action of actions) this.#perform(action);
    if (before.kind !== 'over' && state.kind === 'over') this.#log(before, event, state.reason);
    if (!this.#inTurn) this.#replies.outbox.flush();
  }

  acknowledge(seq: Seq): void {
    this.#replies.ack(seq);
    if (this.#paused & STORE_FULL) {
      if (this.#host.stream.queuedBytes < MAX_STORE_QUEUE_BYTES / 2) this.#unpause(STORE_FULL);
    }
    this.#scheduleFlush();
  }

  streamFailed(error: StoreError): void {
    // A full disk takes no more writes, but what it holds may be the only copy left: reads go on.
    if (readsGoOn(error)) {
      const { code, message, offsetBytes } = error;
      this.#replies.message({ kind: 'failed', code, message, offsetBytes });
      this.#unpause(STORE_FULL);
      this.#scheduleFlush();
      return;
    }
    this.event({ kind: 'store-failed', code: error.code, message: error.message });
  }

  /** Reads no more; resolves when all that arrived is answered. Then comes the event `stopped`. */
  drain(): Promise<void> {
    this.#pause(STOPPING);
    return new Promise((resolve) => {
      this.#stopped = resolve;
      this.#checkStopped();
    });
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** The frames of one read of the socket. What they are answered with leaves in one write. */
  #turn(buffer: Buffer, start: number, end: number): number {
    if (this.#state.kind === 'over') return end;
    if (this.#state.kind === 'serving') this.#host.lease.heard(this.#host.clock.now());
    let position = end;
    this.#inTurn = true;
    try {
      position = this.#decoder.consume(buffer, start, end, this.#receiver);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#host.protocolError(error.code);
      this.event({ kind: 'peer-error', code: error.code, message: error.message });
    }
    if (this.#state.kind === 'serving') this.#host.stream.settle();
    this.#inTurn = false;
    this.#replies.outbox.flush();
    return this.#over() ? end : position;
  }

  /** Asked anew after calls that may have changed it. */
  #over(): boolean {
    return this.#state.kind === 'over';
  }

  #handle(frame: Frame): void {
    const state = this.#state;
    if (
      state.kind === 'serving' &&
      frame.epoch === state.epoch &&
      frame.session === state.session &&
      frame.isOf(this.#host.volume)
    ) {
      this.#serve(frame);
    } else {
      this.#greet(frame);
    }
  }

  /** Hot path: frames of the session that owns the stream. */
  #serve(frame: Frame): void {
    switch (frame.kind) {
      case 'write':
      case 'write-atomic':
      case 'unmap':
      case 'stamp':
        if (this.#refuseWitness(frame)) return;
        this.#host.stream.apply(frame);
        if (this.#host.stream.queuedBytes > MAX_STORE_QUEUE_BYTES) this.#throttleByStore();
        return;
      case 'read':
      case 'read-unchecked':
        if (this.#refuseWitness(frame)) return;
        this.#reads.read(frame);
        break;
      case 'flush':
        if (this.#refuseWitness(frame)) return;
        this.#requests.flush(frame);
        break;
      case 'allocation':
      case 'extent-checksums':
      case 'extent-versions':
        if (this.#refuseWitness(frame)) return;
        this.#requests.metadata(frame);
        break;
      case 'scrub':
        if (this.#refuseWitness(frame)) return;
        this.#requests.scrub(frame);
        break;
      case 'layer-write':
      case 'layer-zero':
      case 'layer-clear':
      case 'layer-reset':
      case 'layer-seal':
        if (this.#refuseWitness(frame)) return;
        this.#requests.fillLayer(frame);
        break;
      case 'status-get':
        this.#requests.status(frame.requestId);
        break;
      case 'ping':
        this.#replies.plain('pong', frame.requestId);
        break;
      case 'release':
        this.#host.released(this);
        this.event({ kind: 'disconnected', reason: 'the target has ended its session' });
        return;
      case 'record':
      case 'document-get':
      case 'document-put':
      case 'layers':
      case 'resize':
        this.#requests.message(decodeMessage(frame), frame.requestId);
        break;
      default:
        throw new ProtocolError('UNEXPECTED_KIND', `a target does not send ${frame.kind} now`);
    }
    if (this.#overloaded(1)) this.#pause(OUTPUT_FULL);
  }

  /** Frames before the promise, promises, and frames of another volume, epoch or session. */
  #greet(frame: Frame): void {
    const { kind } = frame;
    if (kind === 'hello') {
      const message = decodeMessage(frame);
      if (message.kind === 'hello') this.event(message);
      return;
    }
    if (kind === 'release') {
      this.event({ kind: 'disconnected', reason: 'the target has left' });
      return;
    }
    const { volume, highestEpoch } = this.#host;
    if (!frame.isOf(volume)) {
      const message = `this replica belongs to volume ${volume.uuid}, the frame to ${frame.volumeId}`;
      this.event({ kind: 'peer-error', code: 'WRONG_VOLUME', message });
      return;
    }
    if (kind === 'promise') {
      const { epoch, session } = frame;
      this.event({ kind, epoch, session, highestEpoch });
      return;
    }
    switch (this.#state.kind) {
      case 'serving':
        this.event({ kind: 'fenced', highestEpoch });
        return;
      case 'greeted':
        if (kind === 'status-get') this.#requests.status(frame.requestId);
        else if (kind === 'ping') this.#replies.plain('pong', frame.requestId);
        else throw new ProtocolError('UNEXPECTED_KIND', `${kind} came before a promise`);
        this.#cancelTimer();
        this.#cancelTimer = this.#timeout(GREETED_TIMEOUT_MS);
        return;
      case 'over':
        return;
      default:
        throw new ProtocolError('UNEXPECTED_KIND', `${kind} came while ${this.#state.kind}`);
    }
  }

  #perform(action: SessionAction): void {
    const { store, lease, clock } = this.#host;
    switch (action.kind) {
      case 'send-welcome':
        this.#cancelTimer();
        this.#cancelTimer = this.#timeout(GREETED_TIMEOUT_MS);
        this.#replies.message({
          kind: 'welcome',
          protocolVersion: PROTOCOL_VERSION,
          identity: store.identity,
          state: welcomeState(store, lease.remainingMs(clock.now())),
        });
        return;
      case 'make-promise':
        this.#cancelTimer();
        this.#host.makePromise(this, action.epoch, action.session);
        return;
      case 'serve':
        this.#replies.setSession(action.epoch, action.session);
        this.#replies.message({
          kind: 'promised',
          state: welcomeState(store, lease.earlierRemainingMs(clock.now())),
        });
        return;
      case 'send-fenced':
        this.#replies.message({ kind: 'fenced', promisedEpoch: action.highestEpoch });
        return;
      case 'send-refused':
      case 'send-failed': {
        const { code, message } = action;
        this.#replies.message(
          action.kind === 'send-failed'
            ? { kind: 'failed', code, message, offsetBytes: null }
            : { kind: 'refused', code, message },
        );
        return;
      }
      case 'send-bye':
        this.#replies.plain('bye');
        return;
      case 'close':
        this.#close();
    }
  }

  #close(): void {
    this.#pause(OVER);
    this.#replies.outbox.flush();
    this.#replies.outbox.close();
    this.#socket.end();
    this.#cancelTimer();
    // The peer may not read: what is still to be sent is given up after a while.
    this.#cancelTimer = this.#host.clock.after(LINGER_MS, () => this.#socket.destroy());
    this.#checkStopped();
    // What it still sends is read and dropped: closing over unread bytes would reset the connection
    // and lose the last frame.
    queueMicrotask(() => {
      this.#paused = 0;
      this.#receiver.resume();
    });
  }

  /** A witness has no data: the request is answered, a write ends the session. */
  #refuseWitness(frame: Frame): boolean {
    if (this.#host.store.identity.role !== 'witness') return false;
    const code = 'WITNESS_HAS_NO_DATA';
    const message =
      `${frame.kind}: this replica is a witness and keeps no data; correct the ` +
      `target's list of replicas`;
    if (frame.requestId === 0) this.event({ kind: 'peer-error', code, message });
    else this.#replies.failedRequest(frame.requestId, { code, message });
    return true;
  }

  #throttleByStore(): void {
    // Mostly nothing is queued and only the report is due.
    this.#host.stream.settle();
    if (this.#host.stream.queuedBytes > MAX_STORE_QUEUE_BYTES) this.#pause(STORE_FULL);
  }

  /** `share`: 2 asks for half of the caps, so that reading does not stop and go with each frame. */
  #overloaded(share: number): boolean {
    return (
      this.#replies.outbox.queuedBytes > MAX_OUTPUT_BYTES / share ||
      this.#reads.waiting + this.#requests.waiting > MAX_PENDING_REQUESTS / share
    );
  }

  #drained(): void {
    if (this.#paused & OUTPUT_FULL && !this.#overloaded(2)) this.#unpause(OUTPUT_FULL);
  }

  #answeredLate(): void {
    this.#scheduleFlush();
    this.#drained();
    this.#checkStopped();
  }

  #checkStopped(): void {
    if (this.#stopped === null) return;
    const over = this.#state.kind === 'over';
    if (!over && this.#reads.waiting + this.#requests.waiting > 0) return;
    this.#stopped();
    this.#stopped = null;
  }

  #scheduleFlush(): void {
    if (this.#inTurn || this.#flushScheduled) return;
    this.#flushScheduled = true;
    queueMicrotask(this.#flushLater);
  }

  #pause(reason: number): void {
    this.#paused |= reason;
    this.#receiver.pause();
  }

  #unpause(reason: number): void {
    this.#paused &= ~reason;
    if (this.#paused === 0) this.#receiver.resume();
  }

  #timeout(afterMs: number): () => void {
    return this.#host.clock.after(afterMs, () => this.event({ kind: 'timeout' }));
  }

  /**
   * A unix socket is closed by its process, or with it; so nothing of what was sent here lets the
   * target answer any more. Over TCP the end may come from elsewhere on the way.
   */
  #endedByPeer(code = 'ECONNRESET'): void {
    if (this.peer !== UNIX_PEER || (code !== 'ECONNRESET' && code !== 'EPIPE')) return;
    this.#host.released(this);
  }

  #gone(reason: string): void {
    this.#replies.outbox.close();
    this.event({ kind: 'disconnected', reason });
  }

  #log(before: SessionState, event: SessionEvent, reason: string): void {
    const { logger } = this.#host;
    const facts = { peer: this.peer, was: before.kind, reason };
    if (event.kind === 'peer-error' || event.kind === 'store-failed') {
      logger.warn({ ...facts, code: event.code }, 'session ended');
    } else {
      logger.info(facts, 'session ended');
    }
  }
}
