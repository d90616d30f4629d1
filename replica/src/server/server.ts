import type { Server, Socket } from 'node:net';
import type { Epoch, Session } from '../protocol/index.ts';
import { VolumeKey } from '../protocol/index.ts';
import { MAX_CONNECTIONS, STOP_TIMEOUT_MS } from '../limits.ts';
import type { Address, Clock, Connection, Logger } from '../runtime/index.ts';
import { formatAddress, listen, net, systemClock, widenSendBuffer } from '../runtime/index.ts';
import { isCurable, StoreError } from '../store/errors.ts';
import type { Store } from '../store/types.ts';
import { Lease } from './lease.ts';
import type { ReplicaMetrics } from './metrics.ts';
import type { SessionHost } from './session.ts';
import { ReplicaSession, UNIX_PEER } from './session.ts';
import { Stream } from './stream.ts';

/** Serves one store to the one target that holds the highest promise. */
export class ReplicaServer implements SessionHost {
  readonly store: Store;
  readonly stream: Stream;
  readonly volume: VolumeKey;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly lease: Lease;
  readonly #metrics: ReplicaMetrics;
  readonly #failed: (error: StoreError) => void;
  readonly #sessions = new Set<ReplicaSession>();
  #owner: ReplicaSession | null = null;
  #highestEpoch: Epoch;
  #server: Server | null = null;
  #stopping = false;
  #gaveUp = false;
  #ended: (() => void) | null = null;

  /**
   * `failed` is called once, when nothing but opening the store anew can help and no session needs
   * it for reads.
   */
  constructor(options: {
    readonly store: Store;
    readonly logger: Logger;
    readonly metrics: ReplicaMetrics;
    readonly failed: (error: StoreError) => void;
    /** Of this host where none is given. */
    readonly clock?: Clock;
  }) {
    this.store = options.store;
    this.logger = options.logger;
    this.clock = options.clock ?? systemClock;
    this.#metrics = options.metrics;
    this.#failed = options.failed;
    this.volume = new VolumeKey(options.store.identity.volumeId);
    this.#highestEpoch = options.store.state().promisedEpoch;
    this.lease = new Lease(this.clock.now(), this.#highestEpoch > 0);
    this.stream = new Stream(options.store, (error) => this.#streamFailed(error));
  }

  get highestEpoch(): Epoch {
    return this.#highestEpoch;
  }

  /** Whom the replica serves now. */
  get owner(): ReplicaSession | null {
    return this.#owner;
  }

  get connections(): number {
    return this.#sessions.size;
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  async listen(address: Address): Promise<Address> {
    const server = net.createServer((socket) => {
      if (address.kind === 'unix') widenSendBuffer(socket);
      this.accept(socket, peerOf(socket));
    });
    this.#server = server;
    const bound = await listen(server, address);
    server.on('error', (error) => this.logger.error({ err: error }, 'accepting failed'));
    return bound;
  }

  /** A connection of a target; `listen` brings those of this host's network. */
  accept(connection: Connection, peer: string): void {
    if (this.#stopping) {
      connection.destroy();
      return;
    }
    if (this.#sessions.size >= MAX_CONNECTIONS) this.#displaceOldest();
    this.#sessions.add(new ReplicaSession(connection, peer, this));
  }

  /** Takes nothing more, answers and flushes what arrived, says bye. The store stays open. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#server?.close();
    await this.#within(
      STOP_TIMEOUT_MS,
      Promise.all([...this.#sessions].map((each) => each.drain())),
    );
    if (this.store.identity.role === 'data' && this.stream.failure === null) {
      await this.#within(STOP_TIMEOUT_MS, this.#flush());
    }
    for (const session of this.#sessions) session.event({ kind: 'stopped' });
    await this.#allEnded();
  }

  /** After a failure that only a new start can cure: tells the sessions and closes them. */
  async abandon(error: StoreError): Promise<void> {
    this.#stopping = true;
    this.#server?.close();
    const { code, message } = error;
    for (const session of this.#sessions) session.event({ kind: 'store-failed', code, message });
    await this.#allEnded();
  }

  makePromise(session: ReplicaSession, epoch: Epoch, sessionId: Session): void {
    if (epoch > this.#highestEpoch) {
      this.#highestEpoch = epoch;
      // Before it is durable: from here on nothing of a lower epoch is applied or acknowledged.
      this.#fenceOthers(session);
    }
    this.#promise(session, epoch, sessionId).catch((error: unknown) => {
      if (!(error instanceof StoreError)) throw error;
      if (error.code === 'EPOCH_STALE') {
        session.event({ kind: 'fenced', highestEpoch: this.#highestEpoch });
      } else {
        session.event({ kind: 'store-failed', code: error.code, message: error.message });
        // No later session could promise anything either, until the store is opened anew.
        this.#giveUp(error);
      }
    });
  }

  released(session: ReplicaSession): void {
    if (session === this.#owner) this.lease.release();
  }

  flushed(seconds: number): void {
    this.#metrics.flushSeconds.observe(seconds);
  }

  protocolError(code: string): void {
    this.#metrics.protocolError(code);
  }

  ended(session: ReplicaSession): void {
    this.#sessions.delete(session);
    this.stream.end(session);
    if (this.#owner === session) {
      this.#owner = null;
      const { failure } = this.stream;
      if (failure !== null) this.#giveUp(failure);
    }
    this.#ended?.();
  }

  /** Each socket is closed by its peer, or by the session's own time limit. */
  async #allEnded(): Promise<void> {
    while (this.#sessions.size > 0) await new Promise<void>((resolve) => (this.#ended = resolve));
  }

  async #promise(session: ReplicaSession, epoch: Epoch, sessionId: Session): Promise<void> {
    await this.store.promise(epoch, sessionId);
    const { state } = session;
    if (state.kind !== 'promising' || state.epoch !== epoch) return;
    // The same session on a new connection: the old one is dead, whether it knows it or not.
    this.#fenceOthers(session);
    this.#owner = session;
    this.lease.begin(this.clock.now());
    const failure = this.stream.begin(session);
    this.#metrics.storeFailed(failure?.code ?? null);
    session.event({ kind: 'promise-durable' });
    this.logger.info({ peer: session.peer, target: state.targetName, epoch }, 'serving');
    if (failure !== null) session.streamFailed(failure);
  }

  #fenceOthers(session: ReplicaSession): void {
    for (const other of this.#sessions) {
      if (other === session) continue;
      const { kind } = other.state;
      if (kind !== 'promising' && kind !== 'serving') continue;
      this.stream.end(other);
      other.event({ kind: 'fenced', highestEpoch: this.#highestEpoch });
    }
  }

  /**
   * A target must get in however many idle connections there are. A Set keeps the order in which
   * they came.
   */
  #displaceOldest(): void {
    for (const session of this.#sessions) {
      if (session.state.kind === 'serving' || session.state.kind === 'promising') continue;
      session.event({ kind: 'displaced' });
      session.destroy();
      this.#sessions.delete(session);
      return;
    }
  }

  #streamFailed(error: StoreError): void {
    this.logger.error({ err: error, code: error.code }, 'the store failed');
    this.#metrics.storeFailed(error.code);
    // A session that goes on reading is not cut off; its end is the time to open the store anew.
    if (this.#owner === null || this.#owner.state.kind === 'over') this.#giveUp(error);
  }

  #giveUp(error: StoreError): void {
    if (this.#stopping || this.#gaveUp || isCurable(error)) return;
    this.#gaveUp = true;
    this.#failed(error);
  }

  async #within(limitMs: number, work: Promise<unknown>): Promise<void> {
    let cancel = (): void => undefined;
    const limit = new Promise<void>((resolve) => {
      cancel = this.clock.after(limitMs, resolve);
    });
    await Promise.race([work, limit]);
    cancel();
  }

  #flush(): Promise<void> {
    return new Promise((resolve) => {
      this.store.flush((error) => {
        if (error !== null) this.logger.error({ err: error, code: error.code }, 'flush failed');
        resolve();
      });
    });
  }
}

const peerOf = ({ remoteAddress, remotePort }: Socket): string =>
  remoteAddress === undefined
    ? UNIX_PEER
    : formatAddress({ kind: 'tcp', host: remoteAddress, port: remotePort ?? 0 });
