import { FAILURES_BEFORE_REASON, RESTART_MAX_MS } from '../../limits.ts';
import type { ReplicaView, VolumeAccess, VolumeStatus } from '../orchestrator.ts';
import { memberName, type MemberRecord } from './record.ts';
import type { VolumeFacts } from './volume-view.ts';

export interface VolumeCondition {
  readonly status: VolumeStatus;
  readonly access: VolumeAccess;
  readonly reason: string | null;
  readonly next: string | null;
}

/** What the target says, and what it cannot know: what its and the replicas' processes do. */
export function conditionOf(facts: VolumeFacts, replicas: readonly ReplicaView[]): VolumeCondition {
  if (facts.isDeleting) {
    return {
      status: 'deleting',
      access: 'none',
      reason: 'the volume is being deleted',
      next: 'its processes end, then its data is removed',
    };
  }
  const { target, targetStatus } = facts;
  const failing = failuresOf(facts);
  if (targetStatus === null) return withoutTarget(facts);
  const told = named(targetStatus.reason, facts);
  const next = sentences([
    named(targetStatus.next, facts),
    ...failing.map(({ name }) => retry(facts, name)),
  ]);
  const access = targetStatus.access ?? (target.status === 'running' ? 'read-write' : 'none');
  switch (targetStatus.state) {
    case 'healthy':
      return { status: 'healthy', access, reason: null, next: null };
    case 'starting':
      return failing.length > 0
        ? { status: 'unavailable', access: 'none', reason: failureText(failing), next }
        : {
            status: 'starting',
            access: 'none',
            reason: told ?? 'the target waits for its replicas',
            next,
          };
    case 'degraded':
      return { status: 'degraded', access, reason: absenceOf(replicas) || told, next };
    case 'unavailable':
      return { status: 'unavailable', access, reason: told ?? absenceOf(replicas), next };
  }
}

interface Failing {
  readonly name: string;
  readonly why: string;
}

/** The target takes no connections: it starts, or cannot. */
function withoutTarget(facts: VolumeFacts): VolumeCondition {
  const { target } = facts;
  const failing = [
    ...(target.failures >= FAILURES_BEFORE_REASON
      ? [{ name: 'target', why: target.lastFailure ?? 'it ends' }]
      : []),
    ...failuresOf(facts),
  ];
  if (failing.length > 0) {
    return {
      status: 'unavailable',
      access: 'none',
      reason: failureText(failing),
      next: sentences(failing.map(({ name }) => retry(facts, name))),
    };
  }
  return target.status === 'stopped'
    ? {
        status: 'unavailable',
        access: 'none',
        reason: 'the target is stopped',
        next: 'it starts with the system',
      }
    : {
        status: 'starting',
        access: 'none',
        reason: 'the target is starting',
        next: 'it serves in a moment, when it has found its replicas',
      };
}

/** Replicas whose processes do not stay up. */
function failuresOf({ members }: VolumeFacts): readonly Failing[] {
  return members
    .filter(({ facts: process }) => process.failures >= FAILURES_BEFORE_REASON)
    .map(({ member, facts: process }) => ({
      name: memberName(member),
      why: process.lastFailure ?? 'it ends',
    }));
}

function failureText(failing: readonly Failing[]): string {
  return failing.map(({ name, why }) => `${name}: ${why}`).join('; ');
}

function retry({ logDirectory }: VolumeFacts, name: string): string {
  return `${name} is started again after at most ${RESTART_MAX_MS / 1000} s, its log is ${logDirectory}/${name}.log`;
}

function sentences(parts: readonly (string | null)[]): string | null {
  const told = parts.filter((part) => part !== null);
  return told.length === 0 ? null : told.join('; ');
}

/** The target knows its replicas by address, people by name. */
export function named(
  words: string | null,
  { members }: { members: readonly { member: MemberRecord; address: string }[] },
): string | null {
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
