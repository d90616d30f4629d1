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

/** Without a record it has nothing any more: to be brought back, not to be believed. */
const remembers = ({ state }: KnownMember): boolean => state.record !== null;

/** One that was emptied may have been given a record again, but none that names it. */
const remembersBeingNamed = ({ identity, state }: KnownMember): boolean =>
  state.record?.inSync.includes(identity.replicaId) === true;

/** What the members say by one record: who has everything, and who is not there to say it. */
interface Claim {
  readonly record: MembershipRecord;
  readonly inSync: readonly KnownMember[];
  readonly absent: readonly string[];
}

type Present = ReadonlyMap<string, KnownMember>;

const claimOf = (
  record: MembershipRecord,
  present: Present,
  isBelieved: (member: KnownMember) => boolean,
): Claim => {
  const inSync: KnownMember[] = [];
  const absent: string[] = [];
  for (const id of record.inSync) {
    const member = present.get(id);
    if (member !== undefined && isBelieved(member)) inSync.push(member);
    else absent.push(id);
  }
  return { record, inSync, absent };
};

/**
 * The newest record is believed, as it may have come into force. Only a target that knows that it
 * acknowledged nothing by it, because it made it itself, goes back to the last one in force when
 * nobody whom the newest names has kept what was in memory, and waits for whom that one names.
 */
const believedClaim = (
  newest: MembershipRecord,
  lastInForce: MembershipRecord | null,
  present: Present,
): Claim => {
  const claim = claimOf(newest, present, remembers);
  if (lastInForce === null || claim.inSync.some(isIntact)) return claim;
  const before = claimOf(lastInForce, present, remembersBeingNamed);
  const mayKnowMore = before.inSync.some(isIntact) || before.absent.some((id) => !present.has(id));
  return mayKnowMore ? before : claim;
};

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
  lastInForce = null,
  failures = 0,
}: {
  readonly configured: number;
  /** Those that have promised. */
  readonly members: readonly KnownMember[];
  readonly waitedMs: number;
  readonly graceMs: number;
  /**
   * The last record that this target knows to be in force, if the newest one that the members keep
   * is its own as well. Then nobody else has served since, and it has acknowledged nothing by the
   * newer ones: whom this one names has everything too.
   */
  readonly lastInForce?: MembershipRecord | null;
  /**
   * How often the members could not be made equal because a block was bad on everybody who may
   * stand in for it. Then the volume goes on with fewer of them rather than not at all: the others
   * come back when the block has been written anew.
   */
  readonly failures?: number;
}): SourcePlan => {
  const newest = newestRecord(members);
  if (newest === null) {
    if (members.length < configured) {
      return { kind: 'wait', waitingFor: 'promises of all replicas', graceMs: null };
    }
    return planFirst(members);
  }
  const present = new Map(members.map((member) => [member.identity.replicaId, member]));
  const { record, inSync, absent } = believedClaim(newest, lastInForce, present);
  if (!isInformed(record, members)) {
    return { kind: 'wait', waitingFor: 'promises of a majority of the voters', graceMs: null };
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
