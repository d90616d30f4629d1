import type { MembershipRecord } from '@openebs/replica/protocol';
import { MemberError } from './member-error.ts';
import type { Member } from './member.ts';
import { decides } from './membership.ts';
import { RecordHistory, type Members } from './record-history.ts';

/**
 * Makes records durable: sends each to all voters that are there, and says when it is in force: a
 * majority of its voters has it, a majority of those before it, and who comes in sync by it.
 */
export class RecordKeeper {
  readonly history: RecordHistory;
  /** Voters that have lost their memory, until a record made them none and another one voters. */
  readonly forgetful: Set<string>;
  readonly #committed: (record: MembershipRecord) => void;
  /** Who has it durably, for each record on its way. */
  readonly #durable = new Map<MembershipRecord, Set<string>>();

  constructor(
    inForce: MembershipRecord,
    forgetful: ReadonlySet<string>,
    committed: (record: MembershipRecord) => void,
  ) {
    this.history = new RecordHistory(inForce);
    this.forgetful = new Set(forgetful);
    this.#committed = committed;
  }

  propose(members: Members, voting: readonly Member[]): MembershipRecord {
    const record = this.history.propose(members);
    this.#durable.set(record, new Set());
    for (const member of voting) this.send(record, member);
    return record;
  }

  /** To a voter that came later: what is on its way, or else what is in force. */
  bringTo(voter: Member): void {
    this.send(this.history.latest, voter);
  }

  send(record: MembershipRecord, voter: Member): void {
    const { id } = voter;
    // Who is a voter by one that is in force, or may come into force, decides about later ones too,
    // and learns that it is one no more.
    if (!this.history.isVoter(id)) return;
    // A record that names a replica makes it believe that it is whole; only one that holds
    // everything may see it.
    const whole = voter.inSync || (voter.state.kind === 'joining' && voter.state.ready);
    if (record.inSync.includes(id) && !whole) return;
    voter.putRecord(record).then(
      () => this.#isDurableAt(record, id),
      (error: unknown) => {
        if (!(error instanceof MemberError)) throw error;
        // A lost connection speaks for itself.
        if (error.code !== 'LINK_CLOSED') voter.drop(`did not keep the record: ${error.message}`);
      },
    );
  }

  #isDurableAt(record: MembershipRecord, id: string): void {
    const durable = this.#durable.get(record);
    if (durable === undefined) return;
    durable.add(id);
    const { inForce } = this.history;
    for (const { voters } of [inForce, record]) {
      if (!decides(voters, durable, this.forgetful)) return;
    }
    // Whoever comes in sync has it too: one that knows of no record is taken for emptied.
    const remembers = (each: string): boolean => inForce.inSync.includes(each) || durable.has(each);
    if (!record.inSync.every(remembers)) return;
    for (const older of this.#durable.keys()) {
      if (older.configSeq <= record.configSeq) this.#durable.delete(older);
    }
    this.history.commit(record);
    // From here on it is a stranger that may become a voter, and remember from then on.
    for (const each of this.forgetful) {
      if (!record.voters.includes(each)) this.forgetful.delete(each);
    }
    this.#committed(record);
  }
}
