import { CLAIMS, VOLUMES } from '../../provisioner/src/claims/contract.ts';
import { systemClock } from '../../provisioner/src/kubernetes/clock.ts';
import type { KubeObject } from '../../provisioner/src/kubernetes/objects.ts';
import { Reflector } from '../../provisioner/src/kubernetes/reflector.ts';
import {
  DEPLOYMENTS,
  SERVICES,
} from '../../provisioner/src/orchestrator/kubernetes/desired-objects.ts';
import { VOLUME_LABEL } from '../../provisioner/src/orchestrator/kubernetes/names.ts';
import { NAMESPACE } from '../cluster/installation.ts';
import { theClient } from '../cluster/plane.ts';

/** Deployments and Services of a volume of three copies. */
const PARTS = 6;

/** Moments of one claim, by the clock of performance.now(). */
interface Moments {
  volumeMs?: number;
  boundMs?: number;
  wholeMs?: number;
}

/** Watches from outside when each claim gets its volume, is bound, and has all its objects. */
export class ClaimTimes {
  readonly #moments = new Map<string, Moments>();
  readonly #parts = new Map<string, Set<string>>();
  readonly #stop = new AbortController();
  readonly #ended: Promise<unknown>;
  readonly #ready: Promise<unknown>;

  constructor() {
    const options = { api: theClient(), clock: systemClock, log: (): void => undefined };
    const claims = new Reflector({ ...options, resource: CLAIMS, keep: withPhase });
    const volumes = new Reflector({ ...options, resource: VOLUMES, keep: identity });
    const labelled = { namespace: NAMESPACE, labelSelector: VOLUME_LABEL, keep: identity };
    const parts = [DEPLOYMENTS, SERVICES].map(
      (resource) => new Reflector<KubeObject>({ ...options, ...labelled, resource }),
    );
    claims.onChange((_before, after) => {
      if (after?.status?.phase !== 'Bound') return;
      this.#of(`pvc-${after.metadata.uid ?? ''}`).boundMs ??= performance.now();
    });
    volumes.onChange((_before, after) => {
      if (after !== null) this.#of(after.metadata.name).volumeMs ??= performance.now();
    });
    for (const reflector of parts) {
      reflector.onChange((_before, after) => {
        if (after !== null) this.#keepPart(after);
      });
    }
    const all = [claims, volumes, ...parts];
    this.#ended = Promise.all(all.map((each) => each.run(this.#stop.signal)));
    this.#ready = Promise.all(all.map((each) => each.whenSynced()));
  }

  async ready(): Promise<void> {
    await this.#ready;
  }

  /** Of the volume of that name, as far as it has come. */
  of(volume: string): Readonly<Moments> {
    return this.#of(volume);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }

  #of(volume: string): Moments {
    const known = this.#moments.get(volume) ?? {};
    this.#moments.set(volume, known);
    return known;
  }

  #keepPart({ kind, metadata }: KubeObject): void {
    const volume = metadata.labels?.[VOLUME_LABEL] ?? '';
    const parts = this.#parts.get(volume) ?? new Set();
    this.#parts.set(volume, parts.add(`${kind} ${metadata.name}`));
    if (parts.size === PARTS) this.#of(volume).wholeMs ??= performance.now();
  }
}

const identity = <T extends KubeObject>({ apiVersion, kind, metadata }: T): T =>
  ({ apiVersion, kind, metadata: { ...metadata, managedFields: undefined } }) as unknown as T;

const withPhase = <T extends KubeObject & { readonly status?: unknown }>(object: T): T => ({
  ...identity(object),
  status: object.status,
});
