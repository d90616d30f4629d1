import { FAILURES_BEFORE_REASON } from '../../limits.ts';
import { formatSize } from '../../size.ts';
import type { IntegrityView, ReplicaView, VolumeStatus, VolumeView } from '../orchestrator.ts';
import type { MemberRecord, VolumeRecord } from './record.ts';
import type { TargetStatus } from './target-status.ts';

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
  readonly target: ProcessFacts;
  /** Null while the target does not answer. */
  readonly targetStatus: TargetStatus | null;
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
      status: process.status,
      node: facts.node,
      address,
      directory,
      lastError: (isUp ? null : process.lastFailure) ?? known?.lastError ?? process.lastFailure,
      resync: known?.resync ?? null,
    } satisfies ReplicaView;
  });
  const copies = replicas.filter(({ role, leaving }) => role === 'data' && !leaving);
  const { status, reason } = statusOf(facts, replicas);
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
    status,
    reason,
    controller: { status: facts.target.status, node: facts.node },
    replicaCount: copies.length,
    inSyncCount: copies.filter(({ mode }) => mode === 'in-sync').length,
    replicas,
    sessions: targetStatus?.sessions ?? [],
    integrity: integrityView(facts),
    source: record.source,
    createdAt: record.createdAt,
    generation: record.generation,
  };
}

function statusOf(
  facts: VolumeFacts,
  replicas: readonly ReplicaView[],
): { status: VolumeStatus; reason: string | null } {
  if (facts.isDeleting) {
    return { status: 'deleting', reason: 'the volume is being deleted' };
  }
  const troubled = facts.members
    .filter(({ facts: process }) => process.failures >= FAILURES_BEFORE_REASON)
    .map(
      ({ member, facts: process }) => `${memberName(member)}: ${process.lastFailure ?? 'it ends'}`,
    );
  const { target, targetStatus } = facts;
  const told = namedReason(facts);
  if (targetStatus === null) {
    if (target.failures >= FAILURES_BEFORE_REASON || troubled.length > 0) {
      const targetWords =
        target.failures >= FAILURES_BEFORE_REASON
          ? [`target: ${target.lastFailure ?? 'it ends'}`]
          : [];
      return { status: 'unavailable', reason: [...targetWords, ...troubled].join('; ') };
    }
    return target.status === 'stopped'
      ? { status: 'unavailable', reason: 'the target is stopped' }
      : { status: 'starting', reason: 'the target is starting' };
  }
  switch (targetStatus.state) {
    case 'healthy':
      return { status: 'healthy', reason: null };
    case 'starting':
      return troubled.length > 0
        ? { status: 'unavailable', reason: troubled.join('; ') }
        : {
            status: 'starting',
            reason: told ?? 'the target waits for its replicas',
          };
    case 'degraded':
      return { status: 'degraded', reason: absenceOf(replicas) || told };
    case 'unavailable':
      return { status: 'unavailable', reason: told ?? absenceOf(replicas) };
  }
}

function integrityView(facts: VolumeFacts): IntegrityView | null {
  const integrity = facts.targetStatus?.integrity ?? null;
  if (integrity === null) return null;
  return { ...integrity, lastProblem: named(integrity.lastProblem, facts) };
}

function namedReason(facts: VolumeFacts): string | null {
  return named(facts.targetStatus?.reason ?? null, facts);
}

/** The target knows its replicas by address, people by name. */
function named(words: string | null, { members }: VolumeFacts): string | null {
  let text = words;
  for (const { member, address } of members) {
    text = text?.replaceAll(address, memberName(member)) ?? null;
  }
  return text;
}

/** `replica-2 is offline (connection refused); replica-3 is syncing, 40%`. */
function absenceOf(replicas: readonly ReplicaView[]): string {
  return replicas
    .filter(({ mode }) => mode !== 'in-sync')
    .map((replica) => {
      const name = memberName(replica);
      if (replica.mode === 'syncing') {
        const { resync } = replica;
        return `${name} is syncing${resync === null ? '' : `, ${Math.floor(resync.percent)}%`}`;
      }
      return `${name} is offline${replica.lastError === null ? '' : ` (${replica.lastError})`}`;
    })
    .join('; ');
}

export function memberName(member: { role: MemberRecord['role']; index: number }): string {
  return member.role === 'witness' ? 'witness' : `replica-${member.index}`;
}
