import type { FastifyInstance } from 'fastify';
import type { ApiContext } from './app.ts';
import { nameParams, problems, snapshotBody, snapshotParams } from './schemas.ts';

/** Done when answered: a snapshot takes a second at most. */
export function snapshotRoutes(app: FastifyInstance, { orchestrator }: ApiContext): void {
  app.get<{ Params: { name: string } }>(
    '/v1/volumes/:name/snapshots',
    {
      schema: {
        operationId: 'listSnapshots',
        summary: 'Snapshots of a volume, the oldest first',
        tags: ['snapshots'],
        params: nameParams,
        response: {
          200: {
            type: 'object',
            required: ['items'],
            properties: { items: { type: 'array', items: { $ref: 'Snapshot#' } } },
          },
          ...problems,
        },
      },
    },
    async ({ params }) => ({ items: await orchestrator.snapshots(params.name) }),
  );

  app.post<{ Params: { name: string }; Body: { name: string } }>(
    '/v1/volumes/:name/snapshots',
    {
      schema: {
        operationId: 'createSnapshot',
        summary: 'Take a snapshot',
        description:
          'One point in the order of writes, the same on all replicas, as after a power failure. Done within a second, or not at all.',
        tags: ['snapshots'],
        params: nameParams,
        body: snapshotBody,
        response: { 201: { $ref: 'Snapshot#' }, ...problems },
      },
    },
    async ({ params, body }, reply) =>
      reply.code(201).send(await orchestrator.createSnapshot(params.name, body.name)),
  );

  app.delete<{ Params: { name: string; snapshot: string } }>(
    '/v1/volumes/:name/snapshots/:snapshot',
    {
      schema: {
        operationId: 'deleteSnapshot',
        summary: 'Delete a snapshot',
        description: 'Its name goes at once, its space in the background.',
        tags: ['snapshots'],
        params: snapshotParams,
        response: { 204: { type: 'null', description: 'deleted' }, ...problems },
      },
    },
    async ({ params }, reply) => {
      await orchestrator.deleteSnapshot(params.name, params.snapshot);
      return reply.code(204).send();
    },
  );

  app.post<{ Params: { name: string; snapshot: string }; Querystring: { force?: boolean } }>(
    '/v1/volumes/:name/snapshots/:snapshot/revert',
    {
      schema: {
        operationId: 'revertVolume',
        summary: 'Make a volume again what a snapshot is',
        description:
          'What the volume was is kept as another snapshot. Refused while initiators are logged in, unless forced: a file system that is mounted is destroyed by it.',
        tags: ['snapshots'],
        params: snapshotParams,
        querystring: {
          type: 'object',
          additionalProperties: false,
          properties: { force: { type: 'boolean', default: false } },
        },
        response: { 200: { $ref: 'Revert#' }, ...problems },
      },
    },
    ({ params, query }) =>
      orchestrator.revertVolume(params.name, params.snapshot, { force: query.force === true }),
  );
}
