import { randomUUID } from 'node:crypto';
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
import { keyOf, type KubeObject, type Resource } from './objects.ts';

type Tree = Record<string, unknown>;

interface Stored {
  readonly resource: Resource;
  readonly object: KubeObject;
  readonly version: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
}

/**
 * The Kubernetes API in memory, as far as the control plane uses it. The suite in
 * kube-api.contract.test-support.ts runs against it and against a real API server, so that it does
 * not promise what the real one does not keep.
 */
export class FakeKubeApi implements KubeApi {
  readonly #objects = new Map<string, KubeObject>();
  readonly #history: Stored[] = [];
  #version = 1;
  #forgottenUpTo = 0;
  #watchers = new Set<() => void>();
  /** Called before each call; may throw what the call shall fail with. */
  before: (method: string, kind: string, name: string) => void = () => undefined;
  readonly calls: string[] = [];

  /** Watches from before now end with 410 Gone, as after a compaction. */
  compact(): void {
    this.#forgottenUpTo = this.#version;
    for (const wake of this.#watchers) wake();
  }

  /** Watches end, as when the API server restarts. */
  endWatches(): void {
    this.#ended++;
    for (const wake of this.#watchers) wake();
  }
  #ended = 0;

  list<T extends KubeObject>(
    resource: Resource<T>,
    options: ListOptions = {},
  ): Promise<ListPage<T>> {
    return this.#call('list', resource, '', () => {
      const all = [...this.#objects.entries()]
        .filter(
          ([key, object]) => key.startsWith(`${resource.plural} `) && selected(object, options),
        )
        .map(([, object]) => structuredClone(object) as T)
        .sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
      const from = Number(options.continueFrom ?? 0);
      const to = from + (options.limit ?? all.length);
      return {
        items: all.slice(from, to),
        resourceVersion: String(this.#version),
        next: to < all.length ? String(to) : null,
      };
    });
  }

  async *watch<T extends KubeObject>(
    resource: Resource<T>,
    options: WatchOptions,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<T>> {
    let seen = Number(options.resourceVersion);
    const ended = this.#ended;
    this.before('watch', resource.kind, '');
    while (!signal.aborted && this.#ended === ended) {
      if (seen < this.#forgottenUpTo)
        throw new KubeError(410, 'Expired', 'too old resource version');
      const news = this.#history.filter(
        (entry) =>
          entry.version > seen &&
          entry.resource.plural === resource.plural &&
          selected(entry.object, options),
      );
      for (const { object, version, type } of news) {
        seen = version;
        yield { type, object: structuredClone(object) as T };
      }
      if (news.length > 0) continue;
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#watchers.delete(wake);
          signal.removeEventListener('abort', wake);
          resolve();
        };
        this.#watchers.add(wake);
        signal.addEventListener('abort', wake);
      });
    }
    if (signal.aborted) throw new DOMException('aborted', 'AbortError');
  }

  get<T extends KubeObject>(resource: Resource<T>, where: Where): Promise<T> {
    return this.#call('get', resource, where.name, () => this.#find(resource, where) as T);
  }

  create<T extends KubeObject>(resource: Resource<T>, object: T): Promise<T> {
    return this.#call('create', resource, object.metadata.name, () => {
      const key = keyFor(resource, object.metadata);
      if (this.#objects.has(key)) {
        throw new KubeError(
          409,
          'AlreadyExists',
          `${resource.plural} "${object.metadata.name}" already exists`,
        );
      }
      return this.#put(resource, withIdentity(object), 'ADDED') as T;
    });
  }

  replace<T extends KubeObject>(resource: Resource<T>, object: T): Promise<T> {
    return this.#call('replace', resource, object.metadata.name, () => {
      const known = this.#find(resource, object.metadata);
      const { resourceVersion } = object.metadata;
      if (resourceVersion !== undefined && resourceVersion !== known.metadata.resourceVersion) {
        throw new KubeError(409, 'Conflict', 'the object has been modified');
      }
      return this.#put(resource, object, 'MODIFIED') as T;
    });
  }

  apply<T extends KubeObject>(resource: Resource<T>, object: T): Promise<T> {
    return this.#call('apply', resource, object.metadata.name, () => {
      const known = this.#objects.get(keyFor(resource, object.metadata));
      if (known === undefined) return this.#put(resource, withIdentity(object), 'ADDED') as T;
      const merged = merge(known as unknown as Tree, object as unknown as Tree);
      if (JSON.stringify(merged) === JSON.stringify(known)) return structuredClone(known) as T;
      return this.#put(resource, merged as unknown as T, 'MODIFIED') as T;
    });
  }

  patch<T extends KubeObject>(
    resource: Resource<T>,
    where: Where,
    operations: readonly JsonPatchOperation[],
  ): Promise<T> {
    return this.#call('patch', resource, where.name, () => {
      const object = this.#find(resource, where);
      for (const operation of operations) patchOne(object as unknown as Tree, operation);
      return this.#put(resource, object, 'MODIFIED') as T;
    });
  }

  remove(resource: Resource, where: Where, options: RemoveOptions = {}): Promise<void> {
    return this.#call('remove', resource, where.name, () => {
      const known = this.#objects.get(keyFor(resource, where));
      if (known === undefined) return;
      if (options.uid !== undefined && options.uid !== known.metadata.uid) {
        throw new KubeError(409, 'Conflict', 'the UID in the precondition does not match');
      }
      const deletionTimestamp = known.metadata.deletionTimestamp ?? '2026-01-01T00:00:00Z';
      this.#put(
        resource,
        { ...known, metadata: { ...known.metadata, deletionTimestamp } },
        'MODIFIED',
      );
    });
  }

  #call<R>(method: string, resource: Resource, name: string, work: () => R): Promise<R> {
    this.calls.push(`${method} ${resource.kind} ${name}`.trim());
    // Inside of a promise, so that what is thrown rejects it.
    return Promise.resolve().then(() => {
      this.before(method, resource.kind, name);
      return work();
    });
  }

  #find(resource: Resource, where: Where): KubeObject {
    const object = this.#objects.get(keyFor(resource, where));
    if (object === undefined) {
      throw new KubeError(404, 'NotFound', `${resource.plural} "${where.name}" not found`);
    }
    return structuredClone(object);
  }

  #put(resource: Resource, given: KubeObject, type: Stored['type']): KubeObject {
    const version = ++this.#version;
    const { finalizers = [], deletionTimestamp } = given.metadata;
    const gone = deletionTimestamp !== undefined && finalizers.length === 0;
    const metadata = { ...structuredClone(given.metadata), resourceVersion: String(version) };
    const object = {
      ...structuredClone(given),
      metadata: metadata as typeof metadata & { generation?: number },
    };
    const key = keyFor(resource, object.metadata);
    const before = this.#objects.get(key);
    object.metadata.generation =
      (before?.metadata.generation ?? 0) + (sameSpec(before, object) ? 0 : 1);
    if (gone) this.#objects.delete(key);
    else this.#objects.set(key, object);
    this.#history.push({ resource, object, version, type: gone ? 'DELETED' : type });
    for (const wake of this.#watchers) wake();
    return structuredClone(object);
  }
}

/**
 * A generation is one version of what is asked for, not of what is told. For the API server that
 * includes the annotations of a Deployment.
 */
const sameSpec = (before: KubeObject | undefined, after: KubeObject): boolean => {
  const asked = (object: KubeObject): string => {
    const annotations = object.kind === 'Deployment' ? object.metadata.annotations : {};
    return JSON.stringify([(object as unknown as Tree)['spec'], annotations]);
  };
  return before !== undefined && asked(before) === asked(after);
};

const keyFor = (resource: Resource, { namespace, name }: Where): string =>
  `${resource.plural} ${namespace ?? ''}/${name}`;

const selected = (object: KubeObject, options: ListOptions): boolean => {
  const { metadata } = object;
  const { namespace, labelSelector, fieldSelector } = options;
  if (namespace !== undefined && metadata.namespace !== namespace) return false;
  // Of one field that lies on top, as a Secret's type.
  const [field = '', wanted] = (fieldSelector ?? '').split('=');
  if (field !== '' && (object as unknown as Tree)[field] !== wanted) return false;
  return (labelSelector ?? '')
    .split(',')
    .filter((term) => term !== '')
    .every((term) => {
      const [name = '', value] = term.split('=');
      const label = metadata.labels?.[name];
      return value === undefined ? label !== undefined : label === value;
    });
};

const withIdentity = <T extends KubeObject>(object: T): T => ({
  ...object,
  metadata: {
    ...object.metadata,
    uid: randomUUID(),
    creationTimestamp: '2026-01-01T00:00:00Z',
  },
});

const isTree = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const merge = (into: Tree, from: Tree): Tree => {
  const result = { ...into };
  for (const [name, value] of Object.entries(from)) {
    const known = result[name];
    if (value === undefined) continue;
    result[name] = isTree(value) && isTree(known) ? merge(known, value) : structuredClone(value);
  }
  return result;
};

const patchOne = (object: Tree, { op, path, value }: JsonPatchOperation): void => {
  const names = path
    .slice(1)
    .split('/')
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  const last = names.pop() ?? '';
  let parent = object;
  for (const name of names) {
    const child = parent[name];
    if (!isTree(child)) throw new KubeError(422, 'Invalid', `${path} is not there`);
    parent = child;
  }
  if (op === 'test') {
    if (JSON.stringify(parent[last]) !== JSON.stringify(value)) {
      throw new KubeError(422, 'Invalid', `testing ${path} failed`);
    }
  } else if (op === 'remove') {
    if (!Object.hasOwn(parent, last)) throw new KubeError(422, 'Invalid', `${path} is not there`);
    parent[last] = undefined;
  } else {
    if (op === 'replace' && !Object.hasOwn(parent, last)) {
      throw new KubeError(422, 'Invalid', `${path} is not there`);
    }
    parent[last] = structuredClone(value);
  }
};
