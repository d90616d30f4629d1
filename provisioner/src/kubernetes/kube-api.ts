import type { KubeObject, Resource } from './objects.ts';

/** `reason` as in metav1.Status: NotFound, AlreadyExists, Conflict, Expired, Invalid ... */
export class KubeError extends Error {
  override readonly name = 'KubeError';
  /** HTTP status; 0: no answer came. */
  readonly status: number;
  readonly reason: string;

  constructor(status: number, reason: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
    this.reason = reason;
  }

  get isNotFound(): boolean {
    return this.status === 404;
  }

  /** The object is there already, or has changed meanwhile. */
  get isConflict(): boolean {
    return this.status === 409;
  }

  /** The list or the resource version is too old: list anew. */
  get isGone(): boolean {
    return this.status === 410;
  }
}

/** For `catch`: what is not there is null, everything else stays an error. */
export const orNull = (error: unknown): null => {
  if (error instanceof KubeError && error.isNotFound) return null;
  throw error;
};

export interface ListPage<T extends KubeObject> {
  readonly items: readonly T[];
  readonly resourceVersion: string;
  /** Null: this was the last page. */
  readonly next: string | null;
}

export interface ListOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly limit?: number;
  readonly continueFrom?: string;
  readonly resourceVersion?: string;
}

export interface WatchOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly resourceVersion: string;
  /** The server ends the watch after this long. Seconds. */
  readonly timeoutSeconds: number;
}

export type WatchEvent<T extends KubeObject> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T }
  /** Only the resource version counts. */
  | { readonly type: 'BOOKMARK'; readonly object: KubeObject };

export interface Where {
  readonly namespace?: string | undefined;
  readonly name: string;
}

export interface JsonPatchOperation {
  readonly op: 'add' | 'remove' | 'replace' | 'test';
  readonly path: string;
  readonly value?: unknown;
}

/**
 * The calls that the control plane makes. Every call ends in time and rejects with KubeError;
 * answers that ask for patience (429, 503 with Retry-After) and lost connections are tried again
 * where that cannot do harm.
 */
export interface KubeApi {
  list<T extends KubeObject>(resource: Resource<T>, options?: ListOptions): Promise<ListPage<T>>;
  /**
   * Events from the resource version on; ends when the server ends it. Throws KubeError, also for
   * an ERROR event.
   */
  watch<T extends KubeObject>(
    resource: Resource<T>,
    options: WatchOptions,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<T>>;
  get<T extends KubeObject>(resource: Resource<T>, where: Where): Promise<T>;
  create<T extends KubeObject>(resource: Resource<T>, object: T): Promise<T>;
  /** PUT: rejects with Conflict where the resource version is not the present one. */
  replace<T extends KubeObject>(resource: Resource<T>, object: T): Promise<T>;
  /** Server-side apply by our field manager, which takes over fields that others set. */
  apply<T extends KubeObject>(resource: Resource<T>, object: T, part?: 'status'): Promise<T>;
  /** RFC 6902. A `test` that fails is Invalid (422). */
  patch<T extends KubeObject>(
    resource: Resource<T>,
    where: Where,
    operations: readonly JsonPatchOperation[],
    part?: 'status',
  ): Promise<T>;
  /** Resolves also when it is gone already. */
  remove(resource: Resource, where: Where, options?: RemoveOptions): Promise<void>;
}

export interface RemoveOptions {
  /** Only this very object. */
  readonly uid?: string;
  /** The object stays, being deleted, until what it owns is gone; else that goes afterwards. */
  readonly foreground?: boolean;
}
