import type {
  Epoch,
  MembershipRecord,
  WelcomeIdentity,
  WelcomeState,
} from '@openebs/replica/protocol';
import { epoch } from '@openebs/replica/protocol';

/**
 * The decisions about who belongs to a volume, as functions of what is known: no clock, no network,
 * no state of their own.
 *
 * Why they are safe, in short. A record is in force once a majority of its voters has it durably;
 * any later activation reads a majority and therefore meets it. Who is in the in-sync set of the
 * record in force holds every acknowledged write, because a write is acknowledged only when all
 * members of that set, and of every record that might be in force, have it.
 */

/** A configured replica that has said who it is. */
export interface KnownMember {
  readonly identity: WelcomeIdentity;
  readonly state: WelcomeState;
}

export const majorityOf = (voters: readonly string[]): number => Math.floor(voters.length / 2) + 1;

/** Later records have the higher (epoch, configSeq). */
export const isNewer = (a: MembershipRecord, b: MembershipRecord): boolean =>
  a.epoch > b.epoch || (a.epoch === b.epoch && a.configSeq > b.configSeq);

export const newestRecord = (members: readonly KnownMember[]): MembershipRecord | null => {
  let newest: MembershipRecord | null = null;
  for (const { state } of members) {
    if (state.record !== null && (newest === null || isNewer(state.record, newest))) {
      newest = state.record;
    }
  }
  return newest;
};

export const isMajority = (voters: readonly string[], ids: ReadonlySet<string>): boolean =>
  voters.filter((voter) => ids.has(voter)).length >= majorityOf(voters);

/**
 * Whether the voice of these decides. A voter that has lost its memory (its directory was emptied)
 * has forgotten its promise too: it may have given it to another target. So a majority counts
 * without such voters; that matters no more when all are there.
 */
export const decides = (
  voters: readonly string[],
  ids: ReadonlySet<string>,
  forgetful: ReadonlySet<string>,
): boolean =>
  isMajority(voters, new Set([...ids].filter((id) => !forgetful.has(id)))) ||
  (voters.length > 0 && voters.every((voter) => ids.has(voter)));

/** Who of these has no record, although the volume has one. */
export const forgetfulOf = (members: readonly KnownMember[]): Set<string> =>
  newestRecord(members) === null
    ? new Set()
    : new Set(
        members.flatMap(({ identity, state }) =>
          state.record === null ? [identity.replicaId] : [],
        ),
      );

/** Whether those who are there know together what any majority has ever decided. */
const isInformed = (record: MembershipRecord, members: readonly KnownMember[]): boolean =>
  decides(
    record.voters,
    new Set(members.map((member) => member.identity.replicaId)),
    forgetfulOf(members),
  );

export type PromisePlan =
  | { readonly kind: 'wait'; readonly waitingFor: string }
  | { readonly kind: 'promise'; readonly epoch: Epoch };

/** Whether enough members are there to ask them for a promise, and for which epoch. */
export const planPromise = ({
  configured,
  members,
  lowestEpoch,
}: {
  /** How many addresses the target was given. */
  readonly configured: number;
  readonly members: readonly KnownMember[];
  /** The new epoch is above this one too: what this target has had itself. */
  readonly lowestEpoch: number;
}): PromisePlan => {
  const record = newestRecord(members);
  if (record === null) {
    // A volume without a record has never served. All its replicas must be there, or one with data
    // could be taken for absent.
    if (members.length < configured) {
      return {
        kind: 'wait',
        waitingFor: describeAll(configured, members.length),
      };
    }
  } else if (!isInformed(record, members)) {
    return { kind: 'wait', waitingFor: describeMajority(record, members) };
  }
  let highest = lowestEpoch;
  for (const { state } of members) {
    highest = Math.max(highest, state.promisedEpoch, state.record?.epoch ?? 0);
  }
  return { kind: 'promise', epoch: epoch(highest + 1) };
};

const describeAll = (configured: number, connected: number): string =>
  connected === 0
    ? `replicas to connect: none of ${configured} has`
    : `all ${configured} replicas: ${connected} connected, which have never served`;

const describeMajority = (
  { voters }: MembershipRecord,
  members: readonly KnownMember[],
): string => {
  const present = members.filter(({ identity }) => voters.includes(identity.replicaId));
  const empty = present.filter(({ state }) => state.record === null).length;
  const forgetful = empty > 0 ? `, ${empty} of them emptied` : '';
  return `a majority of the ${voters.length} voters (${present.length} connected${forgetful}, ${majorityOf(voters)} needed)`;
};

export type SourcePlan =
  | { readonly kind: 'wait'; readonly waitingFor: string; readonly graceMs: number | null }
  | {
      readonly kind: 'reconcile';
      /** The record that the new one follows; null for a new volume. */
      readonly record: MembershipRecord | null;
      readonly voters: readonly string[];
      /** Its data wins wherever the members differ. */
      readonly source: string;
      /** In-sync members that are there, the source included. */
      readonly members: readonly string[];
      /** Members whose blocks may stand in for a damaged one of the source. */
      readonly trusted: readonly string[];
      /**
       * They flush before they are named. What initiators read after a loss of power is to survive
       * the next one: they take it for what is on the disks. Where only processes have ended, page
       * caches are as they were, and what is in them stands as it stood: flushed when somebody asks
       * for it.
       */
      readonly flushes: boolean;
    };

/**
 * Nothing that the member had acknowledged can be missing: its page cache was never lost, or it was
 * compared since.
 */
const isIntact = ({ state }: KnownMember): boolean => state.intact;

const laterVersion = (a: WelcomeState, b: WelcomeState): number =>
  b.lastVersion.epoch - a.lastVersion.epoch || b.lastVersion.seq - a.lastVersion.seq;

/**
 * Whose data the volume continues with, from the states that the members told after their promise
 * (so that no older target can change them any more).
 */
export const planSource = ({
  configured,
  members,
  waitedMs,
  graceMs,
  failures = 0,
}: {
  readonly configured: number;
  /** Those that have promised. */
  readonly members: readonly KnownMember[];
  readonly waitedMs: number;
  readonly graceMs: number;
  /**
   * How often the members could not be made equal because a block was bad on everybody who may
   * stand in for it. Then the volume goes on with fewer of them rather than not at all: the others
   * come back when the block has been written anew.
   */
  readonly failures?: number;
}): SourcePlan => {
  const record = newestRecord(members);
  const present = new Map(members.map((member) => [member.identity.replicaId, member]));
  if (record === null) {
    if (members.length < configured) {
      return { kind: 'wait', waitingFor: 'promises of all replicas', graceMs: null };
    }
    return planFirst(members);
  }
  if (!isInformed(record, members)) {
    return { kind: 'wait', waitingFor: 'promises of a majority of the voters', graceMs: null };
  }
  const inSync: KnownMember[] = [];
  const absent: string[] = [];
  for (const id of record.inSync) {
    const member = present.get(id);
    // Without a record it has nothing any more: to be brought back, not to be believed.
    if (member === undefined || member.state.record === null) absent.push(id);
    else inSync.push(member);
  }
  const intact = inSync.filter(isIntact);
  if (absent.length > 0) {
    if (intact.length === 0) {
      // An absent member may hold acknowledged writes that the others have lost with their
      // machines' page caches.
      const why =
        inSync.length === 0
          ? 'no other replica has all acknowledged writes'
          : 'the others lost writes that were not flushed when their machines stopped';
      return { kind: 'wait', waitingFor: `replica ${absent.join(' or ')}: ${why}`, graceMs: null };
    }
    if (waitedMs < graceMs) {
      return {
        kind: 'wait',
        waitingFor: `replica ${absent.join(', ')} for ${Math.ceil((graceMs - waitedMs) / 1000)} s more`,
        graceMs: graceMs - waitedMs,
      };
    }
  }
  const trusted = intact.length > 0 ? intact : inSync;
  const source = [...trusted].sort((a, b) => laterVersion(a.state, b.state))[0];
  if (source === undefined) throw new RangeError('a membership record without in-sync members');
  const continuing = failures === 0 ? inSync : failures === 1 ? trusted : [source];
  return {
    kind: 'reconcile',
    record,
    voters: record.voters,
    source: source.identity.replicaId,
    members: continuing.map((member) => member.identity.replicaId),
    trusted: trusted.map((member) => member.identity.replicaId),
    flushes: !inSync.every(isIntact),
  };
};

const planFirst = (members: readonly KnownMember[]): SourcePlan => {
  const ids = members.map((member) => member.identity.replicaId).sort();
  const data = members
    .filter((member) => member.identity.role === 'data')
    .map((member) => member.identity.replicaId)
    .sort();
  const source = data[0];
  if (source === undefined) {
    return {
      kind: 'wait',
      waitingFor: 'a replica that stores data: all configured ones are witnesses',
      graceMs: null,
    };
  }
  const parts = { source, members: data, trusted: data };
  return { kind: 'reconcile', record: null, voters: ids, ...parts, flushes: true };
};
