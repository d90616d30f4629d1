import type { V1Lease } from '@kubernetes/client-node';
import { sleep, type Clock } from './clock.ts';
import { KubeError, orNull, type KubeApi } from './kube-api.ts';
import { resource, type KubeObject } from './objects.ts';

export type Lease = KubeObject & { readonly spec?: LeaseSpec };

/** Times are strings with microseconds (MicroTime). */
type LeaseSpec = Omit<NonNullable<V1Lease['spec']>, 'acquireTime' | 'renewTime'> & {
  acquireTime?: string;
  renewTime?: string;
};

export const LEASES = resource<Lease>('coordination.k8s.io/v1', 'Lease', 'leases', true);

export interface LeaderElectorOptions {
  readonly api: KubeApi;
  readonly clock: Clock;
  readonly namespace: string;
  readonly name: string;
  /** Who we are; unique among all candidates, also after a restart. */
  readonly identity: string;
  /** Wall clock, as it is written into the lease for people to read. Nothing is judged by it. */
  readonly wallClock: () => Date;
  readonly log: (level: 'info' | 'warn', fields: object, message: string) => void;
  /** As in client-go: 15 s, 10 s, 2 s. */
  readonly leaseMs?: number;
  readonly renewWithinMs?: number;
  readonly retryMs?: number;
}

const JITTER = 1.2;

/**
 * One leader at a time, as client-go's leaderelection over a Lease. Whether somebody else's lease
 * has expired is judged by how long this process has seen no change of it, never by the times that
 * others wrote: clocks of machines differ.
 */
export class LeaderElector {
  readonly #options: Required<LeaderElectorOptions>;
  #observed: { readonly version: string; readonly atMs: number } | null = null;
  #lease: Lease | null = null;
  #renewedMs = 0;

  constructor(options: LeaderElectorOptions) {
    this.#options = { leaseMs: 15_000, renewWithinMs: 10_000, retryMs: 2_000, ...options };
  }

  /** Who holds the lease as far as was seen; empty: nobody. */
  get holder(): string {
    return this.#lease?.spec?.holderIdentity ?? '';
  }

  /** Resolves true when this process leads; false when the signal came first. */
  async acquire(signal: AbortSignal): Promise<boolean> {
    const { clock, retryMs, identity, log } = this.#options;
    while (!signal.aborted) {
      if (await this.#try()) {
        log('info', { identity }, 'leading');
        return true;
      }
      await sleep(clock, retryMs * (1 + JITTER * clock.random()), signal);
    }
    return false;
  }

  /**
   * Renews until the signal or until it was not possible for `renewWithinMs`: then the leader must
   * stop working at once. Resolves with whether the lease was lost.
   */
  async hold(signal: AbortSignal): Promise<'lost' | 'stopped'> {
    const { clock, retryMs, renewWithinMs, identity, log } = this.#options;
    while (!signal.aborted) {
      await sleep(clock, retryMs, signal);
      if (isAborted(signal)) break;
      if (await this.#within(renewWithinMs - (clock.now() - this.#renewedMs))) continue;
      if (clock.now() - this.#renewedMs >= renewWithinMs || this.holder !== identity) {
        log('warn', { identity, holder: this.holder }, 'the lease was lost');
        return 'lost';
      }
    }
    return 'stopped';
  }

  /** So that the next leader needs not wait. */
  async release(): Promise<void> {
    const lease = this.#lease;
    if (lease === null || this.holder !== this.#options.identity) return;
    const spec = { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1 };
    await this.#write({ ...lease, spec }).catch(() => undefined);
  }

  /** A call that hangs must not keep a leader believing in itself. */
  #within(limitMs: number): Promise<boolean> {
    const { clock } = this.#options;
    return new Promise((resolve) => {
      const cancel = clock.after(Math.max(0, limitMs), () => resolve(false));
      void this.#try().then((leads) => {
        cancel();
        resolve(leads);
      });
    });
  }

  async #try(): Promise<boolean> {
    const { api, namespace, name, identity, clock, leaseMs, log } = this.#options;
    const startedMs = clock.now();
    try {
      const found = await api.get(LEASES, { namespace, name }).catch(orNull);
      if (found === null) {
        this.#lease = await api.create(LEASES, this.#mine(null));
        this.#renewedMs = startedMs;
        return true;
      }
      this.#observe(found);
      const { holderIdentity = '' } = found.spec ?? {};
      const expired = clock.now() - (this.#observed?.atMs ?? 0) >= leaseMs;
      if (holderIdentity !== '' && holderIdentity !== identity && !expired) return false;
      if (!(await this.#write(this.#mine(found)))) return false;
      this.#renewedMs = startedMs;
      return true;
    } catch (error) {
      if (!(error instanceof KubeError)) throw error;
      log('warn', { identity, reason: error.message }, 'the lease could not be taken or renewed');
      return false;
    }
  }

  #observe(lease: Lease): void {
    const version = lease.metadata.resourceVersion ?? '';
    if (this.#observed?.version !== version) {
      this.#observed = { version, atMs: this.#options.clock.now() };
    }
    this.#lease = lease;
  }

  /** False: somebody was faster. */
  async #write(lease: Lease): Promise<boolean> {
    try {
      this.#observe(await this.#options.api.replace(LEASES, lease));
      return true;
    } catch (error) {
      if (error instanceof KubeError && error.isConflict) return false;
      throw error;
    }
  }

  #mine(found: Lease | null): Lease {
    const { namespace, name, identity, leaseMs, wallClock } = this.#options;
    const now = microTime(wallClock());
    const before = found?.spec;
    const keeps = before?.holderIdentity === identity;
    return {
      apiVersion: LEASES.apiVersion,
      kind: LEASES.kind,
      metadata: found?.metadata ?? { namespace, name },
      spec: {
        holderIdentity: identity,
        leaseDurationSeconds: Math.ceil(leaseMs / 1000),
        acquireTime: keeps ? (before.acquireTime ?? now) : now,
        renewTime: now,
        leaseTransitions: (before?.leaseTransitions ?? 0) + (keeps || found === null ? 0 : 1),
      },
    };
  }
}

/** The API server wants six digits behind the point. */
const microTime = (date: Date): string => date.toISOString().replace(/Z$/, '000Z');

/** Asked anew after an await. */
const isAborted = (signal: AbortSignal): boolean => signal.aborted;
