import type { MembershipRecord } from '@openebs/replica/protocol';
import { REPLICATOR_LIMITS } from '../limits.ts';
import type { DocumentKeeper } from './document-keeper.ts';
import type { DocumentQuorum } from './documents.ts';
import type { Environment } from './environment.ts';
import { confirmedAt } from './lease.ts';
import type { Member } from './member.ts';
import { decides, forgetfulOf } from './membership.ts';
import { nextMembers, sameIds, type Presence, type RecordHistory } from './record-history.ts';
import { RecordKeeper } from './records.ts';
import { ChangeRefused, type Roster } from './roster.ts';
import { VoterChange } from './voter-change.ts';

export interface ElectorateOptions {
  readonly roster: Roster;
  readonly documents: DocumentKeeper;
  readonly environment: Environment;
  readonly committed: (record: MembershipRecord) => void;
  /** A record may be proposed that had to wait. */
  readonly changed: () => void;
}

const POLL_MS = 20;

const NOBODY: ReadonlySet<string> = new Set();

/**
 * Who has a say in the volume, and how that changes while it serves: strangers that are wanted and
 * hold everything become voters, voters that are not wanted, or have lost their memory, become
 * strangers; one at a time, each by a record.
 */
export class Electorate {
  readonly #roster: Roster;
  readonly #documents: DocumentKeeper;
  readonly #environment: Environment;
  readonly #voterChange: VoterChange;
  readonly #committed: (record: MembershipRecord) => void;
  #records: RecordKeeper | null = null;
  #lastInForce: MembershipRecord | null = null;

  constructor({ roster, documents, environment, committed, changed }: ElectorateOptions) {
    this.#roster = roster;
    this.#documents = documents;
    this.#environment = environment;
    this.#committed = committed;
    this.#voterChange = new VoterChange({
      documents,
      changed,
      after: (delayMs, callback) => environment.after(delayMs, callback),
    });
  }

  /** The latest moment at which a majority was still with this target. */
  get confirmedMs(): number {
    const voters = this.#records?.history.inForce.voters;
    if (voters === undefined) return -Infinity;
    return confirmedAt(voters, new Map(this.#voting().map(({ id, pulse }) => [id, pulse.heardMs])));
  }

  heartbeat(): void {
    for (const member of this.#voting()) member.heartbeat();
  }

  /**
   * Resolves when these vote no more, and a majority of those who do has answered something that
   * was sent after this call: no other target had taken over by then, with a record that names
   * them. Only now may their copies be thrown away. Rejects with ChangeRefused.
   */
  async confirmDeparted(ids: readonly string[]): Promise<void> {
    const environment = this.#environment;
    const startedMs = environment.now();
    for (;;) {
      const voters = this.history?.inForce.voters ?? [];
      const still = ids.filter((id) => voters.includes(id));
      if (still.length > 0) throw new ChangeRefused(`replica ${still.join(', ')} votes still`);
      const heard = this.#voting().filter(({ pulse }) => pulse.heardMs > startedMs);
      const forgetful = this.#records?.forgetful ?? NOBODY;
      if (voters.length > 0 && decides(voters, new Set(heard.map(({ id }) => id)), forgetful))
        return;
      if (environment.now() - startedMs > REPLICATOR_LIMITS.confirmMs) {
        const needed = 'a majority of the voters must confirm first that no other target serves';
        throw new ChangeRefused(`${needed}; ask again when the volume serves`);
      }
      this.heartbeat();
      await new Promise<void>((resolve) => environment.after(POLL_MS, resolve));
    }
  }

  /** Null while the volume does not serve. */
  get history(): RecordHistory | null {
    return this.#records?.history ?? null;
  }

  /** By which the volume serves, or has served before its epoch ended. */
  get lastInForce(): MembershipRecord | null {
    return this.history?.inForce ?? this.#lastInForce;
  }

  /** Whether those who are connected are a majority. */
  get hasMajority(): boolean {
    const records = this.#records;
    if (records === null) return false;
    return decides(records.history.inForce.voters, this.#votingIds(), records.forgetful);
  }

  /** The activation has made this record durable. */
  begin(record: MembershipRecord): void {
    const known = this.#voting().flatMap(({ identity, known: state, id }) =>
      identity !== null && state !== null && record.voters.includes(id)
        ? [{ identity, state }]
        : [],
    );
    // Nobody has a memory to lose before the first record.
    const forgetful = record.configSeq === 1 ? NOBODY : forgetfulOf(known);
    for (const id of forgetful) this.#roster.noteEmptied(id);
    this.#records = new RecordKeeper(record, forgetful, (inForce) => {
      if (this.history?.votersPending === false) this.#voterChange.settled();
      this.#committed(inForce);
    });
    for (const member of this.#voting()) {
      if (!record.voters.includes(member.id)) this.#noteStranger(member);
    }
  }

  /** The epoch has ended. */
  end(): void {
    this.#lastInForce = this.lastInForce;
    this.#records = null;
    this.#voterChange.settled();
  }

  /** A member has promised: what it told of itself is what it remembers. */
  promised(member: Member): void {
    this.#documents.learn(member.known?.documents ?? []);
    const records = this.#records;
    if (records === null) return;
    if (!records.history.isVoter(member.id)) {
      this.#noteStranger(member);
      return;
    }
    if (member.known?.record === null) {
      records.forgetful.add(member.id);
      this.#roster.noteEmptied(member.id);
    }
    records.bringTo(member);
  }

  /** Proposes the record that follows from who is there, if it says something new. */
  propose(): void {
    const records = this.#records;
    if (records === null) return;
    const { history } = records;
    const presence = this.#presence(records);
    let next = nextMembers(history, presence);
    if (!history.votersPending) {
      if (next === null || sameIds(next.voters, history.inForce.voters)) {
        this.#voterChange.settled();
      } else if (!this.#voterChange.isPrepared(next.voters)) {
        next = nextMembers(history, { ...presence, joining: [], leaving: [] });
      }
    }
    if (next !== null) records.propose(next, this.#voting());
  }

  /** A voter that has lost its memory becomes a stranger first. */
  mayReturn(member: Member): boolean {
    const records = this.#records;
    if (records === null || !this.#roster.isWanted(member)) return false;
    const { history, forgetful } = records;
    if (history.isRequired(member.id)) return false;
    if (history.isVoter(member.id)) return !forgetful.has(member.id);
    return this.#roster.isAdmissible(member);
  }

  /** Who keeps the documents. */
  quorum(): DocumentQuorum {
    return {
      voters: this.history?.inForce.voters ?? [],
      present: this.#voting(),
      forgetful: this.#records?.forgetful ?? NOBODY,
    };
  }

  #noteStranger(member: Member): void {
    if (this.#roster.isAdmissible(member)) return;
    member.lastError = `replica ${member.id} is not a member of this volume; start the one that was there before, or name the new list of replicas (PUT /v1/replicas)`;
  }

  #presence({ history, forgetful }: RecordKeeper): Presence {
    const serving = this.#roster.members.filter(
      ({ state }) => state.kind === 'in-sync' || (state.kind === 'joining' && state.ready),
    );
    const joining = this.#voting().filter(
      (member) =>
        (member.identity?.role === 'witness' || serving.includes(member)) &&
        !history.isVoter(member.id) &&
        this.#roster.isAdmissible(member),
    );
    return {
      serving: serving.map(({ id }) => id),
      voting: this.#votingIds(),
      forgetful,
      joining: joining.map(({ id }) => id),
      leaving: [...forgetful, ...this.#roster.leavers(history)],
    };
  }

  #voting(): readonly Member[] {
    return this.#roster.members.filter((member) => member.voting);
  }

  #votingIds(): Set<string> {
    return new Set(this.#voting().map(({ id }) => id));
  }
}
