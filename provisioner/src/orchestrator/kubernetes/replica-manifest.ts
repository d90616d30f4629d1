import type { KubeObject } from '../../kubernetes/objects.ts';
import { parseQuantity } from '../../kubernetes/quantity.ts';
import {
  annotationsOf,
  COMPONENT_LABEL,
  labelsOf,
  REPLICA_CONTROL_PORT,
  REPLICA_DATA_PORT,
  REPLICA_LABEL,
  replicaName,
  replicaServiceName,
  selectorOf,
  VOLUME_LABEL,
  volumeIdOf,
} from './names.ts';
import { commonPodSpec, containerSecurity, probes, scrapeAnnotations } from './pods.ts';
import type { KubernetesSettings } from './settings.ts';
import type { StoragePool, VolumeResource } from './volume-resource.ts';
import type { Voter } from './voters.ts';

const DATA_MOUNT = '/var/lib/openebs';

/** In the headless Service's domain: an address that stays while pods come and go. */
export const replicaHostName = (index: number): string => `rep-${index}`;

/** One copy, on the node where its directory is. */
export const replicaDeployment = (
  volume: VolumeResource,
  { index, role }: Voter,
  pool: StoragePool,
  settings: KubernetesSettings,
): KubeObject => {
  const { name } = volume.metadata;
  const labels = { ...labelsOf(volume, 'replica'), [REPLICA_LABEL]: String(index) };
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
          ],
          affinity: affinity(volume, index),
          containers: [
            {
              name: 'replica',
              image: settings.replicaImage,
              imagePullPolicy: settings.imagePullPolicy,
              command: ['node', '/openebs/replica/src/main.ts'],
              args: [
                ...['--dir', `${DATA_MOUNT}/data`],
                ...['--volume-id', volumeIdOf(volume)],
                ...['--size', String(parseQuantity(volume.spec.size))],
                ...['--role', role],
                ...['--listen', `0.0.0.0:${REPLICA_DATA_PORT}`],
                ...['--control', `0.0.0.0:${REPLICA_CONTROL_PORT}`],
              ],
              ports: [
                { name: 'control', containerPort: REPLICA_CONTROL_PORT },
                { name: 'data', containerPort: REPLICA_DATA_PORT },
              ],
              ...probes(REPLICA_CONTROL_PORT),
              resources: settings.replicaResources,
              securityContext: containerSecurity,
              volumeMounts: [{ name: 'data', mountPath: DATA_MOUNT }],
            },
          ],
          volumes: [{ name: 'data', hostPath: { path: directory, type: 'DirectoryOrCreate' } }],
        },
      },
    },
  } as KubeObject;
};

/** On its node. The rule against its like holds also where somebody edits the placements. */
const affinity = ({ metadata, spec }: VolumeResource, index: number): object => {
  const node = spec.placements.find((placement) => placement.index === index)?.node;
  const host = { key: 'kubernetes.io/hostname', operator: 'In', values: [node] };
  const labelSelector = {
    matchLabels: { [VOLUME_LABEL]: metadata.name, [COMPONENT_LABEL]: 'replica' },
  };
  return {
    podAntiAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: [
        { topologyKey: spec.topologyKey, labelSelector },
      ],
    },
    ...(node === undefined
      ? {}
      : {
          nodeAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: {
              nodeSelectorTerms: [{ matchExpressions: [host] }],
            },
          },
        }),
  };
};
