import { formatSize } from '../../size.ts';
import type {
  IntegrityView,
  ReplicaView,
  VolumeAccess,
  VolumeStatus,
  VolumeView,
} from '../orchestrator.ts';
import type { MemberRecord, VolumeRecord } from './record.ts';
import type { TargetStatus } from './target-status.ts';
import { conditionOf, named } from './volume-condition.ts';

export const IQN_PREFIX = 'iqn.2016-09.com.openebs:';

/** What is known of one process at this moment. */
export interface ProcessFacts {
  readonly status: ReplicaView['status'];
  readonly failures: number;
  readonly lastFailure: string | null;
}

export interface VolumeFacts {
  readonly record: VolumeRecord;
  readonly isDeleting: boolean;
  readonly node: string;
  readonly portal: string;
  readonly logDirectory: string;
  /** When this became so, as the control plane saw it. */
  readonly sinceOf: (status: VolumeStatus, access: VolumeAccess) => string;
  readonly target: ProcessFacts;
  /** Null while the target does not answer. */
  readonly targetStatus: TargetStatus | null;
  /** Why the target does not take what the record says; null: it does. */
  readonly refusal: string | null;
  readonly members: readonly {
    readonly member: MemberRecord;
    readonly facts: ProcessFacts;
    readonly directory: string;
    readonly address: string;
  }[];
}

/** Pure: from what is known to what is told. */
export function viewOf(facts: VolumeFacts): VolumeView {
  const { record, targetStatus } = facts;
  const replicas = facts.members.map(({ member, facts: process, directory, address }) => {
    const known = targetStatus?.replicas.find(
      (replica) => replica.id === member.id || (replica.id === null && replica.address === address),
    );
    const isUp = process.status === 'running';
    return {
      id: member.id,
      index: member.index,
      role: member.role,
      leaving: member.leaving === true,
      mode: known?.mode ?? 'offline',
      since: known?.since ?? null,
      status: process.status,
      node: facts.node,
      address,
      directory,
      lastError: (isUp ? null : process.lastFailure) ?? known?.lastError ?? process.lastFailure,
      resync: known?.resync ?? null,
    } satisfies ReplicaView;
  });
  const copies = replicas.filter(({ role, leaving }) => role === 'data' && !leaving);
  const condition = conditionOf(facts, replicas);
  const { status, access } = condition;
  const seen = facts.sinceOf(status, access);
  return {
    name: record.name,
    id: record.id,
    iqn: `${IQN_PREFIX}${record.name}`,
    portal: facts.portal,
    lun: 0,
    size: record.sizeBytes,
    sizeText: formatSize(record.sizeBytes),
    servedSize:
      targetStatus?.sizeBytes === record.sizeBytes ? null : (targetStatus?.sizeBytes ?? null),
    // Of a target that does not answer it would be out of date.
    refusal: targetStatus === null ? null : named(facts.refusal, facts),
    ...condition,
    since: targetStatus?.state === status ? (targetStatus.since ?? seen) : seen,
    controller: { status: facts.target.status, node: facts.node },
    replicaCount: copies.length,
    inSyncCount: copies.filter(({ mode }) => mode === 'in-sync').length,
    replicas,
    sessions: targetStatus?.sessions ?? [],
    integrity: integrityView(facts),
    chap: targetStatus?.settings?.chap ?? record.firstChap,
    rebuildBytesPerSecond: targetStatus?.settings?.rebuildBytesPerSecond ?? null,
    source: record.source,
    claim: null,
    createdAt: record.createdAt,
    generation: record.generation,
  };
}

function integrityView(facts: VolumeFacts): IntegrityView | null {
  const integrity = facts.targetStatus?.integrity ?? null;
  if (integrity === null) return null;
  return { ...integrity, lastProblem: named(integrity.lastProblem, facts) };
}
