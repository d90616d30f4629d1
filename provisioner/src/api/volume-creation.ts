import { setTimeout as delay } from 'node:timers/promises';
import { CREATE_TIMEOUT_MS, DEFAULT_REPLICAS } from '../limits.ts';
import type {
  Orchestrator,
  SourceView,
  VolumeSpec,
  VolumeView,
} from '../orchestrator/orchestrator.ts';
import { chapOf, type ChapBody } from '../chap.ts';
import { Problem } from '../problem.ts';
import { formatSize, parseSize, volumeSize } from '../size.ts';
import type { ApiContext } from './app.ts';
import type { Operation, Progress } from './operations.ts';

export interface CreateBody {
  readonly name: string;
  readonly size?: string;
  readonly sizeBytes?: number;
  readonly replicas?: number;
  readonly chap?: ChapBody;
  readonly source?: { readonly volume: string; readonly snapshot?: string };
}

/** Recorded durably when it resolves; the operation ends when the volume serves. */
export async function beginCreate(
  context: ApiContext,
  body: CreateBody,
  key: string | null,
): Promise<Operation> {
  const { orchestrator, operations } = context;
  const { name } = body;
  const size = sizeOf(body);
  // The key is in the volume's record, so that a retry finds it also after a restart of the server.
  const earlier = key === null ? null : orchestrator.volumeByIdempotencyKey(key);
  if (earlier !== null && earlier.name !== name) {
    throw new Problem('idempotency-conflict', `the key belongs to volume ${earlier.name}`);
  }
  const origin = { idempotencyKey: key };
  const { source } = earlier ?? (await create(orchestrator, body, size.bytes, origin));
  return operations.begin('volume-create', name, async (progress) => {
    await untilServing(orchestrator, name, progress);
    return `volume ${name} serves${source === null ? '' : sourceText(body, source)}${size.note}`;
  });
}

function create(
  orchestrator: Orchestrator,
  { name, replicas, source, chap: chapBody }: CreateBody,
  sizeBytes: number | null,
  origin: { idempotencyKey: string | null },
): Promise<VolumeView> {
  const chap = chapOf(chapBody ?? null);
  if (source !== undefined) {
    const { volume, snapshot = null } = source;
    const spec = {
      name,
      source: { volume, snapshot },
      sizeBytes,
      replicas: replicas ?? null,
      chap,
    };
    return orchestrator.cloneVolume(spec, origin);
  }
  if (sizeBytes === null) throw new Problem('size-invalid', 'a volume needs a size');
  const spec: VolumeSpec = { name, sizeBytes, replicas: replicas ?? DEFAULT_REPLICAS, chap };
  return orchestrator.createVolume(spec, origin);
}

/** A snapshot that was taken for this stays, and takes space: so it is told. */
function sourceText({ source }: CreateBody, { volume, snapshot }: SourceView): string {
  const text = `, a clone of ${volume}@${snapshot}`;
  return source?.snapshot === undefined ? `${text}, which was taken for it` : text;
}

/** Null: as large as the snapshot that it is cloned from. */
function sizeOf(body: CreateBody): { bytes: number | null; note: string } {
  const { size: words, sizeBytes } = body;
  if (words === undefined && sizeBytes === undefined) return { bytes: null, note: '' };
  const requested = sizeBytes ?? parseSize(words ?? '');
  if (requested === null) {
    throw new Problem('size-invalid', `"${words ?? ''}" is no size`, {
      next: 'write it like 1GiB, 500MiB, 2TiB',
    });
  }
  const size = volumeSize(requested);
  if ('reason' in size) throw new Problem('size-invalid', size.reason);
  const { bytes, rounded } = size;
  const text = `; its size was rounded up to ${bytes} bytes (${formatSize(bytes)}), whole blocks`;
  return { bytes, note: rounded ? text : '' };
}

/**
 * How long a volume that says that it is unavailable may go on trying before its creation is said
 * to have failed.
 */
const GIVE_UP_AFTER_MS = 5_000;

async function untilServing(
  orchestrator: Orchestrator,
  name: string,
  progress: Progress,
): Promise<void> {
  const begin = performance.now();
  let unavailableSince: number | null = null;
  for (;;) {
    const view = await orchestrator.volume(name, { fresh: true });
    if (view === null || view.status === 'deleting') {
      throw new Problem('volume-deleting', `volume ${name} was deleted meanwhile`);
    }
    if (view.status === 'healthy' || view.status === 'degraded') return;
    const now = performance.now();
    unavailableSince = view.status === 'unavailable' ? (unavailableSince ?? now) : null;
    const gaveUp = unavailableSince !== null && now - unavailableSince > GIVE_UP_AFTER_MS;
    if (gaveUp || now - begin > CREATE_TIMEOUT_MS) {
      throw new Problem('volume-failed', view.reason ?? 'the volume does not start', {
        next: `see: mayactl volume info ${name}; or remove it: mayactl volume delete ${name}`,
      });
    }
    const up = view.replicas.filter(({ status }) => status === 'running').length;
    progress((90 * up) / (view.replicas.length + 1), view.reason ?? 'it starts');
    await delay(50);
  }
}
