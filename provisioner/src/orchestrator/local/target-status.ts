import type {
  ChapView,
  IntegrityView,
  ResyncView,
  SessionView,
  VolumeAccess,
} from '../orchestrator.ts';
import { integrityOf } from './volume-integrity.ts';

/**
 * What the orchestrator reads of a target's GET /v1/status; the rest is the target's own affair.
 */
export interface TargetStatus {
  readonly state: 'healthy' | 'degraded' | 'unavailable' | 'starting';
  /** Null where the target does not tell. */
  readonly access: VolumeAccess | null;
  readonly since: string | null;
  readonly reason: string | null;
  readonly next: string | null;
  readonly replicas: readonly TargetReplica[];
  /** Ids of those that the membership record in force names; null while the volume starts. */
  readonly voters: readonly string[] | null;
  readonly sizeBytes: number | null;
  readonly sessions: readonly SessionView[];
  readonly integrity: IntegrityView | null;
  /** Null while it does not know them. */
  readonly settings: {
    readonly chap: ChapView | null;
    readonly rebuildBytesPerSecond: number | null;
  } | null;
}

export interface TargetReplica {
  readonly id: string | null;
  readonly address: string | null;
  readonly mode: 'in-sync' | 'syncing' | 'offline';
  readonly since: string | null;
  readonly lastError: string | null;
  readonly resync: ResyncView | null;
}

const ACCESSES: readonly VolumeAccess[] = ['read-write', 'read-only', 'waiting', 'none'];

/** Null where the answer is none. Fields that are missing are taken as unknown. */
export function parseTargetStatus(body: string): TargetStatus | null {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return null;
  }
  if (!isObject(value)) return null;
  const { state } = value;
  if (
    state !== 'healthy' &&
    state !== 'degraded' &&
    state !== 'unavailable' &&
    state !== 'starting'
  ) {
    return null;
  }
  return {
    state,
    access: accessOf(value['access']),
    since: textOf(value['since']),
    reason: textOf(value['reason']),
    next: textOf(value['next']),
    replicas: listOf(value['replicas']).map(replicaOf),
    voters: votersOf(value['record']),
    sizeBytes: numberOf(value['sizeBytes']),
    sessions: listOf(value['sessions']).map((session) => ({
      initiator: textOf(session['initiator']) ?? 'unknown',
      address: textOf(session['address']) ?? textOf(session['remote']),
    })),
    integrity: integrityOf(value['integrity']),
    settings: settingsOf(value['settings']),
  };
}

function settingsOf(value: unknown): TargetStatus['settings'] {
  if (!isObject(value)) return null;
  const { chap } = value;
  const user = isObject(chap) ? textOf(chap['user']) : null;
  const rebuildBytesPerSecond = numberOf(value['rebuildBytesPerSecond']);
  if (!isObject(chap) || user === null) return { chap: null, rebuildBytesPerSecond };
  return { chap: { user, mutualUser: textOf(chap['mutualUser']) }, rebuildBytesPerSecond };
}

function accessOf(value: unknown): VolumeAccess | null {
  return ACCESSES.find((access) => access === value) ?? null;
}

function votersOf(record: unknown): string[] | null {
  if (!isObject(record) || !Array.isArray(record['voters'])) return null;
  return record['voters'].filter((id): id is string => typeof id === 'string');
}

function replicaOf(value: Record<string, unknown>): TargetReplica {
  const { mode } = value;
  const resync = value['resync'];
  return {
    id: textOf(value['id']),
    address: textOf(value['address']),
    mode: mode === 'in-sync' || mode === 'syncing' ? mode : 'offline',
    since: textOf(value['since']),
    lastError: textOf(value['lastError']),
    resync: isObject(resync)
      ? {
          percent: numberOf(resync['percent']) ?? 0,
          bytesPerSecond: numberOf(resync['bytesPerSecond']),
          etaSeconds: numberOf(resync['etaSeconds']),
        }
      : null,
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function listOf(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

function numberOf(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}
