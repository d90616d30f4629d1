import { Gate } from './gate.ts';
import type {
  JsonPatchOperation,
  KubeApi,
  ListOptions,
  ListPage,
  WatchEvent,
  WatchOptions,
  Where,
} from './kube-api.ts';
import type { KubeObject, Resource } from './objects.ts';

/** The same API, of whose calls about single objects so many go on at once. */
export class GatedApi implements KubeApi {
  readonly #api: KubeApi;
  readonly #gate: Gate;

  constructor(api: KubeApi, width: number) {
    this.#api = api;
    this.#gate = new Gate(width);
  }

  list<T extends KubeObject>(resource: Resource<T>, options?: ListOptions): Promise<ListPage<T>> {
    return this.#api.list(resource, options);
  }

  watch<T extends KubeObject>(
    resource: Resource<T>,
    options: WatchOptions,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<T>> {
    return this.#api.watch(resource, options, signal);
  }

  get<T extends KubeObject>(resource: Resource<T>, where: Where): Promise<T> {
    return this.#run(() => this.#api.get(resource, where));
  }

  create<T extends KubeObject>(resource: Resource<T>, object: T): Promise<T> {
    return this.#run(() => this.#api.create(resource, object));
  }

  replace<T extends KubeObject>(resource: Resource<T>, object: T): Promise<T> {
    return this.#run(() => this.#api.replace(resource, object));
  }

  apply<T extends KubeObject>(resource: Resource<T>, object: T, part?: 'status'): Promise<T> {
    return this.#run(() => this.#api.apply(resource, object, part));
  }

  patch<T extends KubeObject>(
    resource: Resource<T>,
    where: Where,
    operations: readonly JsonPatchOperation[],
    part?: 'status',
  ): Promise<T> {
    return this.#run(() => this.#api.patch(resource, where, operations, part));
  }

  remove(resource: Resource, where: Where, options?: { readonly uid?: string }): Promise<void> {
    return this.#run(() => this.#api.remove(resource, where, options));
  }

  #run<T>(call: () => Promise<T>): Promise<T> {
    return this.#gate.run(call);
  }
}
