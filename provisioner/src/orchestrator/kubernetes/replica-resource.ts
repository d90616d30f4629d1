import { annotationsOf, labelsOf, REPLICA_LABEL, replicaName } from './names.ts';
import {
  REPLICA_RESOURCES,
  type ReplicaResource,
  type VolumeMember,
  type VolumeResource,
} from './volume-resource.ts';

/** What people see of a member: `kubectl get or`. It goes with the record of its volume. */
export const replicaResource = (
  volume: VolumeResource,
  { index, role, node }: VolumeMember,
  namespace: string,
): ReplicaResource => {
  const { name, uid = '' } = volume.metadata;
  return {
    apiVersion: REPLICA_RESOURCES.apiVersion,
    kind: REPLICA_RESOURCES.kind,
    metadata: {
      namespace,
      name: replicaName(name, index),
      labels: { ...labelsOf(volume, 'replica'), [REPLICA_LABEL]: String(index) },
      annotations: annotationsOf(volume),
      ownerReferences: [
        { apiVersion: volume.apiVersion, kind: volume.kind, name, uid, controller: true },
      ],
    },
    spec: { volume: name, index, role, node },
  };
};
