import type { MembershipRecord } from '@openebs/replica/protocol';
import { MemberError, type Member } from './member.ts';
import { isMajority, RecordHistory } from './membership.ts';

/**
 * Makes records durable: sends each to all voters that are there, and says when a majority has it.
 */
export class RecordKeeper {
  readonly history: RecordHistory;
  readonly #committed: (record: MembershipRecord) => void;
  /** Who has it durably, for each record on its way. */
  readonly #durable = new Map<MembershipRecord, Set<string>>();

  constructor(inForce: MembershipRecord, committed: (record: MembershipRecord) => void) {
    this.history = new RecordHistory(inForce);
    this.#committed = committed;
  }

  propose(inSync: readonly string[], voters: readonly Member[]): MembershipRecord {
    const record = this.history.propose(inSync);
    this.#durable.set(record, new Set());
    for (const voter of voters) this.send(record, voter);
    return record;
  }

  /** To a voter that came later: what is on its way, or else what is in force. */
  bringTo(voter: Member): void {
    this.send(this.history.latest, voter);
  }

  send(record: MembershipRecord, voter: Member): void {
    const { id } = voter;
    if (!record.voters.includes(id)) return;
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
    if (!isMajority(record.voters, durable)) return;
    for (const older of this.#durable.keys()) {
      if (older.configSeq <= record.configSeq) this.#durable.delete(older);
    }
    this.history.commit(record);
    this.#committed(record);
  }
}
