import type { Epoch, MembershipRecord, Session } from '@openebs/replica/protocol';
import { epoch, session } from '@openebs/replica/protocol';
import { activate, type ActivationHost } from './activation.ts';
import type { Environment } from './environment.ts';
import { isMajority, majorityOf, nextInSync } from './membership.ts';
import { Member, type MemberOwner } from './member.ts';
import type { MemberState } from './member-state.ts';
import type { WriteOperation } from './operations.ts';
import { RecordKeeper } from './records.ts';
import type { ResyncContext, ResyncProgress } from './resync.ts';
import { Returns } from './returns.ts';
import type { Stream } from './stream.ts';

/** What the assembly tells the volume. */
export interface AssemblyHost {
  /** I/O may flow (again). */
  opened(): void;
  /** It may not, for now. */
  suspended(reason: string): void;
  /** Who is waited for has changed. */
  requiredChanged(): void;
  /** The epoch has ended; these operations were not completed in it. */
  epochEnded(left: readonly WriteOperation[]): void;
  /** The last in-sync member takes no more writes, but serves reads. */
  full(message: string): void;
  fenced(by: number): void;
}

export interface AssemblyOptions {
  readonly volumeId: string;
  readonly sizeBytes: number;
  readonly addresses: readonly string[];
  /** How long an activation waits for in-sync members that are absent. */
  readonly graceMs: number;
}

export type MemberMode = 'in-sync' | 'syncing' | 'offline';

type Phase = 'starting' | 'serving' | 'fenced' | 'stopped';

const TICK_MS = 1_000;
const FULL_RETRY_MS = 10_000;
/** Errors after which a store still serves reads. */
const READS_GO_ON: ReadonlySet<string> = new Set(['NO_SPACE', 'READ_ONLY_FILE_SYSTEM']);

/**
 * The members of a volume and what they are together: activation, removal of members that fail,
 * return of those that come back.
 *
 *   starting --activate()--> serving
 *      ^                        |  the last in-sync member is lost, or a member has promised
 *      `------------------------'  a higher epoch
 *   any -> fenced | stopped
 *
 * While serving, whatever happens to a member leads to #reconsider(), which derives everything else
 * from the members' states.
 */
export class Assembly implements MemberOwner, ActivationHost {
  readonly environment: Environment;
  readonly resync: ResyncContext;
  readonly members: readonly Member[];
  readonly graceMs: number;
  readonly #options: AssemblyOptions;
  readonly #host: AssemblyHost;
  readonly #stream: Stream;
  #phase: Phase = 'starting';
  #waitingFor = 'replicas to connect';
  #epoch: Epoch = epoch(0);
  #session: Session = session(0);
  #promising = false;
  #fencedBy = 0;
  #hasServed = false;
  #full = false;
  #records: RecordKeeper | null = null;
  #readers: readonly Member[] = [];
  #required: readonly Member[] = [];
  readonly #returns: Returns;
  readonly #changeWaiters = new Set<() => void>();
  #cancelTick: (() => void) | null = null;

  constructor(options: AssemblyOptions, resync: ResyncContext, host: AssemblyHost) {
    this.#options = options;
    this.#host = host;
    this.#stream = resync.stream;
    this.resync = resync;
    this.environment = resync.environment;
    this.graceMs = options.graceMs;
    this.#returns = new Returns(
      resync,
      () => this.#readers,
      () => this.#reconsider(),
    );
    this.members = options.addresses.map(
      (address, index) => new Member(address, index, resync.environment, this),
    );
  }

  get phase(): Phase {
    return this.#phase;
  }

  get stopped(): boolean {
    return this.#phase === 'stopped' || this.#phase === 'fenced';
  }

  get epoch(): Epoch {
    return this.#epoch;
  }

  get fencedBy(): number {
    return this.#fencedBy;
  }

  get hasServed(): boolean {
    return this.#hasServed;
  }

  /** In words, while the volume is starting or suspended. */
  get waitingFor(): string {
    return this.#waitingFor;
  }

  get record(): MembershipRecord | null {
    return this.#records?.history.inForce ?? null;
  }

  /** Members that may answer reads. */
  get readers(): readonly Member[] {
    return this.#readers;
  }

  /** Members whose acknowledgement each write and flush needs. */
  get required(): readonly Member[] {
    return this.#required;
  }

  /**
   * As people see it. A witness has no data that could be out of step; a copy that has promised
   * waits to be resynchronised.
   */
  modeOf({ state, identity }: Member): MemberMode {
    switch (state.kind) {
      case 'in-sync':
        return 'in-sync';
      case 'syncing':
      case 'joining':
        return this.#phase === 'serving' ? 'syncing' : 'offline';
      case 'promised':
        if (this.#phase !== 'serving') return 'offline';
        return identity?.role === 'witness' ? 'in-sync' : 'syncing';
      default:
        return 'offline';
    }
  }

  resyncOf(member: Member): ResyncProgress | null {
    return this.#returns.progressOf(member);
  }

  start(): void {
    for (const member of this.members) member.start();
    this.#tick();
    this.#activate();
  }

  /** Resolves when all connections have ended and all stores in this process are closed. */
  async stop(orderly: boolean): Promise<void> {
    if (this.#phase !== 'fenced') this.#phase = 'stopped';
    this.#cancelTick?.();
    const ends = this.members.map((member) => member.stop(orderly));
    this.#changed();
    await Promise.all(ends);
  }

  beginEpoch(next: Epoch, nextSession: Session): void {
    this.#epoch = next;
    this.#session = nextSession;
    this.#promising = true;
    this.#fencedBy = 0;
    this.#stream.start(next, nextSession);
    for (const member of this.members) {
      if (member.state.kind === 'greeted') member.promise(next, nextSession);
      else if (member.voting) member.drop('a new epoch begins');
    }
  }

  waitFor(what: string): void {
    if (what !== this.#waitingFor) {
      this.environment.log('info', { waitingFor: what }, 'waiting');
    }
    this.#waitingFor = what;
  }

  nextChange(timeoutMs: number | null): Promise<void> {
    return new Promise((resolve) => {
      let cancel: (() => void) | null = null;
      const done = (): void => {
        this.#changeWaiters.delete(done);
        cancel?.();
        resolve();
      };
      this.#changeWaiters.add(done);
      if (timeoutMs !== null) cancel = this.environment.after(timeoutMs, done);
    });
  }

  dropAll(reason: string): void {
    this.#promising = false;
    for (const member of this.members) member.drop(reason);
  }

  memberGreeted(member: Member): void {
    const { identity, known } = member;
    if (identity === null || known === null) return;
    const problem = this.#identityProblem(member);
    if (problem !== null) {
      this.environment.log('error', { replica: member.address }, problem);
      member.drop(problem);
      return;
    }
    if (this.#promising) {
      if (known.promisedEpoch <= this.#epoch) member.promise(this.#epoch, this.#session);
      else if (this.#phase === 'serving') {
        this.#restart(`replica ${member.address} has promised epoch ${known.promisedEpoch}`);
      }
    }
    this.#changed();
  }

  memberPromised(member: Member): void {
    if (this.#phase === 'serving') {
      if (this.record?.voters.includes(member.id) === false) {
        member.lastError = `replica ${member.id} is not a member of this volume; start the one that was there before`;
      }
      this.#records?.bringTo(member);
      this.#reconsider();
    }
    this.#changed();
  }

  memberAcknowledged(): void {
    this.#stream.complete();
  }

  memberStreamFailed(member: Member, code: string, message: string): void {
    const last = member.inSync && this.#readers.length === 1 && this.#phase === 'serving';
    if (!last || !READS_GO_ON.has(code)) {
      member.drop(`${message} (${code})`);
      return;
    }
    member.lastError = `${message} (${code})`;
    // Nothing more is applied there, so nothing of the stream is under way.
    member.sentSeq = member.ackedSeq;
    this.environment.log('error', { replica: member.address, code }, message);
    this.#full = true;
    this.#host.full(message);
    this.environment.after(FULL_RETRY_MS, () => {
      if (this.#full && this.#phase === 'serving') {
        this.#restart('trying again after the last replica had no space');
      }
    });
  }

  memberFenced(member: Member, promisedEpoch: Epoch): void {
    const fields = { replica: member.address, promisedEpoch };
    this.environment.log('warn', fields, 'fenced by a replica');
    this.#fencedBy = Math.max(this.#fencedBy, promisedEpoch);
    if (this.#phase === 'serving') this.#fence();
    this.#changed();
  }

  memberLost(member: Member, from: MemberState): void {
    this.#stream.remove(member);
    if (!this.stopped) {
      const fields = { replica: member.address, was: from.kind, reason: member.lastError };
      this.environment.log(from.kind === 'dialling' ? 'debug' : 'warn', fields, 'replica lost');
    }
    if (this.#phase === 'serving') this.#reconsider();
    this.#changed();
  }

  #identityProblem(member: Member): string | null {
    const { identity } = member;
    if (identity === null) return null;
    const { volumeId, sizeBytes } = this.#options;
    if (identity.volumeId !== volumeId) {
      return `${member.address} belongs to volume ${identity.volumeId}, not to ${volumeId}; correct the list of replicas`;
    }
    if (identity.role === 'data' && identity.sizeBytes !== sizeBytes) {
      return `${member.address} has ${identity.sizeBytes} bytes, the volume ${sizeBytes}; start the target with the size of its replicas`;
    }
    const twin = this.members.find(
      (other) =>
        other !== member && other.id === identity.replicaId && other.state.kind !== 'offline',
    );
    if (twin !== undefined) {
      return `${member.address} and ${twin.address} are the same replica ${identity.replicaId}; name each replica once`;
    }
    return null;
  }

  #activate(): void {
    activate(this).then(
      (outcome) => {
        if (outcome.kind === 'fenced') this.#fence();
        else if (outcome.kind === 'serving') this.#serve(outcome.record, outcome.members);
      },
      (error: unknown) => {
        // A programming error: end the process rather than serve in an unknown state.
        queueMicrotask(() => {
          throw error;
        });
      },
    );
  }

  #serve(record: MembershipRecord, members: readonly Member[]): void {
    if (this.stopped) return;
    if (this.#fencedBy >= this.#epoch) {
      this.#fence();
      return;
    }
    this.#records = new RecordKeeper(record, (committed) => this.#committed(committed));
    this.#phase = 'serving';
    this.#hasServed = true;
    this.#full = false;
    for (const member of members) {
      if (member.state.kind === 'syncing') member.become({ kind: 'in-sync' });
    }
    this.#reconsider();
  }

  #committed(record: MembershipRecord): void {
    if (this.#phase !== 'serving') return;
    for (const member of this.members) {
      if (member.state.kind === 'joining' && record.inSync.includes(member.id)) {
        member.become({ kind: 'in-sync' });
      }
    }
    const { epoch: number, configSeq, inSync } = record;
    this.environment.log('info', { epoch: number, configSeq, inSync }, 'membership changed');
    this.#reconsider();
  }

  /** The one place in which the members' states become decisions. Idempotent. */
  #reconsider(): void {
    const records = this.#records;
    if (this.#phase !== 'serving' || records === null) return;
    const { history } = records;
    const inSync = this.members.filter((member) => member.inSync);
    if (inSync.length === 0) {
      this.#restart('the last in-sync replica was lost');
      return;
    }
    const voters = this.members.filter((member) => member.voting);
    const serving = this.members.filter(
      ({ state }) => state.kind === 'in-sync' || (state.kind === 'joining' && state.ready),
    );
    const next = nextInSync({ latest: history.latest, serving: serving.map(({ id }) => id) });
    if (next !== null) records.propose(next, voters);
    const quorum = isMajority(history.inForce.voters, new Set(voters.map(({ id }) => id)));
    const streaming = this.members.filter((member) => member.streaming);
    const required = streaming.filter(
      (member) => history.isRequired(member.id) || member.state.kind === 'joining',
    );
    const complete = history.inForce.inSync.every((id) =>
      required.some((member) => member.id === id),
    );
    this.#readers = inSync;
    this.#required = required;
    // Whoever the record in force names and who is not there has missed something: nothing is
    // acknowledged until a record says so.
    this.#stream.setRequired(quorum && complete ? required : null);
    this.#host.requiredChanged();
    if (quorum) {
      this.#host.opened();
    } else {
      const { voters: all } = history.inForce;
      this.waitFor(`a majority of the voters (${majorityOf(all)} of ${all.length})`);
      this.#host.suspended(this.#waitingFor);
    }
    if (quorum && complete && !this.#full) this.#bringBackNext();
  }

  #bringBackNext(): void {
    const history = this.#records?.history;
    if (this.#returns.busy || history === undefined) return;
    const member = this.members.find(
      ({ state, identity, id }) =>
        state.kind === 'promised' &&
        identity?.role === 'data' &&
        history.inForce.voters.includes(id) &&
        !history.isRequired(id),
    );
    if (member !== undefined) this.#returns.begin(member);
  }

  #restart(reason: string): void {
    this.environment.log('warn', { reason }, 'the volume is activated anew');
    this.#phase = 'starting';
    this.#records = null;
    this.#returns.forget();
    this.#readers = [];
    this.#required = [];
    this.#full = false;
    this.#waitingFor = reason;
    const left = this.#stream.start(epoch(0), session(0));
    this.dropAll(reason);
    this.#host.suspended(reason);
    this.#host.epochEnded(left);
    this.#activate();
  }

  #fence(): void {
    if (this.stopped) return;
    this.#phase = 'fenced';
    this.#readers = [];
    this.#stream.setRequired(null);
    this.#host.fenced(this.#fencedBy);
    void this.stop(false);
  }

  #tick(): void {
    this.#cancelTick = this.environment.after(TICK_MS, () => {
      for (const member of this.members) member.tick();
      if (!this.stopped) this.#tick();
    });
  }

  #changed(): void {
    for (const waiter of [...this.#changeWaiters]) waiter();
  }
}
