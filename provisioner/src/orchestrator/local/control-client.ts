import { CONTROL_TIMEOUT_MS, MAX_CONTROL_BYTES } from '../../limits.ts';

/** Where a daemon's control API is: the path of a unix socket, or an address with its token. */
export type ControlPlace =
  string | { readonly host: string; readonly port: number; readonly token: string | null };

export interface ControlAnswer {
  readonly status: number;
  readonly body: string;
}

/** One GET of a daemon's control API. Rejects when it cannot be reached in time. */
export function controlGet(
  place: ControlPlace,
  path: string,
  timeoutMs = CONTROL_TIMEOUT_MS,
): Promise<ControlAnswer> {
  return exchange({ place, path, method: 'GET', body: undefined, timeoutMs });
}

/**
 * One order to a daemon; the body is sent as JSON. Rejects when it cannot be reached in time: then
 * the order may have been carried out or not.
 */
export function controlSend(
  place: ControlPlace,
  method: 'POST' | 'PUT' | 'DELETE',
  path: string,
  options: { readonly body?: unknown; readonly timeoutMs?: number } = {},
): Promise<ControlAnswer> {
  const { body, timeoutMs = CONTROL_TIMEOUT_MS } = options;
  return exchange({ place, path, method, body, timeoutMs });
}

interface Exchange {
  readonly place: ControlPlace;
  readonly path: string;
  readonly method: string;
  readonly body: unknown;
  readonly timeoutMs: number;
}

function exchange({ place, path, method, body, timeoutMs }: Exchange): Promise<ControlAnswer> {
  const content = body === undefined ? undefined : JSON.stringify(body);
  const token = typeof place === 'string' ? null : place.token;
  const where =
    typeof place === 'string' ? { socketPath: place } : { host: place.host, port: place.port };
  const headers = {
    ...(token === null ? {} : { authorization: `Bearer ${token}` }),
    ...(content === undefined
      ? {}
      : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(content) }),
  };
  const options = { ...where, path, method, headers, timeout: timeoutMs, agent: false };
  return new Promise((resolve, reject) => {
    const { request } = process.getBuiltinModule('node:http');
    const call = request(options, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MAX_CONTROL_BYTES) response.destroy(new Error('the answer is too large'));
        else chunks.push(chunk);
      });
      response.on('error', reject);
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() });
      });
    });
    const deadline = setTimeout(() => {
      call.destroy(new Error(`no answer within ${timeoutMs} ms`));
    }, timeoutMs);
    call.on('error', reject);
    call.on('close', () => clearTimeout(deadline));
    call.end(content);
  });
}
