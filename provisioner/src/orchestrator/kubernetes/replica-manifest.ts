import type { KubeObject } from '../../kubernetes/objects.ts';
import {
  annotationsOf,
  COMPONENT_LABEL,
  labelsOf,
  REPLICA_CONTROL_PORT,
  REPLICA_DATA_PORT,
  REPLICA_LABEL,
  replicaHostName,
  replicaName,
  replicaServiceName,
  ROLE_LABEL,
  selectorOf,
  VOLUME_LABEL,
  volumeIdOf,
} from './names.ts';
import { commonPodSpec, containerSecurity, probes, scrapeAnnotations } from './pods.ts';
import type { KubernetesSettings } from './settings.ts';
import type { StoragePool, VolumeMember, VolumeResource } from './volume-resource.ts';
import { settingVariable } from './volume-settings.ts';

const DATA_MOUNT = '/var/lib/openebs';

/** One copy, on the node where its directory is. */
export const replicaDeployment = (
  volume: VolumeResource,
  member: VolumeMember,
  pool: StoragePool,
  settings: KubernetesSettings,
): KubeObject => {
  const { index, role, node } = member;
  const { name } = volume.metadata;
  const labels = {
    ...labelsOf(volume, 'replica'),
    [REPLICA_LABEL]: String(index),
    [ROLE_LABEL]: role,
  };
  const directory = `${pool.spec.path}/${name}/replica-${index}`;
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: {
      namespace: settings.namespace,
      name: replicaName(name, index),
      labels,
      annotations: annotationsOf(volume),
    },
    spec: {
      replicas: 1,
      strategy: { type: 'Recreate' },
      revisionHistoryLimit: 1,
      selector: {
        matchLabels: { ...selectorOf(volume, 'replica'), [REPLICA_LABEL]: String(index) },
      },
      template: {
        metadata: {
          labels,
          annotations: {
            ...annotationsOf(volume),
            ...scrapeAnnotations(volume.spec.monitored, REPLICA_CONTROL_PORT),
          },
        },
        spec: {
          ...commonPodSpec(settings),
          hostname: replicaHostName(index),
          subdomain: replicaServiceName(name),
          terminationGracePeriodSeconds: 60,
          // The directory is made by kubelet and belongs to root; nothing else of root is needed.
          securityContext: { runAsUser: 0, seccompProfile: { type: 'RuntimeDefault' } },
          // The data are here: elsewhere the pod would be of no use.
          tolerations: [
            ...['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'].map((key) => ({
              key,
              operator: 'Exists',
              effect: 'NoExecute',
            })),
            ...settings.tolerations,
            ...(volume.spec.tolerations ?? []),
          ],
          affinity: affinity(volume, role, node),
          containers: [replicaContainer(volume, member, settings)],
          volumes: [{ name: 'data', hostPath: { path: directory, type: 'DirectoryOrCreate' } }],
        },
      },
    },
  } as KubeObject;
};

const replicaContainer = (
  volume: VolumeResource,
  { id, role }: VolumeMember,
  settings: KubernetesSettings,
): object => ({
  name: 'replica',
  image: settings.replicaImage,
  imagePullPolicy: settings.imagePullPolicy,
  command: ['node', '/openebs/replica/src/main.ts'],
  args: [
    ...['--dir', `${DATA_MOUNT}/data`],
    ...['--volume-id', volumeIdOf(volume)],
    ...['--replica-id', id],
    ...['--role', role],
    ...['--listen', `0.0.0.0:${REPLICA_DATA_PORT}`],
    ...['--control', `0.0.0.0:${REPLICA_CONTROL_PORT}`],
  ],
  // A volume that grows does not restart its replicas.
  env: [settingVariable(volume, 'size')],
  ports: [
    { name: 'control', containerPort: REPLICA_CONTROL_PORT },
    { name: 'data', containerPort: REPLICA_DATA_PORT },
  ],
  ...probes(REPLICA_CONTROL_PORT),
  resources: volume.spec.resources?.replica ?? settings.replicaResources,
  securityContext: containerSecurity,
  volumeMounts: [{ name: 'data', mountPath: DATA_MOUNT }],
});

/**
 * On its node. The rule against its like holds also where somebody edits the members; a witness may
 * be beside a copy for the moment in which one of the two leaves.
 */
const affinity = (
  { metadata, spec }: VolumeResource,
  role: VolumeMember['role'],
  node: string,
): object => {
  const labelSelector = {
    matchLabels: {
      [VOLUME_LABEL]: metadata.name,
      [COMPONENT_LABEL]: 'replica',
      [ROLE_LABEL]: role,
    },
  };
  const host = { key: 'kubernetes.io/hostname', operator: 'In', values: [node] };
  return {
    podAntiAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: [
        { topologyKey: spec.topologyKey, labelSelector },
      ],
    },
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [{ matchExpressions: [host] }],
      },
    },
  };
};
