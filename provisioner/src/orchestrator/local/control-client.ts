import { request } from 'node:http';
import { CONTROL_TIMEOUT_MS, MAX_CONTROL_BYTES } from '../../limits.ts';

export interface ControlAnswer {
  readonly status: number;
  readonly body: string;
}

/**
 * One GET of a daemon's control API over its unix socket. Rejects when it cannot be reached in
 * time.
 */
export function controlGet(
  socketPath: string,
  path: string,
  timeoutMs = CONTROL_TIMEOUT_MS,
): Promise<ControlAnswer> {
  return exchange({ socketPath, path, method: 'GET', body: undefined, timeoutMs });
}

/**
 * One order to a daemon; the body is sent as JSON. Rejects when it cannot be reached in time: then
 * the order may have been carried out or not.
 */
export function controlSend(
  socketPath: string,
  method: 'POST' | 'PUT' | 'DELETE',
  path: string,
  options: { readonly body?: unknown; readonly timeoutMs?: number } = {},
): Promise<ControlAnswer> {
  const { body, timeoutMs = CONTROL_TIMEOUT_MS } = options;
  return exchange({ socketPath, path, method, body, timeoutMs });
}

interface Exchange {
  readonly socketPath: string;
  readonly path: string;
  readonly method: string;
  readonly body: unknown;
  readonly timeoutMs: number;
}

function exchange({ socketPath, path, method, body, timeoutMs }: Exchange): Promise<ControlAnswer> {
  const content = body === undefined ? undefined : JSON.stringify(body);
  const headers =
    content === undefined
      ? {}
      : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(content) };
  const options = { socketPath, path, method, headers, timeout: timeoutMs, agent: false };
  return new Promise((resolve, reject) => {
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
