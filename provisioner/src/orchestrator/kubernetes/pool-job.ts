import { resource, type KubeObject } from '../../kubernetes/objects.ts';
import { annotationsOf, labelsOf, REPLICA_LABEL } from './names.ts';
import { commonPodSpec, containerSecurity } from './pods.ts';
import type { KubernetesSettings } from './settings.ts';
import type { StoragePool, VolumeResource } from './volume-resource.ts';

export interface Job extends KubeObject {
  readonly status?: {
    readonly succeeded?: number;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

export const JOBS = resource<Job>('batch/v1', 'Job', 'jobs', true);

/** Where a job finds the pool, with the directories of all volumes there. */
export const POOL_MOUNT = '/pool';

export interface PoolWork {
  readonly name: string;
  readonly component: 'cleaner' | 'cloner';
  /** Of the copy. */
  readonly index: number;
  readonly node: string;
  readonly pool: StoragePool;
  readonly backoffLimit: number;
  /** What is to be run in the image of replicas. */
  readonly command: readonly string[];
}

/** What is done once with the directory of one copy, on its node. */
export const poolJob = (
  volume: VolumeResource,
  work: PoolWork,
  settings: KubernetesSettings,
): Job => {
  const { component, index, node, pool } = work;
  const labels = { ...labelsOf(volume, component), [REPLICA_LABEL]: String(index) };
  return {
    apiVersion: JOBS.apiVersion,
    kind: JOBS.kind,
    metadata: {
      namespace: settings.namespace,
      name: work.name,
      labels,
      annotations: annotationsOf(volume),
    },
    spec: {
      backoffLimit: work.backoffLimit,
      template: {
        metadata: { labels },
        spec: {
          ...commonPodSpec(settings),
          restartPolicy: 'OnFailure',
          securityContext: { runAsUser: 0, seccompProfile: { type: 'RuntimeDefault' } },
          nodeSelector: { 'kubernetes.io/hostname': node },
          tolerations: [{ operator: 'Exists' }],
          containers: [
            {
              name: component,
              image: settings.replicaImage,
              imagePullPolicy: settings.imagePullPolicy,
              command: work.command,
              // Whoever describes the pod reads why it failed.
              terminationMessagePolicy: 'FallbackToLogsOnError',
              securityContext: containerSecurity,
              volumeMounts: [{ name: 'pool', mountPath: POOL_MOUNT }],
            },
          ],
          volumes: [
            { name: 'pool', hostPath: { path: pool.spec.path, type: 'DirectoryOrCreate' } },
          ],
        },
      },
    },
  } as unknown as Job;
};
