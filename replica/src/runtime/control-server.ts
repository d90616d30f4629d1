import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Address } from './address.ts';
import { crypto, http } from './builtin.ts';
import { listen } from './listen.ts';
import type { Logger } from './logger.ts';
import type { MetricRegistry } from './metrics.ts';

/** What the caller gets instead of an answer (RFC 9457). */
export class ControlProblem extends Error {
  override readonly name = 'ControlProblem';
  readonly status: number;
  readonly title: string;

  constructor(status: number, title: string, detail: string) {
    super(detail);
    this.status = status;
    this.title = title;
  }
}

/**
 * Changes something. Takes the JSON body (undefined where there is none) and the parameters of the
 * path, gives what is sent as JSON; throws ControlProblem.
 */
export type ControlAction = (
  body: unknown,
  parameters: Readonly<Record<string, string>>,
) => Promise<unknown>;

/**
 * Every daemon has these: /healthz (the event loop turns), /readyz (it serves), /metrics, and
 * routes of its own, all GET; and actions, which change something.
 */
export interface ControlOptions {
  readonly address: Address;
  readonly logger: Logger;
  readonly metrics: MetricRegistry;
  /** Null when ready, else the reason in words. */
  readonly notReady: () => string | null;
  /** By path; each gives what is sent as JSON. */
  readonly routes: Readonly<Record<string, () => unknown>>;
  /** By method and path, as in 'DELETE /v1/snapshots/:name'. */
  readonly actions?: Readonly<Record<string, ControlAction>>;
  /**
   * Who may use the actions: on a unix socket whoever may open it, else whoever sends this bearer
   * token; null: nobody.
   */
  readonly token?: string | null;
}

export interface ControlServer {
  readonly address: Address;
  close(): Promise<void>;
}

const MAX_HEADER_BYTES = 8 * 1024;
const MAX_CONNECTIONS = 64;
const REQUEST_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 5_000;
const MAX_BODY_BYTES = 64 * 1024;

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
  const failed = (error: unknown): void => {
    options.logger.error({ err: error, path }, 'a control request failed');
    send(request, response, problem(500, 'Internal error', 'the daemon logged the reason'));
  };
  try {
    const action = findAction(options, request, path);
    if (action === null) send(request, response, route(options, request, path));
    else act(options, request, action).then((reply) => send(request, response, reply), failed);
  } catch (error) {
    failed(error);
  }
};

interface Reply {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

interface Found {
  readonly action: ControlAction;
  readonly parameters: Readonly<Record<string, string>>;
}

const findAction = (
  { actions = {} }: ControlOptions,
  { method = 'GET' }: IncomingMessage,
  path: string,
): Found | null => {
  for (const [name, action] of Object.entries(actions)) {
    const [wanted, pattern = ''] = name.split(' ');
    if (wanted !== method) continue;
    const parameters = match(pattern, path);
    if (parameters !== null) return { action, parameters };
  }
  return null;
};

const match = (pattern: string, path: string): Record<string, string> | null => {
  const wanted = pattern.split('/');
  const parts = path.split('/');
  if (wanted.length !== parts.length) return null;
  const parameters: Record<string, string> = {};
  for (const [index, name] of wanted.entries()) {
    const part = parts[index] ?? '';
    if (!name.startsWith(':')) {
      if (name !== part) return null;
      continue;
    }
    try {
      parameters[name.slice(1)] = decodeURIComponent(part);
    } catch {
      return null;
    }
  }
  return parameters;
};

const act = async (
  options: ControlOptions,
  request: IncomingMessage,
  { action, parameters }: Found,
): Promise<Reply> => {
  try {
    authorise(options, request);
    return json((await action(await readBody(request), parameters)) ?? {});
  } catch (error) {
    if (!(error instanceof ControlProblem)) throw error;
    const reply = problem(error.status, error.title, error.message);
    // What is left of a body that was not read would be taken for the next request.
    return request.complete ? reply : { ...reply, headers: { connection: 'close' } };
  }
};

const authorise = ({ address, token = null }: ControlOptions, request: IncomingMessage): void => {
  if (address.kind === 'unix') return;
  if (token === null) {
    throw new ControlProblem(
      403,
      'Forbidden',
      'this daemon takes no orders over TCP: start it with --control-token-file, or with --control unix:/path',
    );
  }
  const sent = Buffer.from(request.headers.authorization ?? '');
  const wanted = Buffer.from(`Bearer ${token}`);
  if (sent.length === wanted.length && crypto.timingSafeEqual(sent, wanted)) return;
  throw new ControlProblem(401, 'Unauthorized', 'send the token as "authorization: Bearer TOKEN"');
};

const readBody = async (request: IncomingMessage): Promise<unknown> => {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) {
      const detail = `a body has at most ${MAX_BODY_BYTES} bytes`;
      throw new ControlProblem(413, 'Content too large', detail);
    }
    chunks.push(chunk);
  }
  if (bytes === 0) return undefined;
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown;
  } catch {
    throw new ControlProblem(400, 'Bad request', 'the body is no JSON');
  }
};

const route = (options: ControlOptions, request: IncomingMessage, path: string): Reply => {
  const handler = builtInRoute(options, path) ?? jsonRoute(options, path);
  if (handler === null) {
    const known = [
      ...['/healthz', '/readyz', '/metrics', ...Object.keys(options.routes)],
      ...Object.keys(options.actions ?? {}),
    ];
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
