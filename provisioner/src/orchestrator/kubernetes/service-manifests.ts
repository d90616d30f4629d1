import type { KubeObject } from '../../kubernetes/objects.ts';
import {
  annotationsOf,
  controllerServiceName,
  ISCSI_PORT,
  labelsOf,
  REPLICA_DATA_PORT,
  replicaServiceName,
  selectorOf,
  TARGET_CONTROL_PORT,
} from './names.ts';
import { runningMembers } from './members.ts';
import type { VolumeResource, VolumeResourceStatus } from './volume-resource.ts';

/**
 * The address of the volume. `clusterIp`: the one that its PersistentVolume names already, if the
 * Service has to be made again.
 */
export const controllerService = (
  volume: VolumeResource,
  namespace: string,
  clusterIp: string | null,
): KubeObject =>
  ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      namespace,
      name: controllerServiceName(volume.metadata.name),
      labels: labelsOf(volume, 'target'),
      annotations: annotationsOf(volume),
    },
    spec: {
      type: 'ClusterIP',
      ...(clusterIp === null ? {} : { clusterIP: clusterIp }),
      selector: selectorOf(volume, 'target'),
      ports: [
        { name: 'iscsi', port: ISCSI_PORT, targetPort: ISCSI_PORT, protocol: 'TCP' },
        {
          name: 'control',
          port: TARGET_CONTROL_PORT,
          targetPort: TARGET_CONTROL_PORT,
          protocol: 'TCP',
        },
      ],
    },
  }) as KubeObject;

/** How the target finds its replicas, ready or not: it is the one that makes them ready. */
export const replicaService = (volume: VolumeResource, namespace: string): KubeObject =>
  ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      namespace,
      name: replicaServiceName(volume.metadata.name),
      labels: labelsOf(volume, 'replica'),
      annotations: annotationsOf(volume),
    },
    spec: {
      clusterIP: 'None',
      publishNotReadyAddresses: true,
      selector: selectorOf(volume, 'replica'),
      ports: [
        { name: 'data', port: REPLICA_DATA_PORT, targetPort: REPLICA_DATA_PORT, protocol: 'TCP' },
      ],
    },
  }) as KubeObject;

/**
 * A drain takes one replica of a volume that has everything in sync, and none of one that has not:
 * the next node waits until the copy of the last one is back and whole. The target has no budget:
 * it may move. The only copy of a volume stays where it is until somebody deletes its pod.
 */
export const replicaDisruptionBudget = (volume: VolumeResource, namespace: string): KubeObject =>
  ({
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: {
      namespace,
      name: replicaServiceName(volume.metadata.name),
      labels: labelsOf(volume, 'replica'),
      annotations: annotationsOf(volume),
    },
    spec: {
      minAvailable: leastAvailable(volume),
      // A replica that does not serve may go at any time: it keeps nobody's drain waiting.
      unhealthyPodEvictionPolicy: 'AlwaysAllow',
      selector: { matchLabels: selectorOf(volume, 'replica') },
    },
  }) as KubeObject;

const leastAvailable = (volume: VolumeResource): number => {
  const { length } = runningMembers(volume);
  return allowsDisruption(volume.status) ? Math.max(1, length - 1) : length;
};

export const allowsDisruption = (status: VolumeResourceStatus | undefined): boolean =>
  status?.phase === 'Healthy' &&
  (status.conditions ?? []).some((each) => each.type === 'InSync' && each.status === 'True');
