import { SNAPSHOT_TIMEOUT_MS } from '../../limits.ts';
import { Problem, type ProblemCode } from '../../problem.ts';
import type { RevertView, SnapshotView } from '../orchestrator.ts';
import {
  controlGet,
  controlSend,
  type ControlAnswer,
  type ControlPlace,
} from './control-client.ts';

/** Where the daemons of one volume take orders. */
export interface SnapshotPlaces {
  readonly volume: string;
  /** Null while the target does not run. */
  readonly target: ControlPlace | null;
  /** Of the copies that hold everything. */
  readonly replicas: readonly ControlPlace[];
}

/** A target's titles (RFC 9457) and what they are here. */
const CODES: Readonly<Record<string, ProblemCode>> = {
  'The name is not valid': 'name-invalid',
  'There is no such snapshot': 'snapshot-not-found',
  'The snapshot exists already': 'snapshot-exists',
  'The volume has too many snapshots': 'too-many-snapshots',
  'Initiators use the volume': 'volume-in-use',
  'The volume is not ready': 'volume-not-ready',
};

const NEXT: Readonly<Partial<Record<ProblemCode, string>>> = {
  'snapshot-not-found': 'mayactl snapshot list VOLUME',
  'snapshot-exists': 'choose another name, or delete that one',
  'too-many-snapshots': 'mayactl snapshot delete VOLUME NAME',
  'volume-in-use': 'unmount and log out there first, or force it (--force)',
  'volume-not-ready': 'see why: mayactl volume info VOLUME',
};

export interface TargetSnapshot {
  readonly layer: number;
  readonly name: string;
  readonly createdAt: string;
}

/** As the target has decided, the oldest first. */
export async function targetSnapshots(places: SnapshotPlaces): Promise<TargetSnapshot[]> {
  const body = await ask(places, (socket) => controlGet(socket, '/v1/snapshots'));
  if (!Array.isArray(body['snapshots'])) throw notReady(places.volume);
  return body['snapshots'].flatMap((each: unknown) => {
    const { layer, name, createdAt } = fieldsOf(each);
    return typeof layer === 'number' && typeof name === 'string' && typeof createdAt === 'string'
      ? [{ layer, name, createdAt }]
      : [];
  });
}

/** Of the copies that hold everything, as the target says now. */
export async function idsInSync(places: SnapshotPlaces): Promise<ReadonlySet<string>> {
  const { replicas } = await ask(places, (socket) => controlGet(socket, '/v1/status'));
  if (!Array.isArray(replicas)) throw notReady(places.volume);
  const inSync = replicas.map(fieldsOf).filter(({ mode }) => mode === 'in-sync');
  return new Set(inSync.flatMap(({ id }) => (typeof id === 'string' ? id : [])));
}

export async function listSnapshots(places: SnapshotPlaces): Promise<SnapshotView[]> {
  const [snapshots, usage] = await Promise.all([targetSnapshots(places), layerUsage(places)]);
  return snapshots.map(({ layer, name, createdAt }) => ({
    name,
    volume: places.volume,
    createdAt,
    sizeBytes: usage.get(layer)?.sizeBytes ?? null,
    freedBytes: usage.get(layer)?.freedBytes ?? null,
  }));
}

export async function createSnapshot(places: SnapshotPlaces, name: string): Promise<SnapshotView> {
  const { createdAt, heldMs } = await order(places, 'POST', '/v1/snapshots', { name });
  return {
    name,
    volume: places.volume,
    createdAt: String(createdAt),
    sizeBytes: null,
    freedBytes: null,
    heldMs: Number(heldMs),
  };
}

export async function deleteSnapshot(places: SnapshotPlaces, name: string): Promise<void> {
  await order(places, 'DELETE', `/v1/snapshots/${encodeURIComponent(name)}`);
}

export async function revertVolume(
  places: SnapshotPlaces,
  name: string,
  force: boolean,
): Promise<RevertView> {
  const path = `/v1/snapshots/${encodeURIComponent(name)}/revert`;
  const { name: keptAs } = await order(places, 'POST', path, { force });
  return { volume: places.volume, snapshot: name, keptAs: String(keptAs) };
}

function order(
  places: SnapshotPlaces,
  method: 'POST' | 'DELETE',
  path: string,
  body?: unknown,
): Promise<Record<string, unknown>> {
  const options = { body, timeoutMs: SNAPSHOT_TIMEOUT_MS };
  return ask(places, (socket) => controlSend(socket, method, path, options));
}

async function ask(
  places: SnapshotPlaces,
  send: (socket: ControlPlace) => Promise<ControlAnswer>,
): Promise<Record<string, unknown>> {
  if (places.target === null) throw notReady(places.volume);
  let answer: ControlAnswer;
  try {
    answer = await send(places.target);
  } catch (error) {
    throw new Problem(
      'volume-not-ready',
      `the target of volume ${places.volume} did not answer; it may have done it or not`,
      { next: `look: mayactl snapshot list ${places.volume}`, cause: error },
    );
  }
  const body = fieldsOf(parse(answer.body));
  if (answer.status < 400) return body;
  const { title, detail } = body;
  const code = (typeof title === 'string' ? CODES[title] : undefined) ?? 'internal';
  const next = NEXT[code]?.replace('VOLUME', places.volume);
  throw new Problem(
    code,
    typeof detail === 'string' ? detail : answer.body,
    next === undefined ? {} : { next },
  );
}

export function notReady(volume: string): Problem {
  return new Problem('volume-not-ready', `the target of volume ${volume} takes no orders now`, {
    next: `see why: mayactl volume info ${volume}`,
  });
}

export interface LayerUsage {
  /** On the replica where it takes most; one that was filled there is as large as the volume. */
  readonly sizeBytes: number;
  /** What all replicas together would get back; null where one does not know it yet. */
  readonly freedBytes: number | null;
}

/** By layer. */
export async function layerUsage({ replicas }: SnapshotPlaces): Promise<Map<number, LayerUsage>> {
  const usage = new Map<number, LayerUsage>();
  const answers = await Promise.allSettled(
    replicas.map((socket) => controlGet(socket, '/v1/status')),
  );
  for (const answer of answers) {
    if (answer.status === 'rejected' || answer.value.status !== 200) continue;
    const { layerUsage: layers } = fieldsOf(parse(answer.value.body));
    if (!Array.isArray(layers)) continue;
    for (const each of layers) {
      const { id, sizeBytes, freedBytes } = fieldsOf(each);
      if (typeof id !== 'number' || typeof sizeBytes !== 'number') continue;
      const before = usage.get(id) ?? { sizeBytes: 0, freedBytes: 0 };
      const isKnown = typeof freedBytes === 'number' && before.freedBytes !== null;
      usage.set(id, {
        sizeBytes: Math.max(before.sizeBytes, sizeBytes),
        freedBytes: isKnown ? before.freedBytes + freedBytes : null,
      });
    }
  }
  return usage;
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}

function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
