import type { Epoch, MembershipRecord, Seq, Session } from '../../replica/src/protocol/index.ts';
import { Histogram, LATENCY_BOUNDS_SECONDS, SlabPool } from '../../replica/src/runtime/index.ts';
import type { Environment, Link, LinkEvents } from '../../target/src/replicator/index.ts';
import { createStatistics, Replicator, Scrub } from '../../target/src/replicator/index.ts';
import { SocketLink } from '../../target/src/replicator/socket-link.ts';
import type { ReplicaMachine, VolumeFacts } from './machine.ts';
import { describe } from './machine.ts';
import type { Network, SimulatedSocket } from './network.ts';
import { SimulatedProcess } from './process.ts';
import type { World } from './world.ts';

/** Free memory that a target keeps for the next writes. */
const POOL_BYTES = 8 * 1024 * 1024;

const WALL_START_MS = Date.parse('2026-11-24T11:00:00.000Z');

/** What the invariants watch of a target's connections. */
export interface LinkWatch {
  promised(target: SimulatedTarget, replica: ReplicaMachine, epoch: number): void;
  acknowledged(target: SimulatedTarget, replica: ReplicaMachine, epoch: number): void;
  recordDurable(target: SimulatedTarget, replica: ReplicaMachine, record: MembershipRecord): void;
  readSent(target: SimulatedTarget, replica: ReplicaMachine): void;
  membershipChanged(target: SimulatedTarget): void;
}

export interface TargetOptions {
  readonly name: string;
  readonly world: World;
  readonly network: Network;
  readonly volume: VolumeFacts;
  /** Who are its members, or shall be. */
  readonly machines: readonly ReplicaMachine[];
  readonly at: (address: string) => ReplicaMachine;
  readonly watch: LinkWatch;
  readonly holdMs: number;
  readonly graceMs: number;
  readonly scrubBytesPerSecond: number | null;
}

/** A target process: the real replicator on real socket links. */
export class SimulatedTarget {
  readonly name: string;
  readonly process: SimulatedProcess;
  readonly replicator: Replicator;
  readonly statistics = createStatistics(() => new Histogram(LATENCY_BOUNDS_SECONDS));
  /** Null: nobody scrubs. */
  readonly scrub: Scrub | null;
  readonly host: string;
  /** Its connection to each replica, the latest one. */
  readonly sockets = new Map<ReplicaMachine, SimulatedSocket>();
  fenced = false;
  readonly #network: Network;
  readonly #exits: (() => void)[] = [];

  constructor(options: TargetOptions) {
    const { name, world, network, volume, machines, holdMs, graceMs } = options;
    const { scrubBytesPerSecond } = options;
    this.name = name;
    this.host = name;
    this.#network = network;
    const random = world.random(this.name);
    const rate = 1 + (random.below(41) - 20) / 1000;
    this.process = new SimulatedProcess(this.name, this.host, world, rate);
    this.replicator = new Replicator({
      ...volume,
      replicas: machines.map(({ address }) => address),
      environment: this.#environment(options),
      statistics: this.statistics,
      pool: new SlabPool(POOL_BYTES),
      holdMs,
      graceMs,
    });
    const wallNow = (): number => WALL_START_MS + world.now;
    this.scrub =
      scrubBytesPerSecond === null
        ? null
        : new Scrub({ host: this.replicator, wallNow, bytesPerSecond: scrubBytesPerSecond });
    let served = false;
    this.replicator.onChange((change) => {
      if (change === 'ready' && !served) {
        served = true;
        this.scrub?.start();
      }
      if (change !== 'fenced') return;
      this.fenced = true;
      // As the target's main program does: the initiators are dropped and the process ends.
      this.process.after(0, () => this.kill('is fenced and ends'));
    });
    world.note(this.name, 'starts');
    this.process.run(() => this.replicator.start());
  }

  get alive(): boolean {
    return this.process.alive;
  }

  get ready(): boolean {
    return this.alive && this.replicator.ready;
  }

  /** All members are there and in sync. */
  get healthy(): boolean {
    const { isOpen, isFull, assembly } = this.replicator;
    if (!this.alive || !isOpen || isFull) return false;
    return assembly.members.every(
      ({ inSync, voting, identity }) => inSync || (voting && identity?.role === 'witness'),
    );
  }

  kill(why = 'is killed'): void {
    if (!this.alive) return;
    this.process.world.note(this.name, why);
    this.process.kill();
    this.#network.processDied(this.process);
    for (const exit of this.#exits) exit();
  }

  /** The machine stops; the network tells nobody. */
  losePower(): void {
    if (!this.alive) return;
    this.process.world.note(this.name, 'loses power');
    this.process.kill();
    this.#network.hostLost(this.host);
    for (const exit of this.#exits) exit();
  }

  /** SIGTERM. */
  stop(): void {
    this.process.world.note(this.name, 'stops in good order');
    this.process.run(() => {
      this.scrub?.stop();
      void this.replicator.close().then(() => this.kill('has stopped'));
    });
  }

  onExit(callback: () => void): void {
    this.#exits.push(callback);
  }

  #environment(options: TargetOptions): Environment {
    const { world, network, volume, watch } = options;
    const random = world.random(`chance of ${this.name}`);
    const pool = new SlabPool(POOL_BYTES);
    return {
      now: () => this.process.now(),
      after: (delayMs, callback) => this.process.after(delayMs, callback),
      defer: (callback) => process.nextTick(callback),
      random: () => random.bits() / 2 ** 32,
      dial: (address, events) => {
        const machine = options.at(address);
        const link = new WatchedLink(this, machine, watch);
        return link.open(
          (watched) =>
            new SocketLink({
              connect: (receiver) => {
                const socket = network.connect(this.process, address);
                socket.on('data', (chunk) => receiver.feed(chunk));
                this.sockets.set(machine, socket);
                return socket;
              },
              events: watched,
              pool,
              volumeId: volume.volumeId,
              targetName: this.name,
            }),
          events,
        );
      },
      log: (_level, fields, message) => {
        world.note(this.name, () => `${message} ${describe(fields)}`);
        if (message === 'activated' || message === 'membership changed') {
          // When the decision that is being made is complete.
          world.after(0, () => watch.membershipChanged(this));
        }
      },
    };
  }
}

/** Sees what goes over a link, and changes nothing of it. */
class WatchedLink {
  readonly #target: SimulatedTarget;
  readonly #machine: ReplicaMachine;
  readonly #watch: LinkWatch;
  #epoch = 0;

  constructor(target: SimulatedTarget, machine: ReplicaMachine, watch: LinkWatch) {
    this.#target = target;
    this.#machine = machine;
    this.#watch = watch;
  }

  open(make: (events: LinkEvents) => Link, events: LinkEvents): Link {
    const link = make({
      ...events,
      promised: (state) => {
        this.#watch.promised(this.#target, this.#machine, this.#epoch);
        events.promised(state);
      },
      acknowledged: (acked: Seq) => {
        this.#watch.acknowledged(this.#target, this.#machine, this.#epoch);
        this.#note(`acknowledges ${acked}`);
        events.acknowledged(acked);
      },
    });
    if (this.#target.process.world.traced) this.#traceRequests(link);
    const promise = link.promise.bind(link);
    link.promise = (epoch: Epoch, session: Session) => {
      this.#epoch = epoch;
      promise(epoch, session);
    };
    const putRecord = link.putRecord.bind(link);
    link.putRecord = (record, answer) =>
      putRecord(record, (failure, payload) => {
        if (failure === null) this.#watch.recordDurable(this.#target, this.#machine, record);
        answer(failure, payload);
      });
    const read = link.read.bind(link);
    link.read = (request) => {
      this.#watch.readSent(this.#target, this.#machine);
      read(request);
    };
    return link;
  }

  #note(what: string): void {
    this.#target.process.world.note(this.#target.name, `${this.#machine.name}: ${what}`);
  }

  /** What resynchronisation asks for, and what it is answered. */
  #traceRequests(link: Link): void {
    for (const name of ['allocation', 'extentChecksums', 'extentVersions'] as const) {
      const ask = link[name].bind(link);
      link[name] = (offsetBytes, lengthBytes, answer) => {
        this.#note(`${name} of ${offsetBytes}, ${lengthBytes}`);
        ask(offsetBytes, lengthBytes, (failure, payload) => {
          this.#note(`${name} of ${offsetBytes}: ${failure?.message ?? 'answered'}`);
          answer(failure, payload);
        });
      };
    }
    const flush = link.flush.bind(link);
    link.flush = (answer) => {
      this.#note('flush');
      flush((failure, payload) => {
        this.#note(`flush: ${failure?.message ?? 'done'}`);
        answer(failure, payload);
      });
    };
  }
}
