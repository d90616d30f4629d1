import type { MembershipRecord } from '../../replica/src/protocol/index.ts';
import type { Logger } from '../../replica/src/runtime/index.ts';
import { ReplicaMetrics, ReplicaServer } from '../../replica/src/server/index.ts';
import { openStoreOn, StoreError } from '../../replica/src/store/index.ts';
import type { Store } from '../../replica/src/store/index.ts';
import { dataFileName } from '../../replica/src/store/layer-tree.ts';
import { SUPERBLOCK } from '../../replica/src/store/superblock.ts';
import { SimulatedDisk } from '../../replica/src/store/simulated-disk.ts';
import type { Random } from '../support/random.ts';
import { BusyDisk } from './busy-disk.ts';
import type { Network } from './network.ts';
import { SimulatedProcess } from './process.ts';
import { Violation } from './world.ts';
import type { World } from './world.ts';

export interface VolumeFacts {
  readonly volumeId: string;
  readonly sizeBytes: number;
}

/** After a failure the orchestrator starts a process again. */
const RESTART_MS = { least: 100, spread: 900 };
/** What the store asks for. */
export const MAINTENANCE_MS = 10_000;
/** Codes with which a directory cannot be opened, whatever happened to the machine. */
const NEVER: ReadonlySet<string> = new Set([
  'SUPERBLOCK_DAMAGED',
  'NOT_A_STORE',
  'WRONG_SIZE',
  'WRONG_VOLUME',
  'LOCKED',
  'FORMAT_TOO_NEW',
]);

/** What a copy of a new volume is made of: a layer of a copy on the same machine. */
export interface CloneSource {
  readonly machine: ReplicaMachine;
  readonly layer: number;
}

const ORIGIN = 'origin';
/** How long a step of the process that makes a clone takes, of thousandths. */
const STEPS_MS = [0, 0.02, 0.3, 3, 25];

/**
 * One directory on a machine and, most of the time, a replica process: real server, real store.
 * Replicas of several volumes may be on one machine.
 */
export class ReplicaMachine {
  readonly index: number;
  readonly address: string;
  readonly name: string;
  /** The machine. */
  readonly host: string;
  readonly id: string;
  readonly role: 'data' | 'witness';
  /** Not null: the copy is still to be made of another one, by a process of its own. */
  cloneFrom: CloneSource | null;
  disk: SimulatedDisk;
  process: SimulatedProcess | null = null;
  server: ReplicaServer | null = null;
  store: Store | null = null;
  /** The highest epoch that a target was told to be promised: durable, whatever happens. */
  promisedEpoch = 0;
  /** The newest record that it is known to keep whatever happens. */
  durableRecord: MembershipRecord | null = null;
  /** It holds in memory or on disk all that was acknowledged while it was in sync. */
  whole = true;
  /** Milliseconds that the disk takes besides the usual. */
  slowMs = 0;
  /** It will never be there again. */
  gone = false;
  /** It must not run yet. */
  held = false;
  /** No restarts by the orchestrator until told otherwise. */
  away = false;
  readonly #world: World;
  readonly #network: Network;
  readonly #volume: () => VolumeFacts;
  readonly #random: Random;
  readonly #rate: number;
  readonly #maintenanceMs: number;
  #restart: () => void = () => undefined;
  /** While a clone is made: time may pass between two steps. */
  #passing = false;

  constructor(options: {
    readonly index: number;
    /** What the names of all that belongs to the volume begin with. */
    readonly prefix: string;
    readonly id: string;
    readonly role: 'data' | 'witness';
    readonly cloneFrom: CloneSource | null;
    readonly world: World;
    readonly network: Network;
    readonly volume: () => VolumeFacts;
    readonly maintenanceMs: number;
  }) {
    const { index, prefix, role, world } = options;
    this.index = index;
    this.role = role;
    this.#world = world;
    this.#network = options.network;
    this.#volume = options.volume;
    this.#maintenanceMs = options.maintenanceMs;
    this.address = `${prefix}replica:${index}`;
    this.name = `${prefix}replica-${index}`;
    this.cloneFrom = options.cloneFrom;
    this.host = this.cloneFrom?.machine.host ?? this.name;
    this.id = options.id;
    this.#random = world.random(this.name);
    this.#rate = 1 + (this.#random.below(41) - 20) / 1000;
    this.disk = this.#newDisk(world.random(`${prefix}disk ${index}`));
  }

  #newDisk(chance: Random): SimulatedDisk {
    return new SimulatedDisk(
      () => chance.bits() / 2 ** 32,
      (callback) => this.process?.after(this.#diskMs(), callback),
    );
  }

  /** Somebody removes the directory, and the process starts again on an empty one. */
  empty(): void {
    this.kill();
    this.#world.note(this.name, 'is emptied');
    this.#removeAll();
    this.disk = this.#newDisk(this.#random);
    this.promisedEpoch = 0;
    this.durableRecord = null;
    this.whole = false;
    this.startLater(1);
  }

  /** For good, with the directory. */
  retire(): void {
    this.gone = true;
    this.whole = false;
    this.kill();
    this.#removeAll();
  }

  /** One by one; what others have a name for stays theirs. */
  #removeAll(): void {
    const names = this.disk.list();
    while (names.length > 0) {
      const [name = ''] = names.splice(this.#random.below(names.length), 1);
      this.disk.remove(name);
    }
  }

  get alive(): boolean {
    return this.process !== null;
  }

  get serving(): boolean {
    return this.server !== null;
  }

  start(): void {
    if (this.process !== null || this.gone || this.held) return;
    this.#restart();
    this.away = false;
    const process = new SimulatedProcess(this.name, this.host, this.#world, this.#rate);
    this.process = process;
    this.#network.hostBack(this.host);
    this.#world.note(this.name, 'starts');
    process.run(() => this.#open(process));
  }

  /** kill -9: what was written stays in the page cache. */
  kill(): void {
    const { process } = this;
    if (process === null) return;
    this.#world.note(this.name, 'is killed');
    this.disk.killProcess();
    this.#ended(process);
    this.#network.processDied(process);
  }

  /** The machine stops: of what was not flushed, some is lost. */
  losePower(): void {
    this.#world.note(this.name, 'loses power');
    this.#undoRot();
    this.disk.losePower();
    this.disk.full = false;
    const { process } = this;
    if (process !== null) this.#ended(process);
    this.#network.hostLost(this.host);
    this.whole = false;
  }

  /** SIGTERM. */
  stop(): void {
    const { process, server, store } = this;
    if (process === null || server === null || store === null || server.stopping) return;
    this.#world.note(this.name, 'stops in good order');
    process.run(() => {
      server
        .stop()
        .then(() => store.close())
        .then(
          () => this.#exit(process, 'stopped'),
          (error: unknown) => this.#exit(process, `did not stop in order: ${String(error)}`),
        );
    });
  }

  startLater(afterMs: number): void {
    this.away = true;
    this.#restart();
    this.#restart = this.#world.after(afterMs, () => this.start());
  }

  #open(process: SimulatedProcess): void {
    const { disk, id: replicaId, role } = this;
    const every = (intervalMs: number, tick: () => void): (() => void) => {
      let wanted = true;
      let cancel = (): void => undefined;
      const everyMs = intervalMs === MAINTENANCE_MS ? this.#maintenanceMs : intervalMs;
      const again = (): void => {
        cancel = process.after(everyMs, () => {
          tick();
          if (wanted) again();
        });
      };
      again();
      return () => {
        wanted = false;
        cancel();
      };
    };
    const { cloneFrom } = this;
    const opened = openStoreOn(
      {
        disk: cloneFrom === null ? disk : this.#busyDisk(process, cloneFrom),
        every,
        later: (callback) => process.after(0.01, callback),
      },
      {
        directory: disk.directory,
        ...(cloneFrom && { cloneFrom: { directory: ORIGIN, layer: cloneFrom.layer } }),
        create: { ...this.#volume(), replicaId, role },
        warn: (message) => this.#world.note(this.name, message),
      },
    );
    this.#passing = false;
    opened.then(
      (store) => {
        if (!process.alive) return;
        if (cloneFrom === null) this.#serve(process, store);
        else this.#made(process, store);
      },
      (error: unknown) => {
        if (!process.alive) return;
        if (!(error instanceof StoreError)) throw error;
        // Of which a clone is to be made may be gone.
        const isStore = cloneFrom === null || disk.exists(SUPERBLOCK.fileName);
        if (isStore && NEVER.has(error.code)) {
          this.#world.fail(new Violation('I1', `${this.name} cannot be opened: ${error.message}`));
        }
        this.#exit(process, `cannot start: ${error.message}`);
      },
    );
  }

  /** Others go on while the process works that makes a clone. */
  #busyDisk(process: SimulatedProcess, { machine }: CloneSource): BusyDisk {
    this.disk.siblings.set(ORIGIN, machine.disk);
    this.#passing = true;
    const pass = (): void => {
      // What comes after the process has waited for something is events of its own.
      if (!this.#passing) return;
      const ms = this.#random.pick(STEPS_MS) * (this.#random.below(1000) / 1000);
      process.pause();
      this.#world.runFor(ms);
      process.goOn();
      if (!process.alive) throw new Error('the process ended meanwhile');
      this.#passing = true;
    };
    return new BusyDisk(this.disk, pass, () => process.alive);
  }

  #made(process: SimulatedProcess, store: Store): void {
    store.close().then(
      () => {
        if (!process.alive) return;
        this.cloneFrom = null;
        this.#exit(process, 'the copy is made');
      },
      (error: unknown) => this.#exit(process, `did not stop in order: ${String(error)}`),
    );
  }

  #serve(process: SimulatedProcess, store: Store): void {
    const { promisedEpoch, record } = store.state();
    const kept = this.durableRecord;
    if (kept !== null && (record === null || isLaterRecord(kept, record))) {
      const what = `kept record ${nameOf(kept)} and knows of ${nameOf(record)} after a start`;
      this.#world.fail(new Violation('I2', `${this.name} ${what}`));
    }
    this.durableRecord = record;
    if (promisedEpoch < this.promisedEpoch) {
      const what = `promised ${this.promisedEpoch} and knows of ${promisedEpoch} after a start`;
      this.#world.fail(new Violation('I3', `${this.name} ${what}`));
    }
    this.store = store;
    const server = new ReplicaServer({
      store,
      logger: this.#logger(),
      metrics: new ReplicaMetrics(store),
      clock: process,
      failed: (error) => {
        this.#world.note(this.name, `ends: ${error.message}`);
        void server.abandon(error).then(() => {
          this.#exit(process, 'the store failed');
        });
      },
    });
    this.server = server;
    this.#world.note(this.name, () => `serves, epoch ${promisedEpoch} is promised`);
    this.#network.listen(this.address, process, (socket) => server.accept(socket, 'simulated'));
  }

  #exit(process: SimulatedProcess, why: string): void {
    if (this.process !== process) return;
    this.#world.note(this.name, `exits: ${why}`);
    // The kernel gives the lock back.
    this.disk.killProcess();
    this.#ended(process);
    this.#network.processDied(process);
    if (!this.away) this.startLater(RESTART_MS.least + this.#random.below(RESTART_MS.spread));
  }

  #ended(process: SimulatedProcess): void {
    this.#undoRot();
    process.kill();
    this.process = null;
    this.server = null;
    this.store = null;
  }

  /**
   * What rots in a marked region before an unclean stop cannot be told from an unflushed write: the
   * checksums there are computed anew. Only layers of long ago have no such regions for certain: a
   * head may just have been frozen, or be put back in its place.
   */
  #undoRot(): void {
    const ids = (this.store?.state().layers ?? []).map(({ id }) => id).sort((a, b) => b - a);
    const old = new Set(ids.slice(2).map(dataFileName));
    this.disk.undoRot((name) => !old.has(name));
  }

  #diskMs(): number {
    const usual = 0.02 + this.#random.below(100) / 100;
    return this.slowMs === 0 ? usual : usual + this.#random.below(this.slowMs);
  }

  #logger(): Logger {
    const note = (fields: object, message?: string): void =>
      this.#world.note(this.name, () => `${message ?? ''} ${describe(fields)}`);
    const logger = { trace: note, debug: note, info: note, warn: note, error: note, fatal: note };
    return logger as unknown as Logger;
  }
}

export const isLaterRecord = (a: MembershipRecord, b: MembershipRecord | null): boolean =>
  b === null || a.epoch > b.epoch || (a.epoch === b.epoch && a.configSeq > b.configSeq);

const nameOf = (record: MembershipRecord | null): string =>
  record === null ? 'none' : `(${record.epoch}, ${record.configSeq})`;

export const describe = (fields: object): string =>
  Object.entries(fields)
    .map(
      ([name, value]) =>
        `${name}=${value instanceof Error ? value.message : JSON.stringify(value)}`,
    )
    .join(' ');
