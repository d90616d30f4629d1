import { strict as assert } from 'node:assert';
import {
  EXTENT_BYTES,
  FrameDecoder,
  verifySegments,
  type Epoch,
  type Frame,
  type LayersChange,
  type MembershipRecord,
  type ReplicaRole,
  type Session,
} from '@openebs/replica/protocol';
import { openStoreOn, StoreError, type LayerFill, type Store } from '@openebs/replica/store';
import { SimulatedDisk } from '../../../replica/src/store/simulated-disk.ts';
import type { Batch } from './batch.ts';
import { PoisonedLoan } from '../memory-volume.ts';
import type { Answer, ByteRange, Link, LinkEvents, ReadRequest } from './link.ts';

/**
 * Virtual time, chance and the order of events: whoever lives in the simulation takes them from
 * here.
 */
export interface World {
  readonly now: number;
  random(): number;
  /** Returns what takes it back. */
  after(delayMs: number, callback: () => void): () => void;
}

/**
 * A replica process on a simulated disk: the real store, and the rules of the replica's server for
 * sessions.
 */
export class SimulatedReplica {
  readonly address: string;
  readonly id: string;
  disk: SimulatedDisk;
  readonly #world: World;
  readonly sizeBytes: number;
  readonly volume: { volumeId: string; sizeBytes: number; role: ReplicaRole };
  #store: Store | null = null;
  #life = 0;
  #serving: SimulatedLink | null = null;
  #lastSeq = 0;
  #appliedSeq = 0;
  #session: string | null = null;
  #idleWaiters: (() => void)[] = [];
  readonly links = new Set<SimulatedLink>();

  constructor(index: number, world: World, volume: SimulatedReplica['volume']) {
    this.address = `sim:${index}`;
    this.id = `0000000${index}-0000-4000-8000-000000000000`;
    this.#world = world;
    this.volume = volume;
    this.sizeBytes = volume.sizeBytes;
    this.disk = new SimulatedDisk(() => world.random());
  }

  get alive(): boolean {
    return this.#store !== null;
  }

  get life(): number {
    return this.#life;
  }

  get store(): Store {
    assert(this.#store !== null, 'the replica runs');
    return this.#store;
  }

  async start(): Promise<void> {
    const life = ++this.#life;
    const store = await openStoreOn(
      {
        disk: this.disk,
        every: (intervalMs, tick) => {
          let cancel = (): void => undefined;
          const again = (): void => {
            cancel = this.#world.after(intervalMs, () => {
              if (life !== this.#life) return;
              tick();
              again();
            });
          };
          again();
          return () => cancel();
        },
        later: setImmediate,
      },
      {
        directory: 'simulated',
        create: { ...this.volume, replicaId: this.id },
      },
    );
    if (life !== this.#life) return;
    this.#session = null;
    store.setEvents({
      applied: (seq) => {
        if (life !== this.#life) return;
        this.#appliedSeq = seq;
        const link = this.#serving;
        link?.toTarget(() => link.events.acknowledged(seq));
        if (seq === this.#lastSeq) for (const wake of this.#idleWaiters.splice(0)) wake();
      },
      failed: (error) => {
        this.#appliedSeq = this.#lastSeq;
        const link = this.#serving;
        link?.toTarget(() => link.events.failed(error.code, error.message));
        for (const wake of this.#idleWaiters.splice(0)) wake();
      },
    });
    this.#store = store;
  }

  /** kill -9; with `power`, the machine: what was not flushed may be lost. */
  kill(power: boolean): void {
    if (this.#store === null) return;
    this.#life++;
    this.#store = null;
    this.#serving = null;
    this.#idleWaiters = [];
    if (power) this.disk.losePower();
    else this.disk.killProcess();
    for (const link of [...this.links]) link.cut();
  }

  promise(link: SimulatedLink, epoch: Epoch, session: Session): void {
    const { store } = this;
    const life = this.#life;
    store.promise(epoch, session).then(
      () => {
        this.whenIdle(() => {
          if (life !== this.#life || !this.links.has(link)) return;
          for (const other of this.links) {
            if (other !== link && other.promised) this.#fence(other);
          }
          this.#serving = link;
          link.promised = true;
          const key = `${epoch}/${session}`;
          if (this.#session !== key) {
            this.#session = key;
            this.#lastSeq = 0;
            this.#appliedSeq = 0;
          }
          const state = store.state();
          link.toTarget(() => link.events.promised(state));
        });
      },
      (error: unknown) => {
        if (life !== this.#life) return;
        assert(error instanceof StoreError, String(error));
        this.#fence(link);
      },
    );
    // Before it is durable: nothing of an older session is applied from here on.
    if (this.#serving !== null && this.#serving !== link) {
      const old = this.#serving;
      if (old.epoch < epoch) {
        this.#serving = null;
        this.#fence(old);
      }
    }
  }

  frame(link: SimulatedLink, frame: Frame): void {
    if (this.#serving !== link) return;
    assert(frame.seq > this.#lastSeq, 'the numbers of a session rise');
    const { kind, offsetBytes, lengthBytes, seq } = frame;
    const version = { epoch: frame.epoch, seq };
    this.#lastSeq = seq;
    if (kind === 'write') {
      assert(verifySegments(offsetBytes, frame.chunks, frame.table) < 0, 'a write arrives whole');
      const { chunks, table: checksums } = frame;
      this.store.apply({ kind, version, offsetBytes, lengthBytes, chunks, checksums });
    } else {
      assert(kind === 'unmap' || kind === 'stamp');
      this.store.apply({ kind, version, offsetBytes, lengthBytes });
    }
  }

  settle(): void {
    if (this.#lastSeq !== this.#appliedSeq) this.store.settle();
  }

  whenIdle(callback: () => void): void {
    this.settle();
    if (this.#lastSeq === this.#appliedSeq) callback();
    else this.#idleWaiters.push(callback);
  }

  #fence(link: SimulatedLink): void {
    const promised = this.store.state().promisedEpoch;
    link.toTarget(() => link.events.fenced(promised));
    link.cut();
  }
}

/** A connection through the simulated network: ordered, delayed, and cut at any moment. */
export class SimulatedLink implements Link {
  readonly wants = 'frames';
  readonly bufferedBytes = 0;
  readonly events: LinkEvents;
  readonly #replica: SimulatedReplica;
  readonly #world: World;
  readonly #targetAlive: () => boolean;
  readonly #life: number;
  readonly #decoder: FrameDecoder;
  readonly #pending = new Set<(failure: typeof CLOSED) => void>();
  #lastToReplica = 0;
  #lastToTarget = 0;
  #isCut = false;
  #isClosed = false;
  promised = false;
  epoch = 0;

  constructor(
    replica: SimulatedReplica,
    world: World,
    events: LinkEvents,
    targetAlive: () => boolean,
  ) {
    this.events = events;
    this.#replica = replica;
    this.#world = world;
    this.#targetAlive = targetAlive;
    this.#life = replica.life;
    this.#decoder = new FrameDecoder((frame) => replica.frame(this, frame));
    if (!replica.alive) {
      this.cut();
      return;
    }
    replica.links.add(this);
    this.toReplica(() => {
      const { identity } = replica.store;
      const state = replica.store.state();
      this.toTarget(() => events.welcome(identity, state));
    });
  }

  get ofLiveTarget(): boolean {
    return this.#targetAlive();
  }

  promise(epoch: Epoch, session: Session): void {
    this.epoch = epoch;
    this.toReplica(() => this.#replica.promise(this, epoch, session));
  }

  apply(): void {
    throw new TypeError('a simulated socket takes batches');
  }

  send(batch: Batch): void {
    const bytes = Buffer.concat(
      batch.pieces().map(({ slab, start, end }) => slab.buffer.subarray(start, end)),
    );
    this.toReplica(() => {
      const end = this.#decoder.consume(bytes, 0, bytes.length, {
        reserve: () => 0,
        paused: false,
      });
      assert.equal(end, bytes.length, 'a batch is whole frames');
      this.#replica.settle();
    });
  }

  endTurn(): void {
    // Nothing is held back here.
  }

  read(request: ReadRequest): void {
    this.#read(request, 0);
  }

  readLayer(layer: number, request: ReadRequest): void {
    this.#read(request, layer);
  }

  #read(request: ReadRequest, layer: number): void {
    const { offsetBytes, lengthBytes } = request;
    this.#request(
      (failure) => request.readFailed(failure),
      (reply) => {
        const into = Buffer.alloc(lengthBytes);
        const checksums = Buffer.alloc(4 * (Math.ceil(lengthBytes / 4096) + 1));
        const done = (error: StoreError | null): void =>
          reply(() => {
            if (error === null) request.readDone(into, new PoisonedLoan(into));
            else request.readFailed(failureOf(error));
          });
        const { store } = this.#replica;
        if (layer === 0) store.read(offsetBytes, into, checksums, done);
        else store.readLayer(layer, { offsetBytes, into, checksums, done });
      },
    );
  }

  putLayers(change: LayersChange, answer: Answer): void {
    this.#ask(answer, (done) => settleWith(this.#replica.store.changeLayers(change), done));
  }

  layerAllocation(layer: number, { offsetBytes, lengthBytes }: ByteRange, answer: Answer): void {
    this.#metadata(answer, (store) => store.layerAllocation(layer, offsetBytes, lengthBytes));
  }

  layerChecksums(layer: number, { offsetBytes }: ByteRange, answer: Answer): void {
    this.#metadata(answer, (store) => store.layerChecksums(layer, offsetBytes / EXTENT_BYTES));
  }

  fillLayer(layer: number, fill: LayerFill, answer: Answer): void {
    this.#ask(answer, (done) => {
      this.#replica.store.fillLayer(layer, fill, (error) => done(error, null));
    });
  }

  flush(answer: Answer): void {
    this.#ask(answer, (done) => this.#replica.store.flush((error) => done(error, null)));
  }

  putRecord(record: MembershipRecord, answer: Answer): void {
    this.#ask(answer, (done) => settleWith(this.#replica.store.putRecord(record), done));
  }

  getDocument(name: string, answer: Answer): void {
    this.#ask(answer, (done) => done(null, this.#replica.store.getDocument(name)));
  }

  putDocument(name: string, content: Uint8Array, answer: Answer): void {
    this.#ask(answer, (done) => settleWith(this.#replica.store.putDocument(name, content), done));
  }

  allocation(offsetBytes: number, lengthBytes: number, answer: Answer): void {
    this.#metadata(answer, (store) => store.allocation(offsetBytes, lengthBytes));
  }

  extentChecksums(offsetBytes: number, _lengthBytes: number, answer: Answer): void {
    this.#metadata(answer, (store) => store.extentChecksums(offsetBytes / EXTENT_BYTES));
  }

  extentVersions(offsetBytes: number, lengthBytes: number, answer: Answer): void {
    this.#metadata(answer, (store) =>
      store.extentVersions(offsetBytes / EXTENT_BYTES, Math.ceil(lengthBytes / EXTENT_BYTES)),
    );
  }

  scrub(offsetBytes: number, _lengthBytes: number, answer: Answer): void {
    this.#ask(answer, (done) => this.#replica.store.scrub(offsetBytes / EXTENT_BYTES, done));
  }

  ping(answer: Answer): void {
    this.#ask(answer, (done) => done(null, null));
  }

  close(): void {
    this.cut();
  }

  /** Nothing more arrives, in either direction; the target notices a little later. */
  cut(): void {
    if (this.#isCut) return;
    this.#isCut = true;
    this.#replica.links.delete(this);
    const at = Math.max(this.#lastToTarget, this.#world.now + this.#world.random() * 5);
    this.#world.after(at - this.#world.now, () => {
      this.#isClosed = true;
      if (!this.#targetAlive()) return;
      this.events.closed('CONNECTION', 'the simulated connection was cut');
      for (const fail of [...this.#pending]) fail(CLOSED);
      this.#pending.clear();
    });
  }

  toReplica(callback: () => void): void {
    const at = Math.max(this.#lastToReplica, this.#world.now + this.#delay());
    this.#lastToReplica = at;
    this.#world.after(at - this.#world.now, () => {
      if (!this.#isCut && this.#life === this.#replica.life && this.#replica.alive) callback();
    });
  }

  /** What was sent before the cut may still arrive. */
  toTarget(callback: () => void): void {
    if (this.#isCut) return;
    const at = Math.max(this.#lastToTarget, this.#world.now + this.#delay());
    this.#lastToTarget = at;
    this.#world.after(at - this.#world.now, () => {
      if (!this.#isClosed && this.#targetAlive()) callback();
    });
  }

  #delay(): number {
    return this.#world.random() < 0.02 ? this.#world.random() * 40 : this.#world.random() * 2;
  }

  #request(
    fail: (failure: typeof CLOSED) => void,
    work: (reply: (answer: () => void) => void) => void,
  ): void {
    this.#pending.add(fail);
    this.toReplica(() =>
      work((answer) =>
        this.toTarget(() => {
          if (this.#pending.delete(fail)) answer();
        }),
      ),
    );
  }

  #ask(
    answer: Answer,
    work: (done: (error: unknown, payload: Uint8Array | null) => void) => void,
  ): void {
    this.#request(
      (failure) => answer(failure, null),
      (reply) =>
        work((error, payload) =>
          reply(() => answer(error === null ? null : failureOf(error), payload)),
        ),
    );
  }

  #metadata(answer: Answer, take: (store: Store) => Uint8Array): void {
    this.#ask(answer, (done) =>
      this.#replica.whenIdle(() => {
        try {
          done(null, take(this.#replica.store));
        } catch (error) {
          done(error, null);
        }
      }),
    );
  }
}

const CLOSED = { code: 'LINK_CLOSED', message: 'cut', offsetBytes: null as number | null };

const failureOf = (error: unknown): typeof CLOSED => {
  assert(error instanceof StoreError, String(error));
  return { code: error.code, message: error.message, offsetBytes: error.offsetBytes };
};

const settleWith = (work: Promise<void>, done: (error: unknown, payload: null) => void): void => {
  work.then(
    () => done(null, null),
    (error: unknown) => done(error, null),
  );
};
