import type { VolumeStats } from '../orchestrator.ts';
import { controlGet, type ControlPlace } from './control-client.ts';

/** Where the daemons of one volume are asked. */
export interface StatsPlaces {
  readonly volume: string;
  readonly sizeBytes: number;
  /** Null while there is none. */
  readonly target: ControlPlace | null;
  readonly replicas: readonly ControlPlace[];
}

/** Null while the target does not answer. */
export async function volumeStats(places: StatsPlaces): Promise<VolumeStats | null> {
  const { volume, sizeBytes: size, target, replicas } = places;
  const [told, uses] = await Promise.all([
    target === null ? null : statusOf(target),
    Promise.all(replicas.map(statusOf)),
  ]);
  const counts = told === null ? null : parseIoCounts(told);
  if (counts === null) return null;
  const use = largestUse(uses.map((body) => (body === null ? null : parseSpaceUse(body, size))));
  const { logicalBytes = null, usedBytes = null } = use ?? {};
  return { volume, at: new Date().toISOString(), ...counts, size, logicalBytes, usedBytes };
}

async function statusOf(socket: ControlPlace): Promise<string | null> {
  const answer = await controlGet(socket, '/v1/status').catch(() => null);
  return answer?.status === 200 ? answer.body : null;
}

/** What a target counts, from its GET /v1/status; null where the answer is none. */
export type IoCounts = Omit<VolumeStats, 'volume' | 'at' | 'size' | 'logicalBytes' | 'usedBytes'>;

export function parseIoCounts(body: string): IoCounts | null {
  const io = fieldOf(parse(body), 'io');
  const of = (name: string): number => numberOf(fieldOf(io, name));
  if (typeof io !== 'object' || io === null) return null;
  return {
    uptimeSeconds: of('uptimeSeconds'),
    reads: of('reads'),
    readBytes: of('readBytes'),
    readSeconds: of('readSeconds'),
    writes: of('writes'),
    writeBytes: of('writeBytes'),
    writeSeconds: of('writeSeconds'),
    unmaps: of('unmaps'),
    flushes: of('flushes'),
    errors: of('errors'),
  };
}

export interface SpaceUse {
  readonly logicalBytes: number;
  readonly usedBytes: number;
}

/**
 * Of one replica, from its GET /v1/status. A block that a snapshot and the layer on top of it both
 * have counts once; in longer chains it may count more often, so that `logicalBytes` is at most.
 */
export function parseSpaceUse(body: string, sizeBytes: number): SpaceUse | null {
  const usage = fieldOf(parse(body), 'layerUsage');
  if (!Array.isArray(usage)) return null;
  let usedBytes = 0;
  let hiddenBytes = 0;
  for (const layer of usage as readonly unknown[]) {
    usedBytes += numberOf(fieldOf(layer, 'allocatedBytes'));
    hiddenBytes += numberOf(fieldOf(layer, 'freedBytes'));
  }
  return { logicalBytes: Math.min(sizeBytes, usedBytes - hiddenBytes), usedBytes };
}

/** The largest: copies of one volume hold the same, and differ by what they have not freed yet. */
export function largestUse(uses: readonly (SpaceUse | null)[]): SpaceUse | null {
  const known = uses.filter((use) => use !== null);
  if (known.length === 0) return null;
  return {
    logicalBytes: Math.max(...known.map(({ logicalBytes }) => logicalBytes)),
    usedBytes: Math.max(...known.map(({ usedBytes }) => usedBytes)),
  };
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

function numberOf(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}
