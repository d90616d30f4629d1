import { createServer, type IncomingHttpHeaders } from 'node:http';
import swagger from '@fastify/swagger';
import fastify, { LogController, type FastifyBaseLogger, type FastifyInstance } from 'fastify';
import { MAX_BODY_BYTES } from '../limits.ts';
import type { Orchestrator } from '../orchestrator/orchestrator.ts';
import { Problem } from '../problem.ts';
import { VERSION } from '../version.ts';
import { installErrorHandlers, sendProblem } from './errors.ts';
import type { EventLog } from './event-log.ts';
import { eventRoutes } from './event-routes.ts';
import { latestRoutes } from './latest-routes.ts';
import { operationRoutes } from './operation-routes.ts';
import type { Operations } from './operations.ts';
import { refuseOtherMethods } from './other-methods.ts';
import { sharedSchemas } from './schemas.ts';
import { changeRoutes } from './change-routes.ts';
import { scrubRoutes } from './scrub-routes.ts';
import { snapshotRoutes } from './snapshot-routes.ts';
import { systemRoutes } from './system-routes.ts';
import { roleOf, type Tokens } from './tokens.ts';
import { volumeRoutes } from './volume-routes.ts';

export interface ApiContext {
  readonly orchestrator: Orchestrator;
  readonly operations: Operations;
  readonly events: EventLog;
  readonly tokens: Tokens;
  readonly dataDirectory: string;
  readonly startedAt: Date;
  isReady(): boolean;
}

/** The original deletes with GET. The route, not the URL: that can be written in many ways. */
const DELETING_GET = '/latest/volumes/delete/:name';

/** Answered without a token: probes, and the description of the API. */
const PUBLIC_PATHS: ReadonlySet<string> = new Set(['/livez', '/readyz', '/openapi.json']);

export async function buildApp(
  context: ApiContext,
  loggerInstance: FastifyBaseLogger,
): Promise<FastifyInstance> {
  const app: FastifyInstance = fastify({
    loggerInstance,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: MAX_BODY_BYTES,
    forceCloseConnections: true,
    ajv: { customOptions: { removeAdditional: false, allErrors: true } },
    // Errors of the HTTP parser come before any route.
    clientErrorHandler(_, socket) {
      if (!socket.writable) return;
      const body = JSON.stringify(new Problem('bad-request', 'this is no HTTP').toDocument());
      const head = [
        'HTTP/1.1 400 Bad Request',
        'Connection: close',
        'Content-Type: application/problem+json',
        `Content-Length: ${Buffer.byteLength(body)}`,
      ];
      socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
    },
    frameworkErrors(error, request, reply) {
      void sendProblem(request, reply, new Problem('bad-request', error.message));
    },
    serverFactory: (handler) => createServer({ requestTimeout: 30_000 }, handler),
  });
  for (const schema of sharedSchemas) app.addSchema(schema);
  installErrorHandlers(app, context.dataDirectory);
  await describeApi(app);
  requireTokens(app, context.tokens);
  const refuseTheOthers = refuseOtherMethods(app);
  volumeRoutes(app, context);
  changeRoutes(app, context);
  scrubRoutes(app, context);
  snapshotRoutes(app, context);
  operationRoutes(app, context);
  eventRoutes(app, context);
  systemRoutes(app, context);
  await latestRoutes(app, context);
  app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger());
  refuseTheOthers();
  return app;
}

async function describeApi(app: FastifyInstance): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'OpenEBS API server',
        version: VERSION,
        description: 'Volumes of this system. Errors are problem+json (RFC 9457).',
      },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
      security: [{ token: [] }],
    },
    refResolver: {
      buildLocalReference: (json, _, fragment, i) =>
        typeof json['$id'] === 'string' ? json['$id'] : `${fragment}${i}`,
    },
  });
}

/** Behind a proxy that takes Authorization for itself, as a cluster's API server, it is another. */
const authorizationOf = (headers: IncomingHttpHeaders): string | undefined => {
  const own = headers['x-openebs-token'];
  return typeof own === 'string' ? `Bearer ${own}` : headers.authorization;
};

function requireTokens(app: FastifyInstance, tokens: Tokens): void {
  app.addHook('onRequest', async (request) => {
    if (PUBLIC_PATHS.has(request.url.split('?')[0] ?? '')) return;
    const role = roleOf(authorizationOf(request.headers), tokens);
    if (role === null) {
      throw new Problem('unauthorized', 'the request has no valid bearer token', {
        next: 'give the one in the file "token" of the data directory: mayactl --token TOKEN, or over HTTP Authorization: Bearer TOKEN',
      });
    }
    const isReading =
      (request.method === 'GET' || request.method === 'HEAD') &&
      request.routeOptions.url !== DELETING_GET;
    if (role === 'read-only' && !isReading) {
      throw new Problem('forbidden', 'this token may only read', {
        next: 'use the one in the file "token" of the data directory',
      });
    }
    await Promise.resolve();
  });
}
