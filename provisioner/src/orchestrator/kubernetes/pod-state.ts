import { resource, type KubeObject } from '../../kubernetes/objects.ts';
import type { ProcessFacts } from '../local/volume-view.ts';
import { COMPONENT_LABEL, REPLICA_LABEL, VOLUME_LABEL } from './names.ts';

interface ContainerState {
  readonly waiting?: { readonly reason?: string; readonly message?: string };
  readonly terminated?: { readonly reason?: string; readonly exitCode?: number };
}

export interface Pod extends KubeObject {
  readonly spec?: { readonly nodeName?: string };
  readonly status?: {
    readonly phase?: string;
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly message?: string;
    }[];
    readonly containerStatuses?: readonly {
      readonly ready?: boolean;
      readonly restartCount?: number;
      readonly state?: ContainerState;
      readonly lastState?: ContainerState;
    }[];
  };
}

export const PODS = resource<Pod>('v1', 'Pod', 'pods', true);

/** What is kept of a pod: less than all of it, because there are several of each volume. */
export const slimPod = ({ apiVersion, kind, metadata, spec, status }: Pod): Pod => {
  const { name, namespace, uid, resourceVersion, labels, creationTimestamp, deletionTimestamp } =
    metadata;
  const kept = { name, namespace, uid, resourceVersion, creationTimestamp, deletionTimestamp };
  const known = Object.entries({ ...kept, labels }).filter(([, value]) => value !== undefined);
  return {
    apiVersion,
    kind,
    metadata: Object.fromEntries(known) as unknown as Pod['metadata'],
    ...(spec?.nodeName === undefined ? {} : { spec: { nodeName: spec.nodeName } }),
    ...(status === undefined ? {} : { status }),
  };
};

/** `target`, or the index of a replica. */
export const ofVolume = (pod: Pod): { readonly volume: string; readonly part: string } | null => {
  const labels = pod.metadata.labels ?? {};
  const volume = labels[VOLUME_LABEL];
  if (volume === undefined) return null;
  const component = labels[COMPONENT_LABEL];
  if (component === 'target') return { volume, part: 'target' };
  const index = labels[REPLICA_LABEL];
  return component === 'replica' && index !== undefined ? { volume, part: index } : null;
};

/** What the pod does, for people. Null: there is none. */
export const processOf = (pod: Pod | null): ProcessFacts => {
  if (pod === null) return { status: 'starting', failures: 0, lastFailure: 'it has no pod yet' };
  const { conditions = [], containerStatuses = [] } = pod.status ?? {};
  const container = containerStatuses[0];
  const ready = conditions.find(({ type }) => type === 'Ready')?.status === 'True';
  const scheduled = conditions.find(({ type }) => type === 'PodScheduled');
  const waiting = container?.state?.waiting;
  const ended = container?.lastState?.terminated;
  const why =
    scheduled?.status === 'False'
      ? (scheduled.message ?? 'its pod is not scheduled')
      : waiting?.reason === undefined
        ? ended === undefined
          ? null
          : `it ended with ${ended.exitCode ?? '?'}`
        : [waiting.reason, waiting.message].filter((part) => part !== undefined).join(': ');
  const restarted = (container?.restartCount ?? 0) > 0;
  return {
    status: ready ? 'running' : restarted ? 'restarting' : 'starting',
    failures: 0,
    lastFailure: ready ? null : why,
  };
};
