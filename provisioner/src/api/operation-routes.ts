import type { FastifyInstance } from 'fastify';
import type { ApiContext } from './app.ts';
import { problems } from './schemas.ts';

export function operationRoutes(app: FastifyInstance, context: ApiContext): void {
  app.get(
    '/v1/operations',
    {
      schema: {
        operationId: 'listOperations',
        summary: 'Long work since the server started, newest first',
        tags: ['operations'],
        response: {
          200: {
            type: 'object',
            required: ['items'],
            properties: { items: { type: 'array', items: { $ref: 'Operation#' } } },
          },
          ...problems,
        },
      },
    },
    () => ({ items: context.operations.list() }),
  );

  app.get<{ Params: { id: string } }>(
    '/v1/operations/:id',
    {
      schema: {
        operationId: 'getOperation',
        summary: 'Progress and outcome of long work',
        tags: ['operations'],
        params: {
          type: 'object',
          required: ['id'],
          properties: { id: { type: 'string', maxLength: 64 } },
        },
        response: { 200: { $ref: 'Operation#' }, ...problems },
      },
    },
    (request) => context.operations.get(request.params.id),
  );
}
