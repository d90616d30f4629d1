import type { MembershipRecord } from '../../replica/src/protocol/index.ts';
import type { Access } from './history.ts';
import { History } from './history.ts';
import { Orchestrator } from './orchestrator.ts';
import { isLaterRecord, ReplicaMachine } from './machine.ts';
import type { CloneSource } from './machine.ts';
import type { Network } from './network.ts';
import { Rot } from './rot.ts';
import type { Site } from './site.ts';
import type { LinkWatch } from './target.ts';
import { SimulatedTarget } from './target.ts';
import type { World } from './world.ts';
import { Violation } from './world.ts';

export interface ClusterOptions {
  readonly dataReplicas: number;
  readonly witness: boolean;
  readonly sizeBytes: number;
  readonly holdMs: number;
  readonly graceMs: number;
  /** How often a store looks for marks that it can clear; 10 s in production. */
  readonly maintenanceMs: number;
  /** Null: nobody scrubs, and the calendar is not looked at. */
  readonly scrubBytesPerSecond: number | null;
}

const VOLUME_ID = '5f0c1d1e-7e57-4b0a-8a54-6d656d6f7279';
/** Writes of a volume have stamps of its own. */
const STAMPS = 1_000_000;
/** How long the orchestrator takes to see that a target is gone. */
const NOTICE_MS = { least: 50, spread: 1000 };

interface Unsettled {
  readonly access: Access;
  readonly epoch: number;
}

/** One volume: machines, targets, the orchestrator, and what must always hold. */
export class Cluster implements LinkWatch {
  readonly world: World;
  readonly network: Network;
  readonly site: Site;
  /** Of the volume: 0 is the first one. */
  readonly number: number;
  /** What the names of all that belongs to the volume begin with. */
  readonly prefix: string;
  readonly orchestrator: Orchestrator;
  /** Who is a member, or was and still runs. */
  machines: ReplicaMachine[] = [];
  readonly targets: SimulatedTarget[] = [];
  readonly history: History;
  readonly options: ClusterOptions;
  /** Of the volume, as the orchestrator has recorded it: first. */
  sizeBytes: number;
  /** While it is reverted nobody may submit. */
  frozen = false;
  /** A copy that was thrown away or emptied, until a record without it is in force. */
  lost: ReplicaMachine | null = null;
  readonly #every = new Map<string, ReplicaMachine>();
  readonly rot = new Rot(this);
  /** Writes without a good answer that their target's frames may still bring about. */
  #unsettled: Unsettled[] = [];
  #targets = 0;
  #orchestrating = true;
  #readyListeners: ((target: SimulatedTarget) => void)[] = [];

  /** `copies`: of which those of a clone are made; it has as many. */
  constructor(site: Site, options: ClusterOptions, copies: readonly CloneSource[] = []) {
    this.site = site;
    this.world = site.world;
    this.network = site.network;
    this.options = options;
    this.number = site.made++;
    this.prefix = this.number === 0 ? '' : `clone-${this.number}-`;
    this.history = new History(this.number * STAMPS);
    this.sizeBytes = options.sizeBytes;
    for (let index = 0; index < options.dataReplicas; index++)
      this.addMachine('data', copies[index]);
    if (options.witness) this.addMachine('witness');
    this.orchestrator = new Orchestrator(this);
    site.clusters.push(this);
  }

  /** One that does not run yet. */
  addMachine(role: 'data' | 'witness', cloneFrom: CloneSource | null = null): ReplicaMachine {
    const index = this.#every.size;
    const digits = (value: number, count: number): string => String(value).padStart(count, '0');
    const machine = new ReplicaMachine({
      index,
      prefix: this.prefix,
      id: `${digits(index, 8)}-${digits(this.number, 4)}-4000-8000-000000000000`,
      role,
      cloneFrom,
      world: this.world,
      network: this.network,
      volume: () => ({ volumeId: this.volumeId, sizeBytes: this.sizeBytes }),
      maintenanceMs: this.options.maintenanceMs,
    });
    this.#every.set(machine.address, machine);
    this.machines.push(machine);
    return machine;
  }

  get volumeId(): string {
    return VOLUME_ID.replace('5f0c', String(5000 + this.number));
  }

  get dataMachines(): readonly ReplicaMachine[] {
    return this.machines.filter(({ role }) => role === 'data');
  }

  get liveTargets(): SimulatedTarget[] {
    return this.targets.filter(({ alive }) => alive);
  }

  /** The one that the orchestrator started last. */
  get newest(): SimulatedTarget | null {
    return this.targets.findLast(({ alive }) => alive) ?? null;
  }

  /** Where an initiator finds the volume. */
  get serving(): SimulatedTarget | null {
    return this.targets.findLast(({ ready }) => ready) ?? null;
  }

  start(): void {
    for (const machine of this.machines) machine.start();
    this.startTarget();
  }

  startTarget(members: readonly ReplicaMachine[] = this.machines): SimulatedTarget {
    const { holdMs, graceMs, scrubBytesPerSecond } = this.options;
    const { sizeBytes, volumeId } = this;
    const number = ++this.#targets;
    const target = new SimulatedTarget({
      name: `${this.prefix}target-${number}`,
      world: this.world,
      network: this.network,
      volume: { volumeId, sizeBytes },
      machines: members,
      at: (address) => this.#every.get(address)!,
      watch: this,
      holdMs,
      graceMs,
      scrubBytesPerSecond,
    });
    this.targets.push(target);
    target.replicator.onChange((change) => {
      if (change === 'ready') this.orchestrator.converge();
      if (change === 'ready') for (const listener of this.#readyListeners) listener(target);
    });
    target.onExit(() => {
      this.history.blow();
      const random = this.world.random(`${this.prefix}notice ${number}`);
      this.world.after(NOTICE_MS.least + random.below(NOTICE_MS.spread), () => {
        // As a Deployment does with its pod, whether or not an older one still lives somewhere.
        if (this.#orchestrating && this.targets.at(-1) === target) this.startTarget();
      });
    });
    return target;
  }

  onReady(listener: (target: SimulatedTarget) => void): void {
    this.#readyListeners.push(listener);
  }

  machineOf(id: string): ReplicaMachine | undefined {
    return this.machines.find((machine) => machine.id === id);
  }

  /** The newest record that any voter keeps. */
  newestRecord(): MembershipRecord | null {
    let newest: MembershipRecord | null = null;
    for (const { store } of this.machines) {
      const record = store?.state().record ?? null;
      if (record !== null && isLaterRecord(record, newest)) newest = record;
    }
    if (this.#lastRecord !== null && isLaterRecord(this.#lastRecord, newest))
      newest = this.#lastRecord;
    this.#lastRecord = newest;
    return newest;
  }

  #lastRecord: MembershipRecord | null = null;

  /** Machines have stopped at the same moment; what their newest record was before. */
  lostPower(before: MembershipRecord | null): void {
    if (before === null || this.#survives(before, this.#undisputed)) return;
    this.#memoryLost();
  }

  /** The target that nobody has replaced yet, as far as anybody knows. */
  get #undisputed(): SimulatedTarget | null {
    const { newest } = this;
    const epoch = newest?.replicator.assembly.epoch ?? 0;
    return this.machines.every(({ promisedEpoch }) => promisedEpoch <= epoch) ? newest : null;
  }

  /** Whoever meets this record must believe it, although it may never come into force. */
  #survives(record: MembershipRecord, target: SimulatedTarget | null): boolean {
    const named = record.inSync.map((id) => this.machineOf(id));
    return [...named, ...this.#namedBefore(record, target)].some((each) => each?.whole === true);
  }

  /** The target that made it can go on from the last one in force, with whom knows no later one. */
  #namedBefore(
    record: MembershipRecord,
    target: SimulatedTarget | null,
  ): readonly ReplicaMachine[] {
    const assembly = target?.replicator.assembly;
    const inForce = assembly?.recordEpochs.has(record.epoch) === true ? assembly.lastInForce : null;
    return this.machines.filter(({ id, store, durableRecord }) => {
      const kept = store?.state().record ?? durableRecord;
      return inForce?.inSync.includes(id) === true && kept?.inSync.includes(id) === true;
    });
  }

  #memoryLost(): void {
    this.world.note('checker', 'no machine is left that had everything in memory');
    this.history.memoryLost();
  }

  /** A write whose target's frames may still be under way. */
  unsettled(access: Access, target: SimulatedTarget): void {
    if (access.kind === 'read') return;
    this.#unsettled.push({ access, epoch: target.replicator.assembly.epoch });
  }

  promised(target: SimulatedTarget, replica: ReplicaMachine, epoch: number): void {
    this.history.blow();
    // Two targets may hear of their promises in another order than that in which they were made.
    replica.promisedEpoch = Math.max(replica.promisedEpoch, epoch);
    // It tells a record with its promise, also one whose target died before it heard the answer.
    const record = replica.store?.state().record ?? null;
    if (record !== null) this.recordDurable(target, replica, record);
  }

  acknowledged(): void {
    // The order of the network allows late ones; what the replica does is checked in check().
  }

  /**
   * I5: only members of the in-sync set are read. Also of one that may be in force: who was in sync
   * before it has to acknowledge everything until that is known.
   */
  readSent(target: SimulatedTarget, replica: ReplicaMachine): void {
    const { electorate, epoch } = target.replicator.assembly;
    // It will refuse: another target has its promise.
    if (replica.promisedEpoch > epoch) return;
    const { history } = electorate;
    if (history !== null ? history.isRequired(replica.id) : this.#mayBeInSync(replica)) return;
    const newest = this.newestRecord();
    if (newest !== null && this.#namedBefore(newest, target).includes(replica)) return;
    // Nor does it count what an activation reads that cannot come to an end any more.
    if (history === null && this.#isReplaced(epoch)) return;
    throw new Violation('I5', `${target.name} reads ${replica.name}, which is not in sync`);
  }

  /** A majority has promised a higher epoch. */
  #isReplaced(epoch: number): boolean {
    const higher = this.machines.filter(({ promisedEpoch }) => promisedEpoch > epoch);
    return higher.length * 2 > this.machines.length;
  }

  /** Named by the record in force, or by a later one that may be. */
  #mayBeInSync({ id }: ReplicaMachine): boolean {
    const known = this.machines.map(({ durableRecord }) => durableRecord).filter((r) => r !== null);
    const inForce = known.filter(
      (record) =>
        record.voters.filter((voter) => {
          const held = this.machineOf(voter)?.durableRecord ?? null;
          return held !== null && !isLaterRecord(record, held);
        }).length *
          2 >
        record.voters.length,
    );
    const newest = inForce.reduce<MembershipRecord | null>(
      (best, record) => (isLaterRecord(record, best) ? record : best),
      null,
    );
    if (newest === null) return true;
    return known.some((record) => !isLaterRecord(newest, record) && record.inSync.includes(id));
  }

  /** It has told this target so. */
  recordDurable(target: SimulatedTarget, replica: ReplicaMachine, record: MembershipRecord): void {
    if (isLaterRecord(record, replica.durableRecord)) replica.durableRecord = record;
    if (!this.#survives(record, target)) this.#memoryLost();
  }

  /** A record is in force: whom it names has everything again. */
  membershipChanged(target: SimulatedTarget): void {
    if (!target.alive) return;
    const { record, members, epoch } = target.replicator.assembly;
    if (record?.inSync.includes(this.lost?.id ?? '') === false) this.lost = null;
    for (const member of members) {
      const machine = this.machines.find(({ address }) => address === member.address);
      if (machine === undefined || record?.inSync.includes(machine.id) !== true) continue;
      const socket = target.sockets.get(machine);
      const current = socket?.peer.process === machine.process && !socket.closed;
      if (member.inSync && current) machine.whole = true;
    }
    const settled = this.#unsettled.filter((each) => each.epoch < epoch);
    if (settled.length === 0) return;
    this.#unsettled = this.#unsettled.filter((each) => each.epoch >= epoch);
    this.history.settle(settled.map(({ access }) => access));
  }

  /** What must hold after every step. */
  check(): void {
    for (const { server, name, promisedEpoch } of this.machines) {
      if (server === null) continue;
      const state = server.owner?.state;
      if (state?.kind === 'serving' && state.epoch < server.highestEpoch) {
        throw new Violation('I3', `${name} serves ${state.epoch} after ${server.highestEpoch}`);
      }
      if (server.highestEpoch < promisedEpoch) {
        throw new Violation('I3', `${name} forgot that it promised ${promisedEpoch}`);
      }
    }
  }

  /** I8, when an initiator is told that a write or a flush is done. */
  acknowledgedTo(target: SimulatedTarget): void {
    const { record, members } = target.replicator.assembly;
    if (record === null) throw new Violation('I8', `${target.name} acknowledges without a record`);
    const voting = members.filter((member) => member.voting && record.voters.includes(member.id));
    if (voting.length * 2 <= record.voters.length) {
      throw new Violation(
        'I8',
        `${target.name} acknowledges with ${voting.length} of ${record.voters.length} voters`,
      );
    }
  }

  /** The volume is deleted: all that runs ends, and the directories go. */
  remove(): void {
    this.stopOrchestrating();
    const { clusters } = this.site;
    clusters.splice(clusters.indexOf(this), 1);
    for (const target of this.liveTargets) target.kill('is deleted');
    for (const machine of this.machines) machine.retire();
  }

  /** No process is started any more unless somebody asks. */
  stopOrchestrating(): void {
    this.#orchestrating = false;
  }
}
