import { strict as assert } from 'node:assert';
import {
  encodeScrubAnswer,
  EXTENT_BYTES,
  FrameDecoder,
  type Epoch,
  type LayersChange,
  type MembershipRecord,
  type Session,
} from '@openebs/replica/protocol';
import { StoreError, type LayerFill, type Store } from '@openebs/replica/store';
import { PoisonedLoan } from '../memory-volume.ts';
import type { Batch } from './batch.ts';
import type { Answer, ByteRange, Link, LinkEvents, ReadRequest } from './link.ts';
import type { SimulatedReplica, World } from './simulated-replica.test-support.ts';

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
  readonly #readTicks = new Map<ReadRequest, number>();
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
      const state = { ...replica.store.state(), leaseRemainingMs: 0 };
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
    const bytes = Buffer.concat(batch.pieces().map(({ bytes }) => bytes));
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

  tickReads(): number {
    for (const [read, ticks] of this.#readTicks) this.#readTicks.set(read, ticks + 1);
    return Math.max(0, ...this.#readTicks.values());
  }

  readLayer(layer: number, request: ReadRequest): void {
    this.#read(request, layer);
  }

  #read(request: ReadRequest, layer: number): void {
    const { offsetBytes, lengthBytes } = request;
    this.#readTicks.set(request, 0);
    this.#request(
      (failure) => {
        this.#readTicks.delete(request);
        request.readFailed(failure);
      },
      (reply) => {
        if (this.#replica.hangingReads > 0) {
          this.#replica.hangingReads--;
          return;
        }
        const into = Buffer.alloc(lengthBytes);
        const checksums = Buffer.alloc(4 * (Math.ceil(lengthBytes / 4096) + 1));
        const done = (error: StoreError | null): void =>
          reply(() => {
            this.#readTicks.delete(request);
            if (error === null) request.readDone(into, new PoisonedLoan(into), null);
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

  resize(sizeBytes: number, answer: Answer): void {
    this.#ask(answer, (done) => settleWith(this.#replica.store.resize(sizeBytes), done));
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
    this.#ask(answer, (done) => {
      this.#replica.store.scrub(offsetBytes / EXTENT_BYTES, (error, found) =>
        done(error, encodeScrubAnswer(found)),
      );
    });
  }

  ping(answer: Answer): void {
    this.#ask(answer, (done) => done(null, null));
  }

  refresh(answer: Answer): void {
    this.#ask(answer, (done) => {
      const state = { ...this.#replica.store.state(), leaseRemainingMs: 0 };
      this.toTarget(() => this.events.remembered(state));
      done(null, null);
    });
  }

  close(): void {
    this.#replica.released(this);
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
      if (!this.#isCut && this.#life === this.#replica.life && this.#replica.alive) {
        this.#replica.heard(this);
        callback();
      }
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
