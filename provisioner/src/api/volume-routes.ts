import type { FastifyInstance } from 'fastify';
import { DEFAULT_PAGE_ITEMS } from '../limits.ts';
import type { ApiContext } from './app.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import { Idempotency } from './idempotency.ts';
import type { Operation } from './operations.ts';
import { accepted, nameParams, pageQuery, problems } from './schemas.ts';
import { createVolumeBody } from './volume-bodies.ts';
import { beginCreate, type CreateBody } from './volume-creation.ts';
import { etagOf, requireMatch, requireUnused, requireVolume } from './volume-lookup.ts';

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
      requireMatch(request.headers['if-match'], view);
      requireUnused(view, { force: request.query.force === true });
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
