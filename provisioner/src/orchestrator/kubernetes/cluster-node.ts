import { resource, type KubeObject } from '../../kubernetes/objects.ts';

/** What decides whether copies can be on a node. */
export interface ClusterNode extends KubeObject {
  readonly spec?: {
    readonly unschedulable?: boolean;
    readonly taints?: readonly { readonly key: string; readonly effect: string }[];
  };
  readonly status?: {
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly lastTransitionTime?: string;
    }[];
  };
}

export const CLUSTER_NODES = resource<ClusterNode>('v1', 'Node', 'nodes', false);

const HOSTNAME = 'kubernetes.io/hostname';
const NOT_SCHEDULED: ReadonlySet<string> = new Set(['NoSchedule', 'NoExecute']);

export const hostOf = ({ metadata }: ClusterNode): string =>
  metadata.labels?.[HOSTNAME] ?? metadata.name;

const readyOf = ({ status }: ClusterNode) =>
  status?.conditions?.find(({ type }) => type === 'Ready');

/** Since when the node has not been ready, in milliseconds; null: it is ready. */
export const notReadySince = (node: ClusterNode): number | null => {
  const ready = readyOf(node);
  if (ready === undefined || ready.status === 'True') return null;
  return Date.parse(ready.lastTransitionTime ?? '') || null;
};

/** What decides about copies there, to be compared: heartbeats change a node all the time. */
export const fitnessOf = (node: ClusterNode): string =>
  JSON.stringify([takesPods(node), node.metadata.labels ?? {}]);

export const takesPods = (node: ClusterNode): boolean => {
  const { spec } = node;
  if (spec?.unschedulable === true) return false;
  if (spec?.taints?.some(({ effect }) => NOT_SCHEDULED.has(effect)) === true) return false;
  const ready = readyOf(node);
  return ready === undefined || ready.status === 'True';
};
