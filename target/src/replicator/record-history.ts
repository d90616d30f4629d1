import type { MembershipRecord } from '@openebs/replica/protocol';
import { decides } from './membership.ts';

/** What a record says of the members. */
export interface Members {
  readonly inSync: readonly string[];
  readonly voters: readonly string[];
}

/**
 * The records of one activation, in the order in which they are made. Between the moment in which a
 * record is sent to the first voter and the moment in which it is durable at a majority it may or
 * may not be in force after a crash; a write therefore waits for all members of the record in force
 * and of all those.
 *
 * Voters change one at a time. Then any majority of the voters before meets any majority of those
 * after, so an activation that knows either record only meets whatever the other ones decided.
 */
export class RecordHistory {
  #inForce: MembershipRecord;
  readonly #proposed: MembershipRecord[] = [];

  constructor(inForce: MembershipRecord) {
    this.#inForce = inForce;
  }

  get inForce(): MembershipRecord {
    return this.#inForce;
  }

  get latest(): MembershipRecord {
    return this.#proposed.at(-1) ?? this.#inForce;
  }

  /** True while a record is on its way. */
  get pending(): boolean {
    return this.#proposed.length > 0;
  }

  /** True while a record with other voters may come into force: they do not change again. */
  get votersPending(): boolean {
    const { voters } = this.#inForce;
    return this.#proposed.some((record) => !sameIds(record.voters, voters));
  }

  propose({ inSync, voters }: Members): MembershipRecord {
    if (inSync.length === 0) throw new RangeError('a volume has at least one in-sync member');
    const record = {
      ...this.#inForce,
      configSeq: this.latest.configSeq + 1,
      inSync: [...inSync].sort(),
      voters: [...voters].sort(),
    };
    this.#proposed.push(record);
    return record;
  }

  /** Durable at a majority: it and all that came before it are settled. */
  commit(record: MembershipRecord): void {
    const at = this.#proposed.indexOf(record);
    if (at < 0) return;
    this.#proposed.splice(0, at + 1);
    this.#inForce = record;
  }

  isRequired(id: string): boolean {
    return (
      this.#inForce.inSync.includes(id) ||
      this.#proposed.some((record) => record.inSync.includes(id))
    );
  }

  /** Named in the record in force, or in one that may come into force. */
  isVoter(id: string): boolean {
    return (
      this.#inForce.voters.includes(id) ||
      this.#proposed.some((record) => record.voters.includes(id))
    );
  }
}

/** From what the next record follows. */
export interface Presence {
  /** Members whose stream is unbroken and that hold everything, joining ones included. */
  readonly serving: readonly string[];
  /** Who is connected and has promised. */
  readonly voting: ReadonlySet<string>;
  /** Voters that have lost their memory: their voice counts only when all are there. */
  readonly forgetful: ReadonlySet<string>;
  /** Who is wanted as a voter and ready to be one. */
  readonly joining: readonly string[];
  /** Voters that shall be none any more, the most urgent first. */
  readonly leaving: readonly string[];
}

/**
 * What the record should say now; null when the latest record says it already, or when no in-sync
 * member would be left.
 */
export const nextMembers = (history: RecordHistory, presence: Presence): Members | null => {
  const { latest } = history;
  const voters = nextVoters(history, presence);
  const inSync = presence.serving.filter((id) => voters.includes(id)).sort();
  if (inSync.length === 0) return null;
  if (sameIds(inSync, latest.inSync) && sameIds(voters, latest.voters)) return null;
  return { inSync, voters };
};

/** One voter more or one less than the record in force says, and only when that can be decided. */
const nextVoters = (
  history: RecordHistory,
  { serving, voting, forgetful, joining, leaving }: Presence,
): readonly string[] => {
  const { inForce, latest } = history;
  const decidable = (voters: readonly string[]): boolean => decides(voters, voting, forgetful);
  if (history.votersPending) {
    // Who was to come has gone again before a majority with it had the record: taken back.
    return decidable(latest.voters) || !decidable(inForce.voters) ? latest.voters : inForce.voters;
  }
  for (const id of joining) {
    const more = [...latest.voters, id];
    if (!latest.voters.includes(id) && decidable(more)) return more;
  }
  for (const id of leaving) {
    const fewer = latest.voters.filter((voter) => voter !== id);
    const copies = serving.some((each) => fewer.includes(each));
    if (fewer.length < latest.voters.length && copies && decidable(fewer)) return fewer;
  }
  return latest.voters;
};

export const sameIds = (some: readonly string[], others: readonly string[]): boolean =>
  some.length === others.length && some.every((id) => others.includes(id));
