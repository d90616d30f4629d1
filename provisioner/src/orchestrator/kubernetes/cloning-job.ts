import { parseQuantity } from '../../kubernetes/quantity.ts';
import { volumeIdOf } from './names.ts';
import { POOL_MOUNT, poolJob, type Job } from './pool-job.ts';
import type { KubernetesSettings } from './settings.ts';
import type { StoragePool, VolumeMember, VolumeResource } from './volume-resource.ts';

export const cloningJobName = (volume: string, index: number): string => `${volume}-clone-${index}`;

export interface CloningWork {
  readonly member: VolumeMember;
  readonly pool: StoragePool;
  /** Of the volume that it is a copy of, and the layer of the snapshot there. */
  readonly origin: string;
  readonly layer: number;
}

/**
 * Makes the directory of one member from the member of the same index of the origin, on the same
 * node. Both are in one mount, the pool: two mounts of one file system cannot share files.
 */
export const cloningJob = (
  volume: VolumeResource,
  { member: { id, index, node }, pool, origin, layer }: CloningWork,
  settings: KubernetesSettings,
): Job => {
  const { name } = volume.metadata;
  const directory = (of: string): string => `${POOL_MOUNT}/${of}/replica-${index}/data`;
  const command = [
    ...['node', '/openebs/replica/src/main.ts', 'clone'],
    ...['--dir', directory(name)],
    ...['--from', directory(origin)],
    ...['--layer', String(layer)],
    ...['--volume-id', volumeIdOf(volume)],
    ...['--replica-id', id],
    ...['--size', String(parseQuantity(volume.spec.size))],
  ];
  const work = { name: cloningJobName(name, index), component: 'cloner', command } as const;
  return poolJob(volume, { ...work, index, node, pool, backoffLimit: 3 }, settings);
};
