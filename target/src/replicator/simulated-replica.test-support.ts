import { strict as assert } from 'node:assert';
import {
  verifySegments,
  type Epoch,
  type Frame,
  type ReplicaRole,
  type Session,
} from '@openebs/replica/protocol';
import { openStoreOn, StoreError, type Store } from '@openebs/replica/store';
import { SimulatedDisk } from '../../../replica/src/store/simulated-disk.ts';
import { Lease } from '../../../replica/src/server/lease.ts';
import type { SimulatedLink } from './simulated-link.test-support.ts';

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
  readonly volume: { volumeId: string; sizeBytes: number; role: ReplicaRole };
  #store: Store | null = null;
  #life = 0;
  #serving: SimulatedLink | null = null;
  #lastSeq = 0;
  #appliedSeq = 0;
  #session: string | null = null;
  #lease = new Lease(0, false);
  #idleWaiters: (() => void)[] = [];
  /** So many of the next reads are never answered. */
  hangingReads = 0;
  readonly links = new Set<SimulatedLink>();

  constructor(index: number, world: World, volume: SimulatedReplica['volume']) {
    this.address = `sim:${index}`;
    this.id = `0000000${index}-0000-4000-8000-000000000000`;
    this.#world = world;
    this.volume = volume;
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
        // A process that was killed does nothing later.
        later: (callback) =>
          setImmediate(() => {
            if (life === this.#life) callback();
          }),
      },
      {
        directory: 'simulated',
        create: { ...this.volume, replicaId: this.id },
      },
    );
    if (life !== this.#life) return;
    this.#session = null;
    this.#lease = new Lease(this.#world.now, store.state().promisedEpoch > 0);
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
        link?.toTarget(() => link.events.failed(error));
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
          this.#lease.begin(this.#world.now);
          const leaseRemainingMs = this.#lease.earlierRemainingMs(this.#world.now);
          const key = `${epoch}/${session}`;
          if (this.#session !== key) {
            this.#session = key;
            this.#lastSeq = 0;
            this.#appliedSeq = 0;
          }
          const state = { ...store.state(), leaseRemainingMs };
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
    if (kind === 'write' || kind === 'write-atomic') {
      assert(verifySegments(offsetBytes, frame.chunks, frame.table) < 0, 'a write arrives whole');
      const { chunks, table: checksums } = frame;
      this.store.apply({ kind, version, offsetBytes, lengthBytes, chunks, checksums });
    } else {
      assert(kind === 'unmap' || kind === 'stamp');
      this.store.apply({ kind, version, offsetBytes, lengthBytes });
    }
  }

  /** Something of this link's target has arrived. */
  heard(link: SimulatedLink): void {
    if (this.#serving === link) this.#lease.heard(this.#world.now);
  }

  /** The link's target answers nothing more from what it got here. */
  released(link: SimulatedLink): void {
    if (this.#serving === link) this.#lease.release();
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
