import { parseQuantity } from '../../kubernetes/quantity.ts';
import type { VolumeRecord } from '../local/record.ts';
import type { TargetReplica, TargetStatus } from '../local/target-status.ts';
import { viewOf } from '../local/volume-view.ts';
import type { VolumeView } from '../orchestrator.ts';
import { runningMembers } from './members.ts';
import { idOfName, replicaAddress, volumeIdOf } from './names.ts';
import { processOf, type Pod } from './pod-state.ts';
import { rebuildRateOf, type ReplicaResource, type VolumeResource } from './volume-resource.ts';

export interface ResourceFacts {
  readonly record: VolumeResource;
  readonly namespace: string;
  readonly poolPath: string;
  /** By index. */
  readonly replicas: ReadonlyMap<number, ReplicaResource>;
  /** By `target`, or the index of a replica. */
  readonly pods: ReadonlyMap<string, Pod>;
  /** What the target has just said; null: it was not asked, or does not answer. */
  readonly target: TargetStatus | null;
}

/** What the API server tells of a volume in a cluster. */
export const resourceView = (facts: ResourceFacts): VolumeView => {
  const { record, namespace, pods, poolPath } = facts;
  const { name } = record.metadata;
  const members = runningMembers(record);
  const target = pods.get('target') ?? null;
  const since =
    record.status?.conditions?.find(({ type }) => type === 'Ready')?.lastTransitionTime ??
    record.metadata.creationTimestamp ??
    '';
  const recorded = record.status?.conditions?.find(({ type }) => type === 'AsRecorded');
  const refusal = recorded?.status === 'False' ? recorded.message : null;
  const view = viewOf({
    record: localRecord(record),
    isDeleting: record.metadata.deletionTimestamp !== undefined,
    node: target?.spec?.nodeName ?? '',
    portal: record.status?.portal ?? '',
    logDirectory: `kubectl -n ${namespace} logs deploy/${name}`,
    sinceOf: () => since,
    target: processOf(target),
    targetStatus: facts.target ?? lastTold(facts),
    refusal,
    members: members.map((member) => ({
      member: memberOf(member),
      facts: processOf(pods.get(String(member.index)) ?? null),
      directory: `${poolPath}/${name}/replica-${member.index}`,
      address: replicaAddress(name, namespace, member.index),
    })),
  });
  return {
    ...view,
    claim: claimOf(record),
    replicaCount: record.spec.replicas,
    rebuildBytesPerSecond: rebuildRateOf(record.spec),
    reason: view.reason ?? refusal,
    replicas: view.replicas.map((replica) => ({
      ...replica,
      node: members.find(({ id }) => id === replica.id)?.node ?? '',
    })),
  };
};

const claimOf = ({ spec }: VolumeResource): VolumeView['claim'] => {
  if (spec.claimRef === undefined) return null;
  const { namespace, name, storageClass = null } = spec.claimRef;
  return { namespace, name, storageClass };
};

const memberOf = ({ id, index, role, state }: VolumeResource['spec']['members'][number]) => ({
  ...{ id, index, role },
  leaving: state === 'Leaving',
});

const sourceOf = ({ spec }: VolumeResource): VolumeRecord['source'] => {
  if (spec.source === undefined) return null;
  const { volume, snapshot } = spec.source;
  return { volume, volumeId: idOfName(volume), snapshot };
};

const localRecord = (record: VolumeResource): VolumeRecord => ({
  formatVersion: 1,
  name: record.metadata.name,
  id: volumeIdOf(record),
  sizeBytes: Number(parseQuantity(record.spec.size)),
  members: runningMembers(record).map(memberOf),
  portalPort: 0,
  generation: record.metadata.generation ?? 0,
  createdAt: record.metadata.creationTimestamp ?? '',
  idempotencyKey: null,
  firstChap: null,
  source: sourceOf(record),
});

const MODES: Readonly<Record<string, TargetReplica['mode']>> = {
  InSync: 'in-sync',
  Syncing: 'syncing',
};

/** As the provisioner has written it down. Null: the target does not serve. */
const lastTold = ({ record, namespace, replicas }: ResourceFacts): TargetStatus | null => {
  const { phase, size, conditions, access, since, next, chap } = record.status ?? {};
  if (phase !== 'Healthy' && phase !== 'Degraded') return null;
  const message = conditions?.find(({ type }) => type === 'Ready')?.message ?? null;
  return {
    state: phase === 'Healthy' ? 'healthy' : 'degraded',
    access: access ?? 'read-write',
    since: since ?? null,
    reason: phase === 'Healthy' ? null : message,
    next: next ?? null,
    replicas: runningMembers(record).map(({ id, index }) => {
      const { mode = 'Offline', progress, message: words } = replicas.get(index)?.status ?? {};
      const percent = Number.parseFloat(progress ?? '');
      return {
        id,
        address: replicaAddress(record.metadata.name, namespace, index),
        mode: MODES[mode] ?? 'offline',
        since: null,
        lastError: words ?? null,
        resync: Number.isFinite(percent)
          ? { percent, bytesPerSecond: null, etaSeconds: null }
          : null,
      };
    }),
    voters: null,
    sizeBytes: size === undefined ? null : Number(parseQuantity(size)),
    sessions: [],
    integrity: null,
    settings:
      chap === undefined
        ? null
        : {
            chap: { user: chap.user, mutualUser: chap.mutualUser ?? null },
            rebuildBytesPerSecond: rebuildRateOf(record.spec),
          },
  };
};
