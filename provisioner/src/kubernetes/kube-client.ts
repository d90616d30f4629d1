import type { IncomingMessage } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { KUBE_LIMITS } from '../limits.ts';
import type { ClusterAccess } from './cluster-access.ts';
import { openCall, readText } from './http-call.ts';
import { KubeError } from './kube-api.ts';
import type {
  JsonPatchOperation,
  KubeApi,
  ListOptions,
  ListPage,
  RemoveOptions,
  WatchEvent,
  WatchOptions,
  Where,
} from './kube-api.ts';
import type { KubeObject, Resource } from './objects.ts';
import { readLines } from './read-lines.ts';

/** Who we are where fields of objects are owned. */
export const FIELD_MANAGER = 'openebs-provisioner';

const JSON_TYPE = 'application/json';
const JSON_PATCH = 'application/json-patch+json';
const APPLY_PATCH = 'application/apply-patch+yaml';

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

interface Call {
  readonly method: Method;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly body?: unknown;
  readonly contentType?: string;
}

type Entry = Awaited<ReturnType<ClusterAccess['enter']>>;

/** KubeApi over HTTP. */
export class KubeClient implements KubeApi {
  readonly #access: ClusterAccess;
  readonly #counted: (call: { method: Method; resource: string; status: number }) => void;
  #entry: (Entry & { readonly takenMs: number }) | null = null;

  constructor(
    access: ClusterAccess,
    counted: (call: { method: Method; resource: string; status: number }) => void = () => undefined,
  ) {
    this.#access = access;
    this.#counted = counted;
  }

  async list<T extends KubeObject>(
    resource: Resource<T>,
    options: ListOptions = {},
  ): Promise<ListPage<T>> {
    const { namespace, labelSelector, fieldSelector } = options;
    const { limit, continueFrom, resourceVersion } = options;
    const page = await this.#call<{
      items: Omit<T, 'apiVersion' | 'kind'>[];
      metadata: { resourceVersion: string; continue?: string };
    }>(resource, {
      method: 'GET',
      path: pathOf(resource, namespace),
      query: {
        labelSelector,
        fieldSelector,
        limit: limit?.toString(),
        continue: continueFrom,
        resourceVersion: continueFrom === undefined ? resourceVersion : undefined,
      },
    });
    const { apiVersion, kind } = resource;
    const next = page.metadata.continue ?? '';
    return {
      // Items of a list do not say what they are.
      items: page.items.map((item) => ({ apiVersion, kind, ...item }) as unknown as T),
      resourceVersion: page.metadata.resourceVersion,
      next: next === '' ? null : next,
    };
  }

  async *watch<T extends KubeObject>(
    resource: Resource<T>,
    options: WatchOptions,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<T>> {
    const { namespace, labelSelector, fieldSelector, resourceVersion, timeoutSeconds } = options;
    const path = pathOf(resource, namespace);
    const query = {
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion,
      labelSelector,
      fieldSelector,
      timeoutSeconds: String(timeoutSeconds),
    };
    // Longer than the server's own limit: a connection that died without a word ends too.
    const quietMs = (timeoutSeconds + KUBE_LIMITS.watchGraceSeconds) * 1000;
    const answer = await this.#send({ method: 'GET', path, query }, { signal, quietMs });
    const { statusCode: status = 0 } = answer;
    this.#counted({ method: 'GET', resource: resource.plural, status });
    if (status !== 200) throw await failureOf(answer);
    for await (const line of readLines(answer, KUBE_LIMITS.watchLineBytes)) {
      const event = JSON.parse(line) as WatchEvent<T> | { type: 'ERROR'; object: Status };
      if (event.type === 'ERROR') throw errorOf(event.object.code ?? 500, event.object);
      yield event;
    }
  }

  get<T extends KubeObject>(resource: Resource<T>, where: Where): Promise<T> {
    return this.#call(resource, {
      method: 'GET',
      path: pathOf(resource, where.namespace, where.name),
    });
  }

  create<T extends KubeObject>(resource: Resource<T>, object: T): Promise<T> {
    const path = pathOf(resource, object.metadata.namespace);
    // A field that the server does not know would else be dropped in silence.
    const query = { fieldManager: FIELD_MANAGER, fieldValidation: 'Strict' };
    return this.#call(resource, { method: 'POST', path, query, body: object });
  }

  replace<T extends KubeObject>(resource: Resource<T>, object: T): Promise<T> {
    const { namespace, name } = object.metadata;
    const query = { fieldManager: FIELD_MANAGER };
    const path = pathOf(resource, namespace, name);
    return this.#call(resource, { method: 'PUT', path, query, body: object });
  }

  apply<T extends KubeObject>(resource: Resource<T>, object: T, part?: 'status'): Promise<T> {
    const { namespace, name } = object.metadata;
    return this.#call(resource, {
      method: 'PATCH',
      path: pathOf(resource, namespace, name, part),
      query: { fieldManager: FIELD_MANAGER, force: 'true' },
      body: object,
      contentType: APPLY_PATCH,
    });
  }

  patch<T extends KubeObject>(
    resource: Resource<T>,
    where: Where,
    operations: readonly JsonPatchOperation[],
    part?: 'status',
  ): Promise<T> {
    return this.#call(resource, {
      method: 'PATCH',
      path: pathOf(resource, where.namespace, where.name, part),
      query: { fieldManager: FIELD_MANAGER },
      body: operations,
      contentType: JSON_PATCH,
    });
  }

  async remove(resource: Resource, where: Where, options: RemoveOptions = {}): Promise<void> {
    const preconditions = options.uid === undefined ? undefined : { uid: options.uid };
    try {
      await this.#call(resource, {
        method: 'DELETE',
        path: pathOf(resource, where.namespace, where.name),
        body: {
          apiVersion: 'v1',
          kind: 'DeleteOptions',
          propagationPolicy: options.foreground === true ? 'Foreground' : 'Background',
          ...(preconditions === undefined ? {} : { preconditions }),
        },
      });
    } catch (error) {
      if (!(error instanceof KubeError && error.isNotFound)) throw error;
    }
  }

  close(): Promise<void> {
    this.#entry?.agent.destroy();
    return Promise.resolve();
  }

  async #call<T>(resource: Resource, call: Call): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      let wait: number | null;
      let failure: KubeError;
      try {
        const answer = await this.#send(call);
        const { statusCode: status = 0 } = answer;
        this.#counted({ method: call.method, resource: resource.plural, status });
        if (status < 300) return JSON.parse(await readText(answer)) as T;
        wait = retryAfterMs(status, answer.headers['retry-after']);
        failure = await failureOf(answer);
      } catch (cause) {
        // Applying and reading may be done twice; creating, and replacing one version, tell when
        // they were done before (AlreadyExists, Conflict).
        wait = KUBE_LIMITS.retryMs;
        failure = new KubeError(0, 'Unreachable', unreachable(this.#access.server, cause), {
          cause,
        });
      }
      if (wait === null || attempt >= KUBE_LIMITS.callAttempts) throw failure;
      // Later than the server has named, never sooner: it counts on that.
      await delay(Math.min(wait, KUBE_LIMITS.maxRetryMs) * (1 + Math.random() / 2));
    }
  }

  async #send(
    { method, path, query = {}, body, contentType = JSON_TYPE }: Call,
    watching: { readonly signal?: AbortSignal; readonly quietMs?: number } = {},
  ): Promise<IncomingMessage> {
    const { agent, headers } = await this.#enter();
    const url = new URL(this.#access.server + path);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) url.searchParams.set(name, value);
    }
    const type = body === undefined ? {} : { 'content-type': contentType };
    return openCall(url, {
      ...{ method, agent, headers: { ...headers, accept: JSON_TYPE, ...type } },
      body: body === undefined ? null : JSON.stringify(body),
      deadlineMs: KUBE_LIMITS.callMs,
      ...watching,
    });
  }

  /** Tokens of service accounts are renewed on disk: they are read again every now and then. */
  async #enter(): Promise<Entry> {
    const now = performance.now();
    const entry = this.#entry;
    if (entry !== null && now - entry.takenMs <= KUBE_LIMITS.credentialsMs) return entry;
    this.#entry = { ...(await this.#access.enter()), takenMs: now };
    return this.#entry;
  }
}

interface Status {
  readonly code?: number;
  readonly reason?: string;
  readonly message?: string;
}

const pathOf = (
  { apiVersion, plural, namespaced }: Resource,
  namespace?: string,
  name?: string,
  part?: string,
): string => {
  const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const place = namespaced && namespace !== undefined ? `/namespaces/${namespace}` : '';
  const one = name === undefined ? '' : `/${encodeURIComponent(name)}`;
  return `${root}${place}/${plural}${one}${part === undefined ? '' : `/${part}`}`;
};

/** Null: trying again would not help. */
const retryAfterMs = (
  status: number,
  header: string | readonly string[] | undefined,
): number | null => {
  if (status !== 429 && status < 500) return null;
  const seconds = Number(Array.isArray(header) ? header[0] : header);
  if (Number.isFinite(seconds) && seconds >= 0) return seconds * 1000;
  return status === 429 || status === 503 || status === 504 ? KUBE_LIMITS.retryMs : null;
};

const failureOf = async (answer: IncomingMessage): Promise<KubeError> => {
  const text = await readText(answer);
  let status: Status = { message: text.slice(0, 1000) };
  try {
    status = JSON.parse(text) as Status;
  } catch {
    // A proxy in between answers with a page of its own.
  }
  return errorOf(answer.statusCode ?? 0, status);
};

const errorOf = (code: number, { reason, message }: Status): KubeError =>
  new KubeError(code, reason ?? `HTTP ${code}`, message ?? `the API server answered ${code}`);

const unreachable = (server: string, cause: unknown): string =>
  `The API server ${server} cannot be reached: ${cause instanceof Error ? cause.message : String(cause)}`;
