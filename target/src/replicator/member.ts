import assert from 'node:assert';
import type {
  Epoch,
  LayersChange,
  MembershipRecord,
  ScrubAnswer,
  Seq,
  Session,
  WelcomeIdentity,
  WelcomeState,
} from '@openebs/replica/protocol';
import { decodeScrubAnswer, seq } from '@openebs/replica/protocol';
import type { LayerFill } from '@openebs/replica/store';
import type { Environment } from './environment.ts';
import type { Answer, ByteRange, Link, LinkEvents, ReadRequest } from './link.ts';
import { MemberError, offlineError } from './member-error.ts';
import type { MemberOwner } from './member-owner.ts';
import type { MemberState } from './member-state.ts';
import { ProgressWatch } from './progress-watch.ts';
import { Pulse } from './pulse.ts';
import { backoffMs, isStreaming, isVoting, STALL_TICKS, transition } from './member-state.ts';

/** Ticks of a second in which a connection has to be made, greeted and promised. */
const HANDSHAKE_TICKS = 10;

/** One configured replica: its link, its state, and what is under way there. */
export class Member {
  readonly address: string;
  readonly index: number;
  readonly #environment: Environment;
  readonly #owner: MemberOwner;
  #state: MemberState;
  #link: Link | null = null;
  /** A link whose end was asked for and has not come yet. */
  #closing = false;
  #identity: WelcomeIdentity | null = null;
  #known: WelcomeState | null = null;
  #attempts = 0;
  #handshakeTicks = 0;
  #cancelRetry: (() => void) | null = null;
  readonly #watch = new ProgressWatch();
  #pinging = false;
  #stopped = false;
  #ended: (() => void) | null = null;
  #waiters: {
    readonly seq: Seq;
    readonly resolve: () => void;
    readonly reject: (e: Error) => void;
  }[] = [];
  #steadyTicks = 0;
  lastError: string | null = null;
  /** It had no space: for a while it votes and is not resynchronised. */
  resting = false;
  readonly pulse = new Pulse();
  /** Everything up to here is applied there. */
  ackedSeq: Seq = seq(0);
  /** The last operation of the stream that went there. */
  sentSeq: Seq = seq(0);
  /**
   * Counts how often it has entered a stream: what was learnt of it before says nothing about it
   * now.
   */
  incarnation = 0;
  /** Counts them: what was asked for over one has no place on the next. */
  connections = 0;
  /** Requests under way, reads included. */
  requests = 0;
  reads = 0;

  constructor(address: string, index: number, environment: Environment, owner: MemberOwner) {
    this.address = address;
    this.index = index;
    this.#environment = environment;
    this.#owner = owner;
    this.#state = { kind: 'offline', since: environment.now(), reason: 'not connected yet' };
  }

  get state(): MemberState {
    return this.#state;
  }

  /** Null until the replica has said who it is; kept while it is away. */
  get identity(): WelcomeIdentity | null {
    return this.#identity;
  }

  get known(): WelcomeState | null {
    return this.#known;
  }

  get id(): string {
    return this.#identity?.replicaId ?? '';
  }

  get voting(): boolean {
    return isVoting(this.#state);
  }

  get streaming(): boolean {
    return isStreaming(this.#state);
  }

  /** It could be resynchronised. */
  get canReturn(): boolean {
    return !this.resting && this.#state.kind === 'promised' && this.#identity?.role === 'data';
  }

  get inSync(): boolean {
    return this.#state.kind === 'in-sync';
  }

  get link(): Link {
    assert(this.#link !== null && !this.#closing, 'a member that is offline has no link');
    return this.#link;
  }

  get wantsFrames(): boolean {
    return this.#link?.wants === 'frames';
  }

  /** Begins to connect, again and again until stop(). */
  start(): void {
    this.#stopped = false;
    if (this.#state.kind === 'offline' && this.#link === null) this.#dial();
  }

  /** Resolves when the link has ended. */
  stop(orderly: boolean): Promise<void> {
    this.#stopped = true;
    this.#cancelRetry?.();
    this.#cancelRetry = null;
    this.drop('the target stopped', orderly);
    if (this.#link === null) return Promise.resolve();
    return new Promise((resolve) => {
      this.#ended = resolve;
    });
  }

  become(state: MemberState): void {
    this.#state = transition(this.#state, state);
    if (state.kind === 'in-sync') this.#attempts = 0;
  }

  /**
   * Resolves when everything that was sent to it in the stream is applied there; rejects when it is
   * lost before.
   */
  caughtUp(): Promise<void> {
    if (!this.streaming) return Promise.reject(offlineError(this.address));
    if (this.ackedSeq >= this.sentSeq) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#waiters.push({ seq: this.sentSeq, resolve, reject });
    });
  }

  promise(epoch: Epoch, session: Session): void {
    this.become({ kind: 'promising' });
    this.#handshakeTicks = 0;
    this.pulse.promiseSent(this.#environment.now());
    this.link.promise(epoch, session);
  }

  /** Enters the stream: it counts as having everything up to `from`. */
  enterStream(from: Seq): void {
    this.incarnation++;
    this.ackedSeq = from;
    this.sentSeq = from;
  }

  /**
   * Ends the connection from this side. memberLost follows before this returns, unless it was
   * offline already.
   */
  drop(reason: string, orderly = false): void {
    if (this.#state.kind === 'offline') return;
    const link = this.#link;
    this.#closing = true;
    this.#offline(reason);
    link?.close(orderly);
  }

  /** Once a second. */
  tick(): void {
    const { kind } = this.#state;
    if (kind === 'offline') return;
    if (kind === 'dialling' || kind === 'promising') {
      if (++this.#handshakeTicks >= HANDSHAKE_TICKS) {
        this.drop(kind === 'dialling' ? 'did not answer' : 'did not make its promise in time');
      }
      return;
    }
    // Who has stayed for a while comes back quickly when its connection breaks; who fails again and
    // again does not.
    if (++this.#steadyTicks > STALL_TICKS) this.#attempts = 0;
    const busy = {
      stream: this.streaming && this.ackedSeq < this.sentSeq,
      reads: this.reads > 0,
      requests: this.requests > this.reads,
    };
    const failed = this.#watch.step(busy, this.#pinging) ?? hangingRead(this.link.tickReads());
    if (failed !== null) this.drop(failed);
    else if (!this.#pinging) this.#ping();
  }

  /** Asks for a sign of life. */
  heartbeat(): void {
    if (this.voting && !this.#pinging) this.#ping();
  }

  read(request: ReadRequest): void {
    this.requests++;
    this.reads++;
    this.link.read(request);
  }

  /** Each read calls it when it was answered or has failed. */
  readEnded(): void {
    this.#watch.moved('reads');
    this.requests--;
    this.reads--;
  }

  flush(answer: Answer): void {
    this.link.flush(this.#counted(answer));
  }

  putRecord(record: MembershipRecord): Promise<void> {
    return this.#request((link, answer) => link.putRecord(record, answer)).then(() => undefined);
  }

  /** Resolves when it has this size at least, durable. */
  async growTo(sizeBytes: number): Promise<void> {
    const identity = this.#identity;
    if (identity === null || identity.sizeBytes >= sizeBytes) return;
    await this.#request((link, answer) => link.resize(sizeBytes, answer));
    this.#identity = { ...identity, sizeBytes };
  }

  flushed(): Promise<void> {
    return this.#request((link, answer) => link.flush(answer)).then(() => undefined);
  }

  async extentChecksums(offsetBytes: number, lengthBytes: number): Promise<Uint8Array> {
    return present(
      await this.#request((link, answer) => link.extentChecksums(offsetBytes, lengthBytes, answer)),
    );
  }

  async extentVersions(offsetBytes: number, lengthBytes: number): Promise<Uint8Array> {
    return present(
      await this.#request((link, answer) => link.extentVersions(offsetBytes, lengthBytes, answer)),
    );
  }

  async allocation(offsetBytes: number, lengthBytes: number): Promise<Uint8Array> {
    return present(
      await this.#request((link, answer) => link.allocation(offsetBytes, lengthBytes, answer)),
    );
  }

  async scrub({ offsetBytes, lengthBytes }: ByteRange): Promise<ScrubAnswer> {
    const answer = await this.#request((link, done) => link.scrub(offsetBytes, lengthBytes, done));
    return decodeScrubAnswer(present(answer), lengthBytes);
  }

  getDocument(name: string): Promise<Uint8Array | null> {
    return this.#request((link, answer) => link.getDocument(name, answer));
  }

  putDocument(name: string, content: Uint8Array): Promise<void> {
    return this.#request((link, answer) => link.putDocument(name, content, answer)).then(
      () => undefined,
    );
  }

  /** What it remembers now. */
  async refresh(): Promise<WelcomeState> {
    await this.#request((link, answer) => link.refresh(answer));
    if (this.#known === null) throw offlineError(this.address);
    return this.#known;
  }

  putLayers(change: LayersChange): Promise<void> {
    return this.#request((link, answer) => link.putLayers(change, answer)).then(() => undefined);
  }

  /** As `read`, of what one layer itself holds. */
  readLayer(layer: number, request: ReadRequest): void {
    this.requests++;
    this.reads++;
    this.link.readLayer(layer, request);
  }

  async layerAllocation(layer: number, range: ByteRange): Promise<Uint8Array> {
    return present(
      await this.#request((link, answer) => link.layerAllocation(layer, range, answer)),
    );
  }

  async layerChecksums(layer: number, range: ByteRange): Promise<Uint8Array> {
    return present(
      await this.#request((link, answer) => link.layerChecksums(layer, range, answer)),
    );
  }

  fillLayer(layer: number, fill: LayerFill): Promise<void> {
    return this.#request((link, answer) => link.fillLayer(layer, fill, answer)).then(
      () => undefined,
    );
  }

  #counted(answer: Answer): Answer {
    this.requests++;
    return (failure, payload) => {
      this.requests--;
      this.#watch.moved('requests');
      answer(failure, payload);
    };
  }

  #request(send: (link: Link, answer: Answer) => void): Promise<Uint8Array | null> {
    if (this.#link === null || this.#closing) return Promise.reject(offlineError(this.address));
    const { link } = this;
    return new Promise((resolve, reject) => {
      send(
        link,
        this.#counted((failure, payload) => {
          if (failure === null) resolve(payload);
          else reject(new MemberError(failure, this.address));
        }),
      );
      link.endTurn();
    });
  }

  #ping(): void {
    this.#pinging = true;
    const { link, voting } = this;
    const sentMs = this.#environment.now();
    link.ping((failure) => {
      if (link !== this.#link) return;
      this.#pinging = false;
      // Before the promise a replica answers whoever asks.
      if (failure !== null || !voting || !this.voting) return;
      this.pulse.heardMs = sentMs;
      this.#owner.memberHeard();
    });
  }

  #dial(): void {
    this.become({ kind: 'dialling' });
    this.connections++;
    this.#handshakeTicks = 0;
    this.#watch.reset();
    this.#pinging = false;
    this.#closing = false;
    this.#steadyTicks = 0;
    this.requests = 0;
    this.reads = 0;
    this.#link = this.#environment.dial(this.address, this.#events());
  }

  /** News of a link that was dropped already count no more, except that it has closed. */
  #events(): LinkEvents {
    const live = (): boolean => !this.#closing;
    return {
      welcome: (identity, state) => {
        if (!live()) return;
        this.#identity = identity;
        this.#known = state;
        this.become({ kind: 'greeted' });
        this.#owner.memberGreeted(this);
      },
      promised: (state) => {
        if (!live()) return;
        this.#known = state;
        this.pulse.promised(state, this.#environment.now());
        this.become({ kind: 'promised' });
        this.#owner.memberPromised(this);
      },
      remembered: (state) => {
        if (live()) this.#known = state;
      },
      acknowledged: (acked) => {
        if (!live()) return;
        this.#watch.moved('stream');
        if (acked > this.ackedSeq) this.ackedSeq = acked;
        if (this.#waiters.length > 0) this.#wake();
        this.#owner.memberAcknowledged(this);
      },
      failed: (failure) => {
        if (live()) this.#owner.memberStreamFailed(this, failure);
      },
      fenced: (promisedEpoch) => {
        if (live()) this.#owner.memberFenced(this, promisedEpoch);
      },
      closed: (code, message) => {
        this.#link = null;
        if (live()) {
          this.#closing = true;
          this.#offline(`${message} (${code})`);
        }
        this.#ended?.();
        this.#retry();
      },
    };
  }

  #offline(reason: string): void {
    const from = this.#state;
    const again = reason === this.lastError;
    this.lastError = reason;
    this.pulse.lost();
    this.become({ kind: 'offline', since: this.#environment.now(), reason });
    const error = offlineError(this.address);
    for (const { reject } of this.#waiters.splice(0)) reject(error);
    this.#owner.memberLost(this, from, again);
  }

  #wake(): void {
    const due = this.#waiters.filter((waiter) => waiter.seq <= this.ackedSeq);
    this.#waiters = this.#waiters.filter((waiter) => waiter.seq > this.ackedSeq);
    for (const { resolve } of due) resolve();
  }

  #retry(): void {
    if (this.#stopped || this.#cancelRetry !== null) return;
    const delayMs = backoffMs(this.#attempts++, this.#environment.random());
    this.#cancelRetry = this.#environment.after(delayMs, () => {
      this.#cancelRetry = null;
      if (!this.#stopped && this.#link === null) this.#dial();
    });
  }
}

/** Others may be answered meanwhile: a disk can lose a single request. */
const hangingRead = (ticks: number): string | null =>
  ticks > STALL_TICKS ? `has not answered a read for ${STALL_TICKS} s` : null;

const present = (payload: Uint8Array | null): Uint8Array => {
  if (payload === null) throw new TypeError('the answer has no payload');
  return payload;
};
