import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { MAX_NAME_CHARACTERS } from '../limits.ts';
import { Problem } from '../problem.ts';
import type { ApiContext } from './app.ts';
import { problemOf } from './errors.ts';
import { latestSnapshots, latestStats, latestVolume } from './latest-shapes.ts';
import { parseSpec, snapshotOf, volumeOf } from './latest-spec.ts';
import { NAME_PATTERN } from './schemas.ts';
import { beginCreate } from './volume-creation.ts';
import { requireUnused, requireVolume } from './volume-lookup.ts';

/** The original's clients wait 5 s. */
const DELETION_MS = 4_000;
const IS_NAME = new RegExp(NAME_PATTERN);

interface Named {
  readonly Params: { readonly name: string };
  readonly Querystring: { readonly force?: string; readonly pretty?: string };
}
type Handler = (request: FastifyRequest<Named>) => Promise<object | string>;

/**
 * The API of maya-apiserver 0.6 and 0.7, for scripts that were written for it: its paths, its
 * shapes, its errors in plain text; the token is ours.
 */
export async function latestRoutes(app: FastifyInstance, context: ApiContext): Promise<void> {
  await app.register((scope, _, done) => {
    // curl -d sends no useful type, and the original did not ask for one.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, parsed) =>
      parsed(null, body),
    );
    scope.setErrorHandler((error: unknown, request, reply) => {
      const problem = problemOf(error, context.dataDirectory);
      if (problem.status >= 500) request.log.error({ err: error }, problem.message);
      if (problem.status === 401) void reply.header('www-authenticate', 'Bearer realm="openebs"');
      const next = problem.next === null ? '' : `; ${problem.next}`;
      return reply.code(problem.status).type('text/plain').send(`${problem.message}${next}`);
    });
    volumes(scope, context);
    snapshots(scope, context);
    done();
  });
}

function volumes(app: FastifyInstance, context: ApiContext): void {
  const { orchestrator } = context;
  const read: Handler = async ({ params }) =>
    latestVolume(await requireVolume(orchestrator, params.name));
  const remove: Handler = ({ params, query }) =>
    removeVolume(context, params.name, isSet(query.force));

  route(app, 'GET', ['/latest/volumes', '/latest/volumes/'], 'List volumes', () =>
    Promise.resolve({ items: orchestrator.volumes().map(latestVolume), metadata: {} }),
  );
  route(
    app,
    ['POST', 'PUT'],
    ['/latest/volumes', '/latest/volumes/'],
    'Create a volume of a PersistentVolumeClaim in YAML or JSON',
    (request) => createVolume(context, request),
  );
  route(app, 'GET', ['/latest/volumes/info/:name', '/latest/volumes/:name'], 'One volume', read);
  route(app, 'GET', ['/latest/volumes/stats/:name'], 'Counters of a volume', async ({ params }) => {
    const view = await requireVolume(orchestrator, params.name);
    return latestStats(await orchestrator.volumeStats(params.name), view);
  });
  route(app, 'GET', ['/latest/volumes/delete/:name'], 'Delete a volume with its data', remove);
  route(app, 'DELETE', ['/latest/volumes/:name'], 'Delete a volume with its data', remove);
}

function snapshots(app: FastifyInstance, { orchestrator }: ApiContext): void {
  const spec = async ({ body, headers }: FastifyRequest<Named>): Promise<Fields> =>
    snapshotOf(await parseSpec(body, headers['content-type'] ?? ''));
  const paths = (verb: string): string[] => [
    `/latest/snapshots/${verb}`,
    `/latest/snapshots/${verb}/`,
  ];

  route(app, ['POST', 'PUT'], paths('create'), 'Take a snapshot', async (request) => {
    const { name, volume } = await spec(request);
    requireName(name);
    await orchestrator.createSnapshot(volume, name);
    return { id: name, type: 'snapshotOutput', links: {}, actions: {} };
  });
  route(app, ['POST', 'PUT'], paths('revert'), 'Revert to a snapshot', async (request) => {
    const { name, volume } = await spec(request);
    await orchestrator.revertVolume(volume, name, { force: isSet(request.query.force) });
    return `Reverting to snapshot [${name}] of volume [${volume}]`;
  });
  route(app, 'GET', ['/latest/snapshots/list/:name'], 'Snapshots of a volume', async (request) =>
    latestSnapshots(await orchestrator.snapshots(request.params.name)),
  );
}

type Fields = ReturnType<typeof snapshotOf>;

async function createVolume(
  context: ApiContext,
  { body, headers }: FastifyRequest<Named>,
): Promise<object> {
  const spec = volumeOf(await parseSpec(body, headers['content-type'] ?? ''));
  requireName(spec.name);
  await beginCreate(context, spec, null);
  return latestVolume(await requireVolume(context.orchestrator, spec.name));
}

/** Durable when answered; what takes longer to go goes on. */
async function removeVolume(
  { orchestrator, operations }: ApiContext,
  name: string,
  force: boolean,
): Promise<string> {
  requireUnused(await requireVolume(orchestrator, name), { force });
  const { gone } = await orchestrator.deleteVolume(name);
  operations.begin('volume-delete', name, async () => {
    await gone;
    return `volume ${name} is deleted`;
  });
  await Promise.race([gone, delay(DELETION_MS, undefined, { ref: false })]);
  return `Volume '${name}' deleted successfully`;
}

function route(
  app: FastifyInstance,
  method: 'GET' | 'DELETE' | ('POST' | 'PUT')[],
  urls: readonly string[],
  summary: string,
  handler: Handler,
): void {
  for (const url of urls) {
    app.route<Named>({
      method,
      url,
      schema: { tags: ['original'], summary },
      handler: async (request, reply) => answer(reply, request, await handler(request)),
    });
  }
}

/** JSON, also of a mere text, as the original encoded it. */
function answer(
  reply: FastifyReply,
  { query }: FastifyRequest<Named>,
  value: object | string,
): FastifyReply {
  const indent = isSet(query.pretty) ? 4 : 0;
  return reply.type('application/json').send(JSON.stringify(value, null, indent));
}

/** `?force`, `?force=true`; not `?force=0`. */
function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== '0' && value !== 'false';
}

function requireName(name: string): void {
  if (name.length <= MAX_NAME_CHARACTERS && IS_NAME.test(name)) return;
  throw new Problem(
    'name-invalid',
    `"${name}" is no name: 1 to 63 lower-case letters, digits and hyphens, no hyphen at its ends`,
  );
}
