import { iqnOf, ISCSI_PORT } from '../orchestrator/kubernetes/names.ts';
import { formatQuantity } from '../kubernetes/quantity.ts';
import { chapSecretName } from '../orchestrator/kubernetes/chap-secret.ts';
import { isProtected, type VolumeResource } from '../orchestrator/kubernetes/volume-resource.ts';
import type { VolumeRequest } from './claim.ts';
import {
  PROVISIONED_BY,
  PROVISIONER,
  VOLUME_FINALIZER,
  type PersistentVolume,
} from './contract.ts';

const LUN = 0;

/** What the cluster binds to the claim. `portalIp`: in-tree iSCSI dials an address, not a name. */
export const persistentVolume = (
  request: VolumeRequest,
  portalIp: string,
  record: VolumeResource,
): PersistentVolume => {
  const { name, claim, parameters } = request;
  const host = portalIp.includes(':') ? `[${portalIp}]` : portalIp;
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: {
      name,
      annotations: { [PROVISIONED_BY]: PROVISIONER },
      // From the beginning: a volume that goes before this is set would leave its data behind.
      finalizers: request.reclaimPolicy === 'Delete' ? [VOLUME_FINALIZER] : [],
    },
    spec: {
      capacity: { storage: formatQuantity(request.sizeBytes) },
      accessModes: [...request.accessModes],
      persistentVolumeReclaimPolicy: request.reclaimPolicy,
      storageClassName: request.className,
      volumeMode: request.volumeMode,
      ...(request.mountOptions.length === 0 ? {} : { mountOptions: [...request.mountOptions] }),
      claimRef: {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        namespace: claim.namespace,
        name: claim.name,
        uid: claim.uid,
      },
      iscsi: {
        targetPortal: `${host}:${ISCSI_PORT}`,
        iqn: iqnOf(name),
        lun: LUN,
        iscsiInterface: 'default',
        readOnly: false,
        ...chap(record),
        ...(request.volumeMode === 'Filesystem' ? { fsType: parameters.fsType ?? 'ext4' } : {}),
      },
    },
  };
};

/** The Secret that was made is not beside the claim: whoever uses the volume sees none. */
const chap = (record: VolumeResource): object => {
  if (!isProtected(record)) return {};
  const { namespace = '', name } = record.metadata;
  const secretRef = record.spec.chapSecretRef ?? { namespace, name: chapSecretName(name) };
  return { chapAuthDiscovery: true, chapAuthSession: true, secretRef };
};
