import { resource, type KubeObject } from '../../kubernetes/objects.ts';
import { parseQuantity } from '../../kubernetes/quantity.ts';
import { runningMembers } from './members.ts';
import { annotationsOf, labelsOf, replicaAddress } from './names.ts';
import type { VolumeResource } from './volume-resource.ts';

interface ConfigMap extends KubeObject {
  readonly data: Readonly<Record<string, string>>;
}

export const CONFIG_MAPS = resource<KubeObject>('v1', 'ConfigMap', 'configmaps', true);

export const settingsMapName = (volume: string): string => `${volume}-settings`;

/** By option of the daemon: `size` is OPENEBS_SIZE. */
type Setting = 'size' | 'replica';

/**
 * What changes while a volume serves: read by its daemons when they start, from here and not from
 * their pods' templates, because a template that changes restarts everybody.
 */
export const settingsMap = (volume: VolumeResource, namespace: string): ConfigMap => {
  const { name } = volume.metadata;
  // Those that leave are named too: they may still be needed for a majority.
  const replicas = runningMembers(volume).map(({ index }) =>
    replicaAddress(name, namespace, index),
  );
  const data: Record<Setting, string> = {
    size: String(parseQuantity(volume.spec.size)),
    replica: replicas.join(','),
  };
  return {
    apiVersion: CONFIG_MAPS.apiVersion,
    kind: CONFIG_MAPS.kind,
    metadata: {
      namespace,
      name: settingsMapName(name),
      labels: labelsOf(volume, 'settings'),
      annotations: annotationsOf(volume),
    },
    data,
  };
};

export const settingVariable = ({ metadata }: VolumeResource, setting: Setting): object => ({
  name: `OPENEBS_${setting.toUpperCase()}`,
  valueFrom: { configMapKeyRef: { name: settingsMapName(metadata.name), key: setting } },
});
