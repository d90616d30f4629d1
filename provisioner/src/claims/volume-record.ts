import { formatQuantity } from '../kubernetes/quantity.ts';
import { annotationsOf, labelsOf } from '../orchestrator/kubernetes/names.ts';
import {
  RECORD_FINALIZER,
  VOLUME_RESOURCES,
  type VolumeResource,
} from '../orchestrator/kubernetes/volume-resource.ts';
import type { VolumeRequest } from './claim.ts';

/** The record of the volume that a claim asks for; its members are chosen from it. */
export const volumeRecord = (request: VolumeRequest, namespace: string): VolumeResource => {
  const { parameters, selectedNode, allowedTopologies, chapSecretRef } = request;
  const record: VolumeResource = {
    apiVersion: VOLUME_RESOURCES.apiVersion,
    kind: VOLUME_RESOURCES.kind,
    metadata: { namespace, name: request.name, finalizers: [RECORD_FINALIZER] },
    spec: {
      size: formatQuantity(request.sizeBytes),
      replicas: parameters.replicas,
      pool: parameters.pool,
      topologyKey: parameters.topologyKey,
      monitored: parameters.monitored,
      ...(parameters.chap ? { chap: true } : {}),
      ...(chapSecretRef === null ? {} : { chapSecretRef }),
      ...(selectedNode === null ? {} : { selectedNode }),
      ...(allowedTopologies.length === 0 ? {} : { allowedTopologies }),
      members: [],
      ...request.settings,
      claimRef: { ...request.claim, storageClass: request.className },
    },
  };
  return {
    ...record,
    metadata: {
      ...record.metadata,
      labels: labelsOf(record, 'volume'),
      annotations: annotationsOf(record),
    },
  };
};
