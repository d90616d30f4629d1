import { POOL_MOUNT, poolJob, type Job } from './pool-job.ts';
import type { KubernetesSettings } from './settings.ts';
import type { StoragePool, VolumeResource } from './volume-resource.ts';

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
  const command = [
    ...['node', '/openebs/replica/src/remove-main.ts'],
    ...['--pool', POOL_MOUNT, '--volume', name, '--replica', String(index)],
  ];
  const work = { name: cleaningJobName(name, index), component: 'cleaner', command } as const;
  return poolJob(volume, { ...work, index, node, pool, backoffLimit: 20 }, settings);
};
