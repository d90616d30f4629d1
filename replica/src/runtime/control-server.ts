import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Address } from './address.ts';
import { http } from './builtin.ts';
import { listen } from './listen.ts';
import type { Logger } from './logger.ts';
import type { MetricRegistry } from './metrics.ts';

/**
 * Every daemon has these: /healthz (the event loop turns), /readyz (it serves), /metrics, and
 * routes of its own. All are GET.
 */
export interface ControlOptions {
  readonly address: Address;
  readonly logger: Logger;
  readonly metrics: MetricRegistry;
  /** Null when ready, else the reason in words. */
  readonly notReady: () => string | null;
  /** By path; each gives what is sent as JSON. */
  readonly routes: Readonly<Record<string, () => unknown>>;
}

export interface ControlServer {
  readonly address: Address;
  close(): Promise<void>;
}

const MAX_HEADER_BYTES = 8 * 1024;
const MAX_CONNECTIONS = 64;
const REQUEST_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 5_000;

export const startControlServer = async (options: ControlOptions): Promise<ControlServer> => {
  const server = http.createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: REQUEST_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
    },
    (request, response) => answer(options, request, response),
  );
  server.maxConnections = MAX_CONNECTIONS;
  const address = await listen(server, options.address);
  return {
    address,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
};

const answer = (
  options: ControlOptions,
  request: IncomingMessage,
  response: ServerResponse,
): void => {
  const path = (request.url ?? '/').split('?', 1)[0] ?? '/';
  try {
    const reply = route(options, request, path);
    send(request, response, reply);
  } catch (error) {
    options.logger.error({ err: error, path }, 'a control request failed');
    send(request, response, problem(500, 'Internal error', 'the daemon logged the reason'));
  }
};

interface Reply {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const route = (options: ControlOptions, request: IncomingMessage, path: string): Reply => {
  const handler = builtInRoute(options, path) ?? jsonRoute(options, path);
  if (handler === null) {
    const known = ['/healthz', '/readyz', '/metrics', ...Object.keys(options.routes)];
    return problem(404, 'Not found', `there is no ${path}; there are ${known.join(', ')}`);
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    const reply = problem(405, 'Method not allowed', `${path} answers GET and HEAD`);
    return { ...reply, headers: { allow: 'GET, HEAD' } };
  }
  if (hasBody(request)) {
    // Nothing here takes a body; reading one only to drop it would be a favour to nobody.
    const reply = problem(413, 'Content too large', `${path} takes no body`);
    return { ...reply, headers: { connection: 'close' } };
  }
  return handler();
};

const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;

const builtInRoute = (options: ControlOptions, path: string): (() => Reply) | null => {
  switch (path) {
    case '/healthz':
      return () => json({ status: 'ok' });
    case '/readyz':
      return () => {
        const reason = options.notReady();
        return reason === null ? json({ status: 'ready' }) : problem(503, 'Not ready', reason);
      };
    case '/metrics':
      return () => ({
        status: 200,
        type: 'text/plain; version=0.0.4; charset=utf-8',
        body: options.metrics.render(),
      });
    default:
      return null;
  }
};

const jsonRoute = (options: ControlOptions, path: string): (() => Reply) | null => {
  const read = Object.hasOwn(options.routes, path) ? options.routes[path] : undefined;
  return read === undefined ? null : () => json(read());
};

const json = (value: unknown): Reply => ({
  status: 200,
  type: 'application/json',
  body: `${JSON.stringify(value)}\n`,
});

/** RFC 9457. */
const problem = (status: number, title: string, detail: string): Reply => ({
  status,
  type: 'application/problem+json',
  body: `${JSON.stringify({ type: 'about:blank', title, status, detail })}\n`,
});

const send = (request: IncomingMessage, response: ServerResponse, reply: Reply): void => {
  response.writeHead(reply.status, {
    'content-type': reply.type,
    'content-length': Buffer.byteLength(reply.body),
    'cache-control': 'no-store',
    ...reply.headers,
  });
  // RFC 9110 9.3.2: the headers of GET, without the content.
  response.end(request.method === 'HEAD' ? undefined : reply.body);
};
