import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { CREATE_TIMEOUT_MS, DEFAULT_PAGE_ITEMS, DEFAULT_REPLICAS } from '../limits.ts';
import type {
  Orchestrator,
  SourceView,
  VolumeSpec,
  VolumeView,
} from '../orchestrator/orchestrator.ts';
import { Problem } from '../problem.ts';
import { formatSize, parseSize, volumeSize } from '../size.ts';
import type { ApiContext } from './app.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import { Idempotency } from './idempotency.ts';
import type { Operation, Progress } from './operations.ts';
import { accepted, createVolumeBody, nameParams, pageQuery, problems } from './schemas.ts';

interface CreateBody {
  readonly name: string;
  readonly size?: string;
  readonly sizeBytes?: number;
  readonly replicas?: number;
  readonly source?: { readonly volume: string; readonly snapshot?: string };
}

export function volumeRoutes(app: FastifyInstance, context: ApiContext): void {
  const { orchestrator } = context;
  const idempotency = new Idempotency<Operation>();

  app.post<{ Body: CreateBody; Headers: { 'idempotency-key'?: string } }>(
    '/v1/volumes',
    {
      schema: {
        operationId: 'createVolume',
        summary: 'Create a volume, empty or as a clone',
        tags: ['volumes'],
        body: createVolumeBody,
        response: { 202: accepted, ...problems },
      },
    },
    async (request, reply) => {
      const key = request.headers['idempotency-key'] ?? null;
      const create = (): Promise<Operation> => beginCreate(context, request.body, key);
      const operation = await (key === null
        ? create()
        : idempotency.run(key, request.body, create));
      return reply.code(202).header('location', `/v1/operations/${operation.id}`).send(operation);
    },
  );

  app.get<{ Querystring: { limit?: number; cursor?: string } }>(
    '/v1/volumes',
    {
      schema: {
        operationId: 'listVolumes',
        summary: 'List volumes by name',
        tags: ['volumes'],
        querystring: pageQuery,
        response: {
          200: {
            type: 'object',
            required: ['items', 'nextCursor', 'damaged'],
            properties: {
              items: { type: 'array', items: { $ref: 'Volume#' } },
              nextCursor: { type: ['string', 'null'] },
              damaged: { type: 'array', items: { $ref: 'DamagedVolume#' } },
            },
          },
          ...problems,
        },
      },
    },
    (request) => {
      const { limit = DEFAULT_PAGE_ITEMS, cursor } = request.query;
      const after = cursor === undefined ? null : decodeCursor(cursor);
      const rest = orchestrator.volumes().filter(({ name }) => after === null || name > after);
      const items = rest.slice(0, limit);
      const last = items.at(-1);
      const nextCursor = last !== undefined && rest.length > limit ? encodeCursor(last.name) : null;
      return { items, nextCursor, damaged: orchestrator.damaged() };
    },
  );

  oneVolumeRoutes(app, context);
}

function oneVolumeRoutes(app: FastifyInstance, { orchestrator, operations }: ApiContext): void {
  app.get<{ Params: { name: string } }>(
    '/v1/volumes/:name',
    {
      schema: {
        operationId: 'getVolume',
        summary: 'One volume',
        tags: ['volumes'],
        params: nameParams,
        response: { 200: { $ref: 'Volume#' }, ...problems },
      },
    },
    async (request, reply) => {
      const view = await requireVolume(orchestrator, request.params.name);
      return reply.header('etag', etagOf(view)).send(view);
    },
  );

  app.get<{ Params: { name: string } }>(
    '/v1/volumes/:name/stats',
    {
      schema: {
        operationId: 'getVolumeStats',
        summary: 'What initiators asked of one volume, and the space that it takes',
        tags: ['volumes'],
        params: nameParams,
        response: { 200: { $ref: 'VolumeStats#' }, ...problems },
      },
    },
    ({ params }) => orchestrator.volumeStats(params.name),
  );

  app.delete<{
    Params: { name: string };
    Querystring: { force?: boolean };
    Headers: { 'if-match'?: string };
  }>(
    '/v1/volumes/:name',
    {
      schema: {
        operationId: 'deleteVolume',
        summary: 'Delete a volume with its data',
        description: 'Refused while initiators are logged in, unless forced.',
        tags: ['volumes'],
        params: nameParams,
        querystring: {
          type: 'object',
          additionalProperties: false,
          properties: { force: { type: 'boolean', default: false } },
        },
        response: { 202: accepted, ...problems },
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      const view = await requireVolume(orchestrator, name);
      const match = request.headers['if-match'];
      if (match !== undefined && !matches(match, view)) {
        throw new Problem('precondition-failed', `volume ${name} is not the one that was meant`, {
          next: `get it again: GET /v1/volumes/${name}`,
        });
      }
      if (view.sessions.length > 0 && request.query.force !== true) {
        const who = [...new Set(view.sessions.map(({ initiator }) => initiator))].join(', ');
        throw new Problem('volume-in-use', `${view.sessions.length} session(s) are open: ${who}`, {
          next: 'unmount and log out there first, or force it (--force, ?force=true)',
        });
      }
      const { gone } = await orchestrator.deleteVolume(name);
      const operation = operations.begin('volume-delete', name, async (progress) => {
        progress(10, 'its processes end, its data is removed');
        await gone;
        return `volume ${name} is deleted`;
      });
      return reply.code(202).header('location', `/v1/operations/${operation.id}`).send(operation);
    },
  );
}

async function beginCreate(
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
  { name, replicas, source }: CreateBody,
  sizeBytes: number | null,
  origin: { idempotencyKey: string | null },
): Promise<VolumeView> {
  if (source !== undefined) {
    const { volume, snapshot = null } = source;
    const spec = { name, source: { volume, snapshot }, sizeBytes, replicas: replicas ?? null };
    return orchestrator.cloneVolume(spec, origin);
  }
  if (sizeBytes === null) throw new Problem('size-invalid', 'a volume needs a size');
  const spec: VolumeSpec = { name, sizeBytes, replicas: replicas ?? DEFAULT_REPLICAS };
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

async function requireVolume(orchestrator: Orchestrator, name: string): Promise<VolumeView> {
  const view = await orchestrator.volume(name, { fresh: true });
  if (view !== null) return view;
  throw new Problem('volume-not-found', `there is no volume ${name}`, {
    next: 'mayactl volume list',
  });
}

function etagOf(view: VolumeView): string {
  return `"${view.id}-${view.generation}"`;
}

/** RFC 9110 13.1.1: a list of strong entity tags, or `*`. */
function matches(header: string, view: VolumeView): boolean {
  return header
    .split(',')
    .map((tag) => tag.trim())
    .some((tag) => tag === '*' || tag === etagOf(view));
}
