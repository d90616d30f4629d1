import type { Epoch, MembershipRecord, Session } from '@openebs/replica/protocol';
import { epoch, session } from '@openebs/replica/protocol';
import { activate, type ActivationHost } from './activation.ts';
import type { AssemblyHost, AssemblyOptions } from './assembly-host.ts';
import { ChangeSignal } from './change-signal.ts';
import type { Environment } from './environment.ts';
import type { DocumentKeeper } from './document-keeper.ts';
import { Electorate } from './electorate.ts';
import { Growth } from './growth.ts';
import { majorityOf } from './membership.ts';
import { Layers, type LayersHost } from './layers.ts';
import type { RequestFailure } from './link.ts';
import type { MemberOwner } from './member-owner.ts';
import { Member } from './member.ts';
import { modeOf, type MemberMode } from './member-mode.ts';
import type { MemberState } from './member-state.ts';
import type { ResyncContext } from './resync.ts';
import type { ResyncProgress } from './resync-progress.ts';
import { Returns } from './returns.ts';
import { ChangeRefused, Roster } from './roster.ts';
import type { Stream } from './stream.ts';

type Phase = 'starting' | 'serving' | 'fenced' | 'stopped';

const TICK_MS = 1_000;
const FULL_RETRY_MS = 10_000;
/** A resynchronisation that fails costs the connection: let it count as steady before. */
const REST_MS = 15_000;
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
export class Assembly implements MemberOwner, ActivationHost, LayersHost {
  readonly environment: Environment;
  readonly resync: ResyncContext;
  readonly graceMs: number;
  readonly #roster: Roster;
  readonly electorate: Electorate;
  readonly layers: Layers;
  readonly growth: Growth;
  readonly #host: AssemblyHost;
  readonly #stream: Stream;
  #phase: Phase = 'starting';
  #waitingFor = 'replicas to connect';
  #epoch: Epoch = epoch(0);
  #session: Session = session(0);
  #promising = false;
  #fencedBy = 0;
  #hasServed = false;
  readonly recordEpochs = new Set<number>();
  #full = false;
  #readers: readonly Member[] = [];
  #required: readonly Member[] = [];
  readonly #returns: Returns;
  readonly #changes: ChangeSignal;
  #cancelTick: (() => void) | null = null;

  constructor(
    options: AssemblyOptions,
    resync: ResyncContext,
    host: AssemblyHost,
    documents: DocumentKeeper,
  ) {
    this.#host = host;
    this.#stream = resync.stream;
    this.resync = resync;
    this.environment = resync.environment;
    this.graceMs = options.graceMs;
    this.#changes = new ChangeSignal(resync.environment);
    this.layers = new Layers(this, documents, () => host.reverted());
    this.growth = new Growth({
      context: resync,
      members: () => this.members,
      serving: () => this.#phase === 'serving' && this.#stream.completes,
      grown: () => host.grown(),
    });
    this.#returns = new Returns(
      resync,
      this.growth,
      () => this.#readers,
      () => this.layers.tree,
      () => this.#reconsider(),
    );
    const { addresses, volumeId } = options;
    this.#roster = new Roster({
      addresses,
      volumeId,
      make: (address, index) => new Member(address, index, resync.environment, this),
    });
    this.electorate = new Electorate({
      roster: this.#roster,
      documents,
      environment: resync.environment,
      committed: (record) => this.#committed(record),
      changed: () => this.#reconsider(),
    });
  }

  get members(): readonly Member[] {
    return this.#roster.members;
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
    return this.electorate.history?.inForce ?? null;
  }

  get lastInForce(): MembershipRecord | null {
    return this.electorate.lastInForce;
  }

  /** Members that may answer reads. */
  get readers(): readonly Member[] {
    return this.#readers;
  }

  /** Members whose acknowledgement each write and flush needs. */
  get required(): readonly Member[] {
    return this.#required;
  }

  /** I/O flows, and nobody is on the way in or out. */
  get isSettled(): boolean {
    return (
      this.#phase === 'serving' &&
      !this.#full &&
      this.#stream.completes &&
      this.#required.every((member) => member.inSync)
    );
  }

  /** As people see it. */
  modeOf(member: Member): MemberMode {
    const isVoter = this.record?.voters.includes(member.id) === true;
    return modeOf(member, { serving: this.#phase === 'serving', isVoter });
  }

  pauseReturns(): void {
    this.#returns.pause('the layers change first');
  }

  resumeReturns(): void {
    this.#returns.resume();
    this.#reconsider();
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
    this.electorate.end();
    const ended = this.#roster.stop(orderly);
    this.#changes.signal();
    await ended;
  }

  /**
   * These and nobody else shall be members from now on. Answers at once; what it takes goes on by
   * itself. Throws ChangeRefused.
   */
  declare(addresses: readonly string[]): void {
    if (this.stopped) throw new ChangeRefused('the target stops');
    const inForce = this.record;
    if (inForce !== null) this.#roster.check(addresses, inForce);
    this.environment.log('info', { replicas: addresses }, 'the list of replicas was declared');
    this.#roster.declare(addresses);
    this.#reconsider();
    this.#changes.signal();
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
    return this.#changes.next(timeoutMs);
  }

  dropAll(reason: string): void {
    this.#promising = false;
    for (const member of this.members) member.drop(reason);
  }

  memberGreeted(member: Member): void {
    const { identity, known } = member;
    if (identity === null || known === null) return;
    const problem = this.#roster.problemOf(member);
    if (problem !== null) {
      this.environment.log('error', { replica: member.address }, problem);
      member.drop(problem);
      return;
    }
    if (this.#promising) {
      if (known.promisedEpoch <= this.#epoch) member.promise(this.#epoch, this.#session);
      else if (this.#phase === 'serving') {
        this.reactivate(`replica ${member.address} has promised epoch ${known.promisedEpoch}`);
      }
    }
    this.#changes.signal();
  }

  memberPromised(member: Member): void {
    this.electorate.promised(member);
    if (this.#phase === 'serving') this.#reconsider();
    this.#changes.signal();
  }

  memberAcknowledged(): void {
    this.#stream.complete();
  }

  memberHeard(): void {
    this.#host.heard();
  }

  memberStreamFailed(member: Member, failure: RequestFailure): void {
    const { code, message } = failure;
    const last = member.inSync && this.#readers.length === 1 && this.#phase === 'serving';
    if (last && code === 'CHECKSUM_MISMATCH') this.#stream.refuseBlock(failure);
    if (!last || !READS_GO_ON.has(code)) {
      if (READS_GO_ON.has(code)) this.#rest(member);
      member.drop(`${message} (${code})`);
      return;
    }
    member.lastError = `${message} (${code})`;
    // Nothing more is applied there, so nothing of the stream is under way.
    member.sentSeq = member.ackedSeq;
    this.environment.log('error', { replica: member.address, code }, message);
    this.#full = true;
    // Who is on the way in may have taken what the last one has refused.
    const joining = this.members.filter((other) => other !== member && other.streaming);
    for (const other of joining) other.drop('the last in-sync replica refuses writes');
    this.#host.full(message);
    this.environment.after(FULL_RETRY_MS, () => {
      if (this.#full && this.#phase === 'serving') {
        this.reactivate('trying again after the last replica had no space');
      }
    });
  }

  #rest(member: Member): void {
    member.resting = true;
    this.environment.after(REST_MS, () => {
      member.resting = false;
      this.#reconsider();
    });
  }

  memberFenced(member: Member, promisedEpoch: Epoch): void {
    const fields = { replica: member.address, promisedEpoch };
    this.environment.log('warn', fields, 'fenced by a replica');
    this.#fencedBy = Math.max(this.#fencedBy, promisedEpoch);
    if (this.#phase === 'serving') this.#fence();
    this.#changes.signal();
  }

  memberLost(member: Member, from: MemberState, again: boolean): void {
    this.#stream.remove(member);
    if (!this.stopped) {
      const fields = { replica: member.address, was: from.kind, reason: member.lastError };
      if (from.kind !== 'dialling') this.environment.log('warn', fields, 'replica lost');
      // It is dialled every moment: the same reason is told once.
      else this.environment.log(again ? 'debug' : 'info', fields, 'replica not reached');
    }
    if (this.#phase === 'serving') this.#reconsider();
    this.#changes.signal();
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
    this.electorate.begin(record);
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
    const { epoch: number, configSeq, inSync, voters } = record;
    const fields = { epoch: number, configSeq, inSync, voters };
    this.environment.log('info', fields, 'membership changed');
    this.#reconsider();
  }

  /** The one place in which the members' states become decisions. Idempotent. */
  #reconsider(): void {
    const { history } = this.electorate;
    if (this.#phase !== 'serving' || history === null) return;
    this.#roster.dismiss(history);
    const inSync = this.members.filter((member) => member.inSync);
    if (inSync.length === 0) {
      this.reactivate('the last in-sync replica was lost');
      return;
    }
    this.electorate.propose();
    const quorum = this.electorate.hasMajority;
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
    if (this.#returns.busy) return;
    const member = this.members.find((each) => each.canReturn && this.electorate.mayReturn(each));
    if (member !== undefined) this.#returns.begin(member);
  }

  /** The epoch ends; all members are asked again what they have. */
  reactivate(reason: string): void {
    if (this.#phase !== 'serving') return;
    this.environment.log('warn', { reason }, 'the volume is activated anew');
    this.#phase = 'starting';
    this.electorate.end();
    this.#returns.forget();
    this.#readers = [];
    this.#required = [];
    this.#full = false;
    this.#waitingFor = reason;
    const left = this.#stream.start(epoch(0), session(0));
    // First: a read that ends with its link is to wait, and not to find that nobody can answer it.
    this.#host.suspended(reason);
    this.dropAll(reason);
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
}
