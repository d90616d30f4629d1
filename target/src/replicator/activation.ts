import type { Epoch, MembershipRecord, Session } from '@openebs/replica/protocol';
import { epoch, session } from '@openebs/replica/protocol';
import { REPLICATOR_LIMITS } from '../limits.ts';
import type { Environment } from './environment.ts';
import { equaliseAtomicRanges } from './atomic-ranges.ts';
import { leaseWaitMs } from './lease.ts';
import { activateLayers } from './layer-activation.ts';
import type { Growth } from './growth.ts';
import type { Layers } from './layers.ts';
import {
  decides,
  forgetfulOf,
  newestRecord,
  planPromise,
  planSource,
  type KnownMember,
  type SourcePlan,
} from './membership.ts';
import { MemberError } from './member-error.ts';
import type { Member } from './member.ts';
import { reconcile, type ResyncContext } from './resync.ts';

/** What an activation works on. */
export interface ActivationHost {
  readonly environment: Environment;
  readonly resync: ResyncContext;
  readonly members: readonly Member[];
  readonly layers: Layers;
  readonly growth: Growth;
  readonly graceMs: number;
  /** The highest epoch that this target had or tried. */
  readonly epoch: number;
  /** The highest promise that a member has named when it fenced us; 0 if none did. */
  readonly fencedBy: number;
  readonly hasServed: boolean;
  /** In which this target has made records. */
  readonly recordEpochs: Set<number>;
  /** The last record by which it has served. */
  readonly lastInForce: MembershipRecord | null;
  readonly stopped: boolean;
  beginEpoch(epoch: Epoch, session: Session): void;
  waitFor(what: string): void;
  /** Resolves when a member's state has changed, or after the time. */
  nextChange(timeoutMs: number | null): Promise<void>;
  dropAll(reason: string): void;
}

export type Outcome =
  | { readonly kind: 'stopped' | 'fenced' }
  | {
      readonly kind: 'serving';
      readonly record: MembershipRecord;
      readonly members: readonly Member[];
    };

const LOST = { code: 'LINK_CLOSED', message: 'lost before it was compared', offsetBytes: null };

const NO_MAJORITY = {
  code: 'LINK_CLOSED',
  message: 'no majority kept the record',
  offsetBytes: null,
};

type ReconcilePlan = Extract<SourcePlan, { kind: 'reconcile' }>;

/**
 * From any state of the members to a volume that may serve, as often as it takes:
 *
 * 1. wait for a majority of the voters (all replicas of a new volume)
 * 2. choose an epoch above all promises, and have a majority promise it durably
 * 3. from what they told after their promise: whose data the volume continues with; wait a while
 *    for in-sync members that are absent
 * 4. make the in-sync members equal, and flush them where one has lost its page cache
 * 5. make a record of this epoch durable, which names them
 */
export const activate = async (host: ActivationHost): Promise<Outcome> => {
  let attempts = 0;
  let failures = 0;
  while (!host.stopped) {
    // Before a promise to this one drives the other one out.
    if (hasSuccessor(host)) return { kind: 'fenced' };
    if (!(await gather(host))) continue;
    try {
      const plan = await promises(host, failures);
      if (plan !== null && isReplaced(host, plan)) return { kind: 'fenced' };
      if (plan !== null) return await settle(host, plan);
    } catch (error) {
      if (!(error instanceof MemberError)) throw error;
      if (error.code === 'CHECKSUM_MISMATCH') failures++;
      host.environment.log('warn', { reason: error.message }, 'activation starts over');
      host.dropAll('the activation starts over');
    }
    if (host.fencedBy < host.epoch) continue;
    // Who has served before has been replaced. Two targets that start at the same time try again,
    // each at its own moment.
    if (host.hasServed || ++attempts >= REPLICATOR_LIMITS.promiseAttempts) {
      return { kind: 'fenced' };
    }
    host.dropAll('another target is being activated');
    await pause(host, 200 + 1000 * host.environment.random());
  }
  return { kind: 'stopped' };
};

/**
 * Somebody else has served since this target has: what it still holds of its initiators' writes is
 * older than what they may have written there, and must never be sent.
 */
const isReplaced = (
  { hasServed, recordEpochs }: ActivationHost,
  { record }: ReconcilePlan,
): boolean => hasServed && record !== null && !recordEpochs.has(record.epoch);

/** A replica that has just said what it knows has a later record, which is not ours. */
const hasSuccessor = ({ hasServed, recordEpochs, members }: ActivationHost): boolean => {
  const own = Math.max(0, ...recordEpochs);
  return (
    hasServed && members.some((each) => isGreeted(each) && (each.known?.record?.epoch ?? 0) > own)
  );
};

const known = (members: readonly Member[]): KnownMember[] => {
  const result: KnownMember[] = [];
  for (const { identity, known: state } of members) {
    if (identity !== null && state !== null) result.push({ identity, state });
  }
  return result;
};

const isGreeted = (member: Member): boolean => member.state.kind === 'greeted';

/** Step 1, and the choice of the epoch. */
const gather = async (host: ActivationHost): Promise<boolean> => {
  const plan = planPromise({
    configured: host.members.length,
    members: known(host.members.filter((member) => isGreeted(member) || member.voting)),
    lowestEpoch: Math.max(host.epoch, host.fencedBy),
  });
  if (plan.kind === 'wait') {
    host.waitFor(plan.waitingFor);
    await host.nextChange(null);
    return false;
  }
  const random = 1 + Math.floor(host.environment.random() * (Number.MAX_SAFE_INTEGER - 1));
  host.beginEpoch(plan.epoch, session(random));
  return true;
};

/** Steps 2 and 3. Null: start over. */
const promises = async (host: ActivationHost, failures: number): Promise<ReconcilePlan | null> => {
  const { environment } = host;
  const startedMs = environment.now();
  for (;;) {
    if (host.stopped || host.fencedBy >= host.epoch) return null;
    const higher = host.members.some(
      (member) => isGreeted(member) && (member.known?.promisedEpoch ?? 0) > host.epoch,
    );
    if (higher) {
      host.dropAll('a replica has promised a higher epoch');
      return null;
    }
    const members = known(host.members.filter((member) => member.voting));
    const newest = newestRecord(members);
    const isOwn = newest !== null && host.recordEpochs.has(newest.epoch);
    const plan = planSource({
      configured: host.members.length,
      members,
      lastInForce: isOwn ? host.lastInForce : null,
      waitedMs: environment.now() - startedMs,
      graceMs: host.graceMs,
      failures,
    });
    switch (plan.kind) {
      case 'reconcile':
        return plan;
      case 'wait':
        host.waitFor(plan.waitingFor);
        await host.nextChange(plan.graceMs);
    }
  }
};

/** Steps 4 and 5. Rejects with MemberError when a member that is needed is lost. */
const settle = async (host: ActivationHost, plan: ReconcilePlan): Promise<Outcome> => {
  const { environment, resync } = host;
  const byId = new Map(host.members.filter((each) => each.voting).map((each) => [each.id, each]));
  const pick = (ids: readonly string[]): Member[] =>
    ids.flatMap((id) => {
      const member = byId.get(id);
      return member === undefined ? [] : [member];
    });
  const first = (ids: readonly string[]): string[] => [
    plan.source,
    ...ids.filter((id) => id !== plan.source),
  ];
  const members = pick(first(plan.members));
  if (members.length < plan.members.length) {
    throw new MemberError(LOST, 'an in-sync replica');
  }
  await agreeOnLayers(host, plan, members);
  host.growth.learn(members);
  await Promise.all(members.map((member) => member.growTo(resync.sizeBytes)));
  host.waitFor('the in-sync replicas to be compared');
  for (const member of members) {
    member.become({ kind: 'syncing' });
    resync.stream.add(member);
  }
  const startedMs = environment.now();
  const sources = pick(first(plan.trusted));
  if (members.length > 1) await equaliseAtomicRanges(resync.stream, members, sources);
  const compared = await reconcile(resync, members, sources);
  if (plan.flushes) {
    host.waitFor('the in-sync replicas to flush');
    await Promise.all(members.map((member) => member.flushed()));
  }
  const record: MembershipRecord = {
    volumeId: members[0]?.identity?.volumeId ?? '',
    epoch: epoch(host.epoch),
    configSeq: (plan.record?.configSeq ?? 0) + 1,
    inSync: [...plan.members].sort(),
    voters: plan.voters,
  };
  host.recordEpochs.add(record.epoch);
  await putRecord(host, record, members);
  if (!host.hasServed && plan.record !== null) await waitOutLeases(host, record.voters);
  environment.log(
    'info',
    { epoch: record.epoch, inSync: record.inSync, compared, ms: environment.now() - startedMs },
    'activated',
  );
  return { kind: 'serving', record, members };
};

/** All these members have the layers that the volume shall have. */
const agreeOnLayers = async (
  host: ActivationHost,
  plan: ReconcilePlan,
  members: readonly Member[],
): Promise<void> => {
  host.waitFor('the in-sync replicas to agree on the layers');
  const present = host.members.filter((member) => member.voting);
  const forgetful = plan.record === null ? new Set<string>() : forgetfulOf(known(present));
  const quorum = { voters: plan.voters, present, forgetful };
  const tree = await activateLayers({ epoch: epoch(host.epoch), quorum, members });
  if (members.some(({ state }) => state.kind !== 'promised')) {
    throw new MemberError(LOST, 'an in-sync replica');
  }
  host.layers.begin(tree);
};

/** Until no target before this one can answer reads. A target need not wait for its own lease. */
const waitOutLeases = async (host: ActivationHost, voters: readonly string[]): Promise<void> => {
  while (!host.stopped && host.fencedBy < host.epoch) {
    const present = host.members.filter((member) => member.voting);
    const ends = new Map(present.map(({ id, pulse }) => [id, pulse.leaseEndsMs]));
    const waitMs = leaseWaitMs(voters, ends, host.environment.now());
    if (waitMs === 0) return;
    // They may have promised somebody else a higher epoch since.
    if (waitMs === Infinity) throw new MemberError(LOST, 'a majority of the voters');
    host.waitFor('the time to pass in which the target before may still answer reads');
    await host.nextChange(waitMs);
  }
};

/** Durable on a majority of the voters and on each of these members. */
const putRecord = async (
  host: ActivationHost,
  record: MembershipRecord,
  members: readonly Member[],
): Promise<void> => {
  host.waitFor('the membership record to be durable at a majority');
  const durable = new Set<string>();
  const voters = host.members.filter(
    (member) => member.voting && record.voters.includes(member.id),
  );
  const forgetful = record.configSeq === 1 ? new Set<string>() : forgetfulOf(known(voters));
  const failures: MemberError[] = [];
  // Whoever was lost since they were compared will not answer.
  if (voters.length === 0) throw new MemberError(NO_MAJORITY, 'the voters');
  await new Promise<void>((resolve, reject) => {
    let left = voters.length;
    for (const voter of voters) {
      voter.putRecord(record).then(
        () => {
          durable.add(voter.id);
          left--;
          const complete = members.every((member) => durable.has(member.id));
          if (complete && decides(record.voters, durable, forgetful)) resolve();
          else if (left === 0) reject(failures[0] ?? new MemberError(NO_MAJORITY, 'the voters'));
        },
        (error: unknown) => {
          left--;
          if (!(error instanceof MemberError)) {
            reject(error instanceof Error ? error : new Error(String(error)));
            return;
          }
          failures.push(error);
          if (left === 0 || members.includes(voter)) reject(error);
        },
      );
    }
  });
};

const pause = (host: ActivationHost, delayMs: number): Promise<void> =>
  new Promise((resolve) => {
    host.environment.after(delayMs, resolve);
  });
