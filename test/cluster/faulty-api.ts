import { createServer, request as httpRequest } from 'node:http';
import type { IncomingMessage, RequestOptions, Server, ServerResponse } from 'node:http';
import { Agent, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { KubeConfig } from '@kubernetes/client-node';

/** One call as it came to the proxy. */
export interface ProxiedCall {
  readonly method: string;
  readonly path: string;
  readonly isWatch: boolean;
  /** A GET of many: by its path, which ends with a kind. */
  readonly isList: boolean;
  readonly body: string;
  readonly atMs: number;
}

/** What happens to a call instead of being passed on and answered. */
export type Fault =
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly reason: string;
      readonly retryAfterSeconds?: number;
    }
  /** Passed on when the promise resolves, whether or not the caller still waits. */
  | { readonly kind: 'hold'; readonly until: Promise<unknown> }
  /** The server does it, and the caller never hears of it. */
  | { readonly kind: 'lose' }
  | { readonly kind: 'refuse' };

/**
 * Stands between a client and the API server, and does what networks and overloaded servers do.
 * It speaks HTTP to the client and HTTPS to the server.
 */
export class FaultyApi {
  /** Null for a call: it goes through. Asked for each call. */
  fault: (call: ProxiedCall) => Fault | null = () => null;
  readonly calls: ProxiedCall[] = [];
  readonly #server: Server;
  readonly #agent: Agent;
  readonly #upstream: string;
  readonly #watches = new Set<ServerResponse>();

  private constructor(kubeconfig: string) {
    const config = new KubeConfig();
    config.loadFromFile(kubeconfig);
    const cluster = config.getCurrentCluster();
    if (cluster === null) throw new Error(`${kubeconfig} names no cluster`);
    this.#upstream = cluster.server;
    const ca = Buffer.from(cluster.caData ?? '', 'base64');
    this.#agent = new Agent({ keepAlive: true, ca });
    this.#server = createServer((incoming, response) => {
      void this.#serve(incoming, response).catch(() => response.destroy());
    });
  }

  static async start(kubeconfig: string): Promise<FaultyApi> {
    const proxy = new FaultyApi(kubeconfig);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** How many are open now. */
  get watches(): number {
    return this.#watches.size;
  }

  /** In the middle of an event. Returns how many there were. */
  cutWatches(): number {
    const cut = [...this.#watches];
    for (const response of cut) {
      response.write('{"type":"MODIFIED","object":{"kind":', () => response.destroy());
    }
    return cut.length;
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
    this.#agent.destroy();
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await buffer(incoming);
    const call = readCall(incoming, body);
    this.calls.push(call);
    const fault = this.fault(call);
    switch (fault?.kind) {
      case undefined:
        break;
      case 'refuse':
        response.destroy();
        return;
      case 'answer':
        answer(response, fault);
        return;
      case 'hold':
        await fault.until;
        break;
      case 'lose':
        await this.#ask(incoming, body).then(buffer);
        response.destroy();
        return;
    }
    const answered = await this.#ask(incoming, body);
    response.writeHead(answered.statusCode ?? 502, answered.headers);
    if (call.isWatch) {
      response.flushHeaders();
      this.#watches.add(response);
      response.once('close', () => {
        this.#watches.delete(response);
        answered.destroy();
      });
    }
    answered.once('error', () => response.destroy());
    answered.once('aborted', () => response.destroy());
    answered.pipe(response);
  }

  #ask(incoming: IncomingMessage, body: Buffer): Promise<IncomingMessage> {
    const url = new URL(incoming.url ?? '/', this.#upstream);
    const headers = { ...incoming.headers };
    delete headers.connection;
    delete headers['transfer-encoding'];
    const options: RequestOptions = { method: incoming.method ?? 'GET', headers };
    return new Promise((resolve, reject) => {
      const call =
        url.protocol === 'https:'
          ? request(url, { ...options, agent: this.#agent }, resolve)
          : httpRequest(url, options, resolve);
      call.once('error', reject);
      call.end(body);
    });
  }
}

const readCall = ({ method = 'GET', url = '/' }: IncomingMessage, body: Buffer): ProxiedCall => {
  const { pathname, searchParams } = new URL(url, 'http://proxy');
  const isWatch = searchParams.get('watch') === 'true';
  // /api/v1/pods, /apis/apps/v1/namespaces/openebs/deployments: a kind, and no name after it.
  const parts = pathname.replace(/^\/apis?\//, '').split('/');
  const afterVersion = pathname.startsWith('/apis/') ? parts.slice(2) : parts.slice(1);
  const own = afterVersion[0] === 'namespaces' ? afterVersion.slice(2) : afterVersion;
  const isList = method === 'GET' && !isWatch && own.length === 1;
  return {
    ...{ method, path: url, isWatch, isList },
    ...{ body: body.toString(), atMs: performance.now() },
  };
};

const answer = (
  response: ServerResponse,
  { status, reason, retryAfterSeconds }: Fault & { kind: 'answer' },
): void => {
  response.writeHead(status, {
    'content-type': 'application/json',
    ...(retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) }),
  });
  const message = `the proxy of the test answers ${reason}`;
  const said = { apiVersion: 'v1', kind: 'Status', status: 'Failure', code: status };
  response.end(JSON.stringify({ ...said, reason, message }));
};
