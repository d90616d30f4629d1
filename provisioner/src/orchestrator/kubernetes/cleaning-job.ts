import { resource, type KubeObject } from '../../kubernetes/objects.ts';
import { annotationsOf, labelsOf, REPLICA_LABEL } from './names.ts';
import { commonPodSpec, containerSecurity } from './pods.ts';
import type { KubernetesSettings } from './settings.ts';
import type { StoragePool, VolumeResource } from './volume-resource.ts';

export interface Job extends KubeObject {
  readonly status?: { readonly succeeded?: number; readonly failed?: number };
}

export const JOBS = resource<Job>('batch/v1', 'Job', 'jobs', true);

const POOL_MOUNT = '/pool';

export const cleaningJobName = (volume: string, index: number): string =>
  `${volume}-clean-${index}`;

/**
 * Removes the directory of one copy from its node, once its replica has ended. It can reach the
 * pool, and removes nothing but the volume's own directory there.
 */
export const cleaningJob = (
  volume: VolumeResource,
  { index, node }: { readonly index: number; readonly node: string },
  pool: StoragePool,
  settings: KubernetesSettings,
): Job => {
  const { name } = volume.metadata;
  const labels = { ...labelsOf(volume, 'cleaner'), [REPLICA_LABEL]: String(index) };
  return {
    apiVersion: JOBS.apiVersion,
    kind: JOBS.kind,
    metadata: {
      namespace: settings.namespace,
      name: cleaningJobName(name, index),
      labels,
      annotations: annotationsOf(volume),
    },
    spec: {
      backoffLimit: 20,
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
              name: 'cleaner',
              image: settings.replicaImage,
              imagePullPolicy: settings.imagePullPolicy,
              command: ['node', '/openebs/replica/src/remove-main.ts'],
              args: ['--pool', POOL_MOUNT, '--volume', name, '--replica', String(index)],
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
