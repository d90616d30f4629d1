import { KUBE_LIMITS } from '../limits.ts';
import { sleep, type Clock } from './clock.ts';
import { KubeError, type KubeApi, type ListPage } from './kube-api.ts';
import { keyOf, type KubeObject, type Resource } from './objects.ts';

export interface ReflectorOptions<T extends KubeObject> {
  readonly api: KubeApi;
  readonly clock: Clock;
  readonly resource: Resource<T>;
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** What is kept of an object: less than all of it saves memory. */
  readonly keep?: (object: T) => T;
  readonly log: (level: 'debug' | 'warn', fields: object, message: string) => void;
}

/** `before` null: new; `after` null: gone. Never both. */
export type Change<T> = (before: T | null, after: T | null) => void;

/**
 * A copy of all objects of one kind, kept up to date, as client-go's Reflector with its store:
 * a list in pages, then a watch from there on; bookmarks move the place to resume from; 410 Gone
 * begins with a list again, everything else resumes the watch after a delay with jitter. It never
 * gives up. Listeners hear of each difference once, also of what changed while no watch was open.
 */
export class Reflector<T extends KubeObject> {
  readonly #options: ReflectorOptions<T>;
  readonly #objects = new Map<string, T>();
  readonly #listeners: Change<T>[] = [];
  #synced = false;
  #syncWaiters: (() => void)[] = [];
  #failures = 0;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
  }

  /** True when everything has been listed once. */
  get synced(): boolean {
    return this.#synced;
  }

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  values(): Iterable<T> {
    return this.#objects.values();
  }

  onChange(listener: Change<T>): void {
    this.#listeners.push(listener);
  }

  whenSynced(): Promise<void> {
    if (this.#synced) return Promise.resolve();
    return new Promise((resolve) => this.#syncWaiters.push(resolve));
  }

  /** Until the signal; rejects never. */
  async run(signal: AbortSignal): Promise<void> {
    let resourceVersion: string | null = null;
    while (!signal.aborted) {
      try {
        resourceVersion ??= await this.#listAll();
        resourceVersion = await this.#watch(resourceVersion, signal);
        this.#failures = 0;
      } catch (error) {
        if (isAborted(signal)) return;
        if (error instanceof KubeError && error.isGone) resourceVersion = null;
        this.#failures++;
        const delayMs = this.#backoffMs();
        const { resource, log } = this.#options;
        const reason = error instanceof Error ? error.message : String(error);
        log('warn', { resource: resource.plural, reason, delayMs }, 'watching begins again');
        await sleep(this.#options.clock, delayMs, signal);
      }
    }
  }

  async #listAll(): Promise<string> {
    const { api, resource, keep = same } = this.#options;
    const found = new Map<string, T>();
    let next: string | null = null;
    let resourceVersion: string;
    do {
      const page: ListPage<T> = await api.list(resource, {
        limit: KUBE_LIMITS.listPageObjects,
        ...this.#selected(),
        ...(next === null ? {} : { continueFrom: next }),
      });
      for (const object of page.items) found.set(keyOf(object), keep(object));
      ({ next, resourceVersion } = page);
    } while (next !== null);
    for (const [key, before] of [...this.#objects]) {
      if (!found.has(key)) this.#store(key, before, null);
    }
    for (const [key, object] of found) {
      const before = this.#objects.get(key) ?? null;
      // A different uid is another object of the same name: the one before is gone.
      if (before !== null && before.metadata.uid !== object.metadata.uid) {
        this.#store(key, before, null);
        this.#store(key, null, object);
      } else if (before?.metadata.resourceVersion !== object.metadata.resourceVersion) {
        this.#store(key, before, object);
      }
    }
    this.#synced = true;
    for (const waiter of this.#syncWaiters.splice(0)) waiter();
    return resourceVersion;
  }

  /** Returns where to resume when the server has ended the watch. */
  async #watch(from: string, signal: AbortSignal): Promise<string> {
    const { api, clock, resource, keep = same } = this.#options;
    const timeoutSeconds = Math.floor(KUBE_LIMITS.watchSeconds * (1 + clock.random()));
    const events = api.watch(
      resource,
      {
        resourceVersion: from,
        timeoutSeconds,
        ...this.#selected(),
      },
      signal,
    );
    let resourceVersion = from;
    const startedMs = clock.now();
    for await (const event of events) {
      resourceVersion = event.object.metadata.resourceVersion ?? resourceVersion;
      // It works: should it be cut now, the delay is the shortest again.
      this.#failures = 0;
      if (event.type === 'BOOKMARK') continue;
      const key = keyOf(event.object);
      const before = this.#objects.get(key) ?? null;
      if (event.type === 'DELETED') {
        if (before !== null) this.#store(key, before, null);
      } else {
        this.#store(key, before, keep(event.object));
      }
    }
    // A server that ends watches at once is not asked again at once.
    if (clock.now() - startedMs < KUBE_LIMITS.reflectorMinMs && resourceVersion === from) {
      throw new KubeError(0, 'WatchEnded', 'the watch ended at once');
    }
    return resourceVersion;
  }

  #selected(): Pick<ReflectorOptions<T>, 'namespace' | 'labelSelector' | 'fieldSelector'> {
    const { namespace, labelSelector, fieldSelector } = this.#options;
    return {
      ...(namespace === undefined ? {} : { namespace }),
      ...(labelSelector === undefined ? {} : { labelSelector }),
      ...(fieldSelector === undefined ? {} : { fieldSelector }),
    };
  }

  #store(key: string, before: T | null, after: T | null): void {
    if (after === null) this.#objects.delete(key);
    else this.#objects.set(key, after);
    for (const listener of this.#listeners) listener(before, after);
  }

  #backoffMs(): number {
    const { reflectorMinMs, reflectorMaxMs } = KUBE_LIMITS;
    const full = Math.min(reflectorMaxMs, reflectorMinMs * 2 ** Math.min(this.#failures - 1, 10));
    return full * (1 + this.#options.clock.random());
  }
}

const same = <T>(object: T): T => object;

/** Asked anew after an await. */
const isAborted = (signal: AbortSignal): boolean => signal.aborted;
