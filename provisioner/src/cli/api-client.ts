import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { request as httpsRequest, type Agent as HttpsAgent } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import type { LoggedEvent } from '../api/event-log.ts';
import type { Operation } from '../api/operations.ts';
import type { ChapBody } from '../chap.ts';
import type {
  DamagedVolume,
  RevertView,
  SnapshotView,
  VolumeStats,
  VolumeView,
} from '../orchestrator/orchestrator.ts';
import { exitCodeOf, type ProblemDocument } from '../problem.ts';
import { CliFailure, EXIT } from './failure.ts';

export interface VolumePage {
  readonly items: readonly VolumeView[];
  readonly nextCursor: string | null;
  readonly damaged: readonly DamagedVolume[];
}

export interface NewVolume {
  readonly name: string;
  readonly size?: string;
  readonly replicas?: number;
  readonly chap?: ChapBody;
  readonly source?: { readonly volume: string; readonly snapshot?: string };
}

export interface SystemStatus {
  readonly version: string;
  readonly status: 'healthy' | 'degraded' | 'unavailable';
  readonly startedAt: string;
  readonly pid: number;
  readonly runtime: string;
  readonly dataDirectory: string;
  readonly volumes: Readonly<Record<VolumeView['status'] | 'total', number>>;
  readonly volumeBytes: number;
  readonly nodes: readonly { name: string; status: string }[];
  readonly pools: readonly {
    name: string;
    path: string;
    /** Null where it is not known. */
    capacityBytes: number | null;
    freeBytes: number | null;
  }[];
  readonly damaged: readonly DamagedVolume[];
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

const TIMEOUT_MS = 15_000;
const POLL_MS = 100;

/** How to get through whoever stands before the API server. */
export interface Passage {
  /** Takes the token in place of Authorization. */
  readonly tokenHeader: string;
  readonly agent: HttpsAgent;
  readonly headers: Readonly<Record<string, string>>;
}

/** The API server's client: JSON in and out, problems as CliFailure. */
export class ApiClient {
  readonly url: string;
  readonly #token: string | null;
  /** The command that would start the system that does not answer. */
  readonly #start: string | null;
  readonly #by: Passage | null;

  constructor(options: { url: string; token: string | null; start: string | null; by?: Passage }) {
    this.url = options.url.replace(/\/+$/, '');
    this.#token = options.token;
    this.#start = options.start;
    this.#by = options.by ?? null;
  }

  status(): Promise<SystemStatus> {
    return this.#get('/v1/status');
  }

  async volumes(): Promise<Omit<VolumePage, 'nextCursor'>> {
    const items: VolumeView[] = [];
    let cursor: string | null = null;
    for (;;) {
      const query: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
      const page: VolumePage = await this.#get(`/v1/volumes?limit=1000${query}`);
      items.push(...page.items);
      cursor = page.nextCursor;
      if (cursor === null) return { items, damaged: page.damaged };
    }
  }

  volume(name: string): Promise<VolumeView> {
    return this.#get(volumePath(name));
  }

  volumeStats(name: string): Promise<VolumeStats> {
    return this.#get(`${volumePath(name)}/stats`);
  }

  /** Newest first; of one volume, or of all. */
  async events(volume: string | null): Promise<readonly LoggedEvent[]> {
    const of = volume === null ? '/v1' : volumePath(volume);
    const { items } = await this.#get<{ items: readonly LoggedEvent[] }>(`${of}/events`);
    return items;
  }

  /** Newest first. */
  async operations(): Promise<readonly Operation[]> {
    const { items } = await this.#get<{ items: readonly Operation[] }>('/v1/operations');
    return items;
  }

  /** Prometheus text. */
  async metrics(): Promise<string> {
    const { status, body } = await this.#send('GET', '/metrics', {});
    if (status === 200) return body;
    throw failureOf(JSON.parse(body) as ProblemDocument);
  }

  createVolume(body: NewVolume, idempotencyKey: string): Promise<Operation> {
    return this.#call('POST', '/v1/volumes', {
      body,
      headers: { 'idempotency-key': idempotencyKey },
    });
  }

  changeVolume(
    name: string,
    body:
      | { size: string }
      | { replicas: number }
      | { chap: ChapBody | null }
      | { rebuildBytesPerSecond: number | null },
  ): Promise<Operation> {
    return this.#call('PATCH', volumePath(name), { body });
  }

  addReplica(name: string): Promise<Operation> {
    return this.#call('POST', `${volumePath(name)}/replicas`);
  }

  removeReplica(name: string, replica: string): Promise<Operation> {
    return this.#call('DELETE', `${volumePath(name)}/replicas/${encodeURIComponent(replica)}`);
  }

  killReplica(name: string, replica: string): Promise<VolumeView> {
    const path = `${volumePath(name)}/replicas/${encodeURIComponent(replica)}/restart`;
    return this.#call('POST', path);
  }

  deleteVolume(name: string, options: { force: boolean }): Promise<Operation> {
    return this.#call('DELETE', `${volumePath(name)}${options.force ? '?force=true' : ''}`);
  }

  scrubVolume(name: string): Promise<Operation> {
    return this.#call('POST', `${volumePath(name)}/scrub`);
  }

  snapshots(volume: string): Promise<{ readonly items: readonly SnapshotView[] }> {
    return this.#get(`${volumePath(volume)}/snapshots`);
  }

  createSnapshot(volume: string, name: string): Promise<SnapshotView> {
    return this.#call('POST', `${volumePath(volume)}/snapshots`, { body: { name } });
  }

  deleteSnapshot(volume: string, name: string): Promise<null> {
    return this.#call('DELETE', snapshotPath(volume, name));
  }

  revertVolume(volume: string, name: string, options: { force: boolean }): Promise<RevertView> {
    const query = options.force ? '?force=true' : '';
    return this.#call('POST', `${snapshotPath(volume, name)}/revert${query}`);
  }

  /** Follows long work to its end; throws what it failed with. */
  async finish(begun: Operation, onProgress: (operation: Operation) => void): Promise<Operation> {
    let operation = begun;
    while (operation.status === 'running') {
      onProgress(operation);
      await delay(POLL_MS);
      operation = await this.#get<Operation>(`/v1/operations/${operation.id}`);
    }
    if (operation.error !== null) throw failureOf(operation.error);
    return operation;
  }

  #get<T>(path: string): Promise<T> {
    return this.#call('GET', path);
  }

  async #call<T>(
    method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
    path: string,
    options: { body?: unknown; headers?: Record<string, string> } = {},
  ): Promise<T> {
    const answer = await this.#send(method, path, options);
    let parsed: unknown;
    try {
      parsed = answer.status === 204 ? null : JSON.parse(answer.body);
    } catch (error) {
      throw new CliFailure(EXIT.unreachable, `${this.url} is not an OpenEBS API server`, {
        next: 'check --server; npm start prints the address',
        cause: error,
      });
    }
    if (answer.status >= 400) throw failureOf(parsed as ProblemDocument);
    return parsed as T;
  }

  #send(
    method: string,
    path: string,
    { body, headers = {} }: { body?: unknown; headers?: Record<string, string> },
  ): Promise<Answer> {
    const payload = body === undefined ? undefined : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const url = `${this.url}${path}`;
      const call = (url.startsWith('https:') ? httpsRequest : httpRequest)(
        url,
        {
          method,
          agent: this.#by?.agent ?? false,
          headers: {
            ...this.#by?.headers,
            ...headers,
            accept: 'application/json',
            ...this.#tokenHeaders(),
            ...(payload === undefined
              ? {}
              : {
                  'content-type': 'application/json',
                  'content-length': Buffer.byteLength(payload),
                }),
          },
          timeout: TIMEOUT_MS,
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', (error) => reject(this.#unreachable(error)));
          response.on('end', () =>
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              body: Buffer.concat(chunks).toString(),
            }),
          );
        },
      );
      call.on('timeout', () => call.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)));
      call.on('error', (error) => reject(this.#unreachable(error)));
      call.end(payload);
    });
  }

  #tokenHeaders(): Record<string, string> {
    if (this.#token === null) return {};
    return this.#by === null
      ? { authorization: `Bearer ${this.#token}` }
      : { [this.#by.tokenHeader]: this.#token };
  }

  #unreachable(error: NodeJS.ErrnoException): CliFailure {
    const why = error.code === 'ECONNREFUSED' ? 'nothing listens there' : error.message;
    return new CliFailure(
      EXIT.unreachable,
      `the API server at ${this.url} does not answer: ${why}`,
      {
        next:
          this.#start === null ? 'check --server, and that it runs' : `start it: ${this.#start}`,
        cause: error,
      },
    );
  }
}

function snapshotPath(volume: string, name: string): string {
  return `${volumePath(volume)}/snapshots/${encodeURIComponent(name)}`;
}

function volumePath(name: string): string {
  return `/v1/volumes/${encodeURIComponent(name)}`;
}

/** `message`: of a cluster's API server that does not reach ours. */
function failureOf(problem: Partial<ProblemDocument> & { message?: string }): CliFailure {
  return new CliFailure(
    exitCodeOf(problem.code ?? ''),
    problem.detail ?? problem.message ?? 'the server refused without a reason',
    problem.next === undefined ? {} : { next: problem.next },
  );
}
