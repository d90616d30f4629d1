import { formatQuantity, parseQuantity } from '../../kubernetes/quantity.ts';
import type { TargetReplica, TargetStatus } from '../local/target-status.ts';
import { runningMembers, wantedMembers } from './members.ts';
import { iqnOf, replicaAddress, replicaName } from './names.ts';
import type {
  ChapInForce,
  ReplicaMode,
  ReplicaResourceStatus,
  VolumeCondition,
  VolumeMember,
  VolumePhase,
  VolumeResource,
  VolumeResourceStatus,
} from './volume-resource.ts';

export interface VolumeFacts {
  readonly record: VolumeResource;
  readonly namespace: string;
  readonly portal: string;
  /** By name of its Deployment: whether a pod of it is ready. */
  readonly available: (deployment: string) => boolean;
  readonly targetAvailable: boolean;
  /** Null: the target does not answer. */
  readonly target: TargetStatus | null;
  /** Null: everybody may log in, or nobody has said. */
  readonly chap: ChapInForce | null;
  /** Why it is not yet what the record says; null: it is, as far as is known. */
  readonly problem: string | null;
  readonly now: string;
}

/** Progress is told in steps, so that it is not a write each second. Percent. */
const PROGRESS_STEP = 5;

const MODES: Readonly<Record<TargetReplica['mode'], ReplicaMode>> = {
  'in-sync': 'InSync',
  syncing: 'Syncing',
  offline: 'Offline',
};

/** What the target says of a member. */
export const replicaOf = (
  { record, namespace, target }: Pick<VolumeFacts, 'record' | 'namespace' | 'target'>,
  { id, index }: VolumeMember,
): TargetReplica | null => {
  const address = replicaAddress(record.metadata.name, namespace, index);
  return (
    target?.replicas.find(
      (replica) => replica.id === id || (replica.id === null && replica.address === address),
    ) ?? null
  );
};

export const replicaStatus = (facts: VolumeFacts, member: VolumeMember): ReplicaResourceStatus => {
  const { record, namespace, available, target } = facts;
  const { name } = record.metadata;
  const known = replicaOf(facts, member);
  const runs = available(replicaName(name, member.index));
  const mode: ReplicaMode =
    target === null ? (runs ? 'Unknown' : 'Offline') : MODES[known?.mode ?? 'offline'];
  const progress =
    known?.resync == null
      ? {}
      : {
          progress: `${Math.floor(known.resync.percent / PROGRESS_STEP) * PROGRESS_STEP}%`,
        };
  const words = [
    ...(member.state === 'Leaving' ? ['it leaves the volume'] : []),
    ...(runs ? [] : ['its pod is not ready']),
    ...(known?.lastError == null || mode === 'InSync' ? [] : [known.lastError]),
  ];
  return {
    mode,
    address: replicaAddress(name, namespace, member.index),
    ...progress,
    ...(words.length === 0 ? {} : { message: words.join('; ') }),
  };
};

export const volumeStatus = (facts: VolumeFacts): VolumeResourceStatus => {
  const { record, portal, target, problem, chap } = facts;
  const { name, generation } = record.metadata;
  const copies = wantedMembers(record).filter(({ role }) => role === 'data');
  const inSync = copies.filter((member) => replicaOf(facts, member)?.mode === 'in-sync').length;
  const { phase, message } = phaseOf(facts);
  const serves = phase === 'Healthy' || phase === 'Degraded';
  const behind = copies.length - inSync;
  const recorded = recordedCondition(facts);
  return {
    phase,
    portal,
    iqn: iqnOf(name),
    ...(target === null
      ? {}
      : {
          inSync,
          sessions: target.sessions.length,
          ...told(facts, target),
          ...(target.sizeBytes === null ? {} : { size: formatQuantity(BigInt(target.sizeBytes)) }),
        }),
    ...(chap === null ? {} : { chap }),
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    conditions: [
      condition(facts, 'Ready', serves ? 'True' : 'False', phase, message),
      target === null
        ? condition(facts, 'InSync', 'Unknown', 'NoAnswer', 'the target has not said')
        : condition(
            facts,
            'InSync',
            behind === 0 ? 'True' : 'False',
            behind === 0 ? 'AllInSync' : 'CopiesBehind',
            `${inSync} of ${copies.length} copies hold everything`,
          ),
      recorded === null && problem === null
        ? condition(facts, 'AsRecorded', 'True', 'AsRecorded', 'it is what its record says')
        : condition(facts, 'AsRecorded', 'False', 'Changing', problem ?? recorded ?? ''),
    ],
  };
};

/** In the target's own words. */
const told = (
  facts: VolumeFacts,
  { access, since, reason, next }: TargetStatus,
): Partial<VolumeResourceStatus> => {
  const words = (text: string | null): string | null => {
    const known = named(facts, text);
    return known === null ? null : withoutProgress(known);
  };
  const all = { access, since, reason: words(reason), next: words(next) };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null));
};

const recordedCondition = ({ record, target }: VolumeFacts): string | null => {
  const leaving = runningMembers(record).filter(({ state }) => state === 'Leaving');
  if (leaving.length > 0) {
    return `replica ${leaving.map(({ index }) => index).join(', ')} leaves`;
  }
  if (target === null) return 'the target has not said';
  const size = Number(parseQuantity(record.spec.size));
  if (target.sizeBytes !== null && target.sizeBytes < size) {
    return `it grows to ${record.spec.size}`;
  }
  return null;
};

const phaseOf = (facts: VolumeFacts): { phase: VolumePhase; message: string } => {
  const { record, target, targetAvailable, available } = facts;
  const { name } = record.metadata;
  const before = record.status?.phase;
  const hasServed = before !== undefined && before !== 'Pending';
  const missing = wantedMembers(record)
    .filter(({ index }) => !available(replicaName(name, index)))
    .map(({ index }) => index);
  const reason = named(facts, target?.reason ?? null);
  const absent = missing.length === 0 ? null : `replica ${missing.join(', ')} does not run`;
  if (!targetAvailable && target === null) {
    return {
      phase: hasServed ? 'Unavailable' : 'Pending',
      message: absent ?? 'the target does not serve yet: see its pod',
    };
  }
  if (target === null) {
    return absent === null
      ? { phase: 'Healthy', message: 'all pods are ready; the control API does not answer' }
      : { phase: 'Degraded', message: absent };
  }
  switch (target.state) {
    case 'healthy':
      return { phase: 'Healthy', message: 'all replicas are in sync' };
    case 'degraded':
      return { phase: 'Degraded', message: reason ?? absent ?? 'a replica is behind' };
    case 'starting':
      return {
        phase: hasServed ? 'Unavailable' : 'Pending',
        message: reason ?? absent ?? 'the target starts',
      };
    case 'unavailable':
      return { phase: 'Unavailable', message: reason ?? absent ?? 'it does not serve' };
  }
};

const condition = (
  { record, now }: VolumeFacts,
  type: VolumeCondition['type'],
  status: VolumeCondition['status'],
  reason: string,
  message: string,
): VolumeCondition => {
  const before = record.status?.conditions?.find((each) => each.type === type);
  const lastTransitionTime = before?.status === status ? before.lastTransitionTime : now;
  return { type, status, reason, message: withoutProgress(message), lastTransitionTime };
};

/** The target tells each percent and second; the record is not written for each. */
const withoutProgress = (message: string): string =>
  message.replaceAll(/ \([\d.]+ %\)/g, '').replaceAll(/ in about \d+ s/g, ' when that is done');

/** The target knows its replicas by address, people by number. */
const named = ({ record, namespace }: VolumeFacts, words: string | null): string | null => {
  let text = words;
  for (const { index } of runningMembers(record)) {
    const address = replicaAddress(record.metadata.name, namespace, index);
    text = text?.replaceAll(address, `replica ${index}`) ?? null;
  }
  return text;
};
