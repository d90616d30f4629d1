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
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, path, timeout: timeoutMs, agent: false }, (response) => {
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
    call.end();
  });
}
