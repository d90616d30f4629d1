import type { KubeApi } from '../../provisioner/src/kubernetes/kube-api.ts';
import { resource, type KubeObject } from '../../provisioner/src/kubernetes/objects.ts';
import { until } from '../support/until.ts';
import { SYSTEM_NAMESPACE } from './openebs-system.ts';

export interface Pod extends KubeObject {
  readonly spec?: {
    readonly nodeName?: string;
    readonly containers?: readonly { readonly image?: string }[];
  };
  readonly status?: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly {
      readonly restartCount?: number;
      readonly state?: { readonly terminated?: { readonly exitCode: number } };
    }[];
  };
}

export const PODS = resource<Pod>('v1', 'Pod', 'pods', true);
/** The target and three copies. */
const ALL = 4;

const isReady = ({ status }: Pod): boolean =>
  status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') ?? false;

/** How far a pod is: each state holds only after the ones before. */
const STATES = {
  scheduled: ({ spec }: Pod) => spec?.nodeName !== undefined,
  started: ({ status }: Pod) => status?.phase === 'Running',
  ready: isReady,
} as const;

/** The pods of one volume. */
export class VolumePods {
  readonly #api: KubeApi;
  readonly #volume: string;

  constructor(api: KubeApi, volume: string) {
    this.#api = api;
    this.#volume = volume;
  }

  /** Where the target runs now. */
  async targetNode(): Promise<string> {
    const ready = (await this.of('target')).filter(isReady);
    return ready[0]?.spec?.nodeName ?? '';
  }

  async until(state: keyof typeof STATES, withinMs: number): Promise<void> {
    await until(
      `all pods ${state}`,
      async () => (await this.#list()).filter(STATES[state]).length === ALL,
      withinMs,
    );
  }

  async ready(): Promise<readonly Pod[]> {
    return (await this.#list()).filter(isReady);
  }

  /** How often containers of a component have been started anew. */
  async restarts(component: string): Promise<number> {
    const containers = (await this.of(component)).flatMap(
      ({ status }) => status?.containerStatuses ?? [],
    );
    return containers.reduce((sum, { restartCount = 0 }) => sum + restartCount, 0);
  }

  async names(): Promise<string[]> {
    return (await this.#list()).map(({ metadata }) => metadata.name).sort();
  }

  /** Of a component: target or replica. */
  async of(component: string): Promise<readonly Pod[]> {
    return this.#list(`,openebs.io/component=${component}`);
  }

  async #list(more = ''): Promise<readonly Pod[]> {
    const labelSelector = `openebs.io/persistent-volume=${this.#volume}${more}`;
    const { items } = await this.#api.list(PODS, { namespace: SYSTEM_NAMESPACE, labelSelector });
    return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  }
}
