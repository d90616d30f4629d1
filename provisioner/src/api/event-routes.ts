import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { MAX_EVENT_STREAMS } from '../limits.ts';
import { Problem } from '../problem.ts';
import type { ApiContext } from './app.ts';
import type { LoggedEvent } from './event-log.ts';
import { nameParams, problems } from './schemas.ts';

const listAnswer = {
  200: {
    type: 'object',
    required: ['items'],
    properties: { items: { type: 'array', items: { $ref: 'Event#' } } },
  },
  ...problems,
};

/** Lists, newest first; or with `Accept: text/event-stream` a stream of server-sent events. */
export function eventRoutes(app: FastifyInstance, context: ApiContext): void {
  app.get(
    '/v1/events',
    {
      schema: {
        operationId: 'listEvents',
        summary: 'What happened, newest first',
        description: 'With Accept: text/event-stream, a stream; Last-Event-ID goes on from there.',
        tags: ['events'],
        response: listAnswer,
      },
    },
    (request, reply) => answer(context, request, reply, null),
  );

  app.get<{ Params: { name: string } }>(
    '/v1/volumes/:name/events',
    {
      schema: {
        operationId: 'listVolumeEvents',
        summary: 'What happened to one volume, newest first',
        description: 'With Accept: text/event-stream, a stream; Last-Event-ID goes on from there.',
        tags: ['events'],
        params: nameParams,
        response: listAnswer,
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      const isKnown =
        context.events.list(name).length > 0 || (await context.orchestrator.volume(name)) !== null;
      if (!isKnown) {
        throw new Problem('volume-not-found', `there is no volume ${name}`, {
          next: 'mayactl volume list',
        });
      }
      return answer(context, request, reply, name);
    },
  );
}

function answer(
  context: ApiContext,
  request: FastifyRequest,
  reply: FastifyReply,
  volume: string | null,
): FastifyReply {
  const { events } = context;
  if (!(request.headers.accept ?? '').includes('text/event-stream')) {
    return reply.send({ items: events.list(volume) });
  }
  if (events.subscribers >= MAX_EVENT_STREAMS) {
    throw new Problem('too-many-streams', `${MAX_EVENT_STREAMS} event streams are open`);
  }
  reply.hijack();
  const { raw } = reply;
  raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  raw.write(': open\n\n');
  const send = (event: LoggedEvent): void => {
    if (volume !== null && event.volume !== volume) return;
    raw.write(`id: ${event.id}\nevent: ${event.kind}\ndata: ${JSON.stringify(event)}\n\n`);
  };
  const lastId = Number(request.headers['last-event-id'] ?? Number.NaN);
  if (Number.isSafeInteger(lastId)) for (const event of events.since(lastId, volume)) send(event);
  const unsubscribe = events.subscribe(send);
  // A comment now and then, so that whoever is in between does not take the silence for an end.
  const heartbeat = setInterval(() => raw.write(': still here\n\n'), 15_000).unref();
  raw.once('close', () => {
    unsubscribe();
    clearInterval(heartbeat);
  });
  return reply;
}
