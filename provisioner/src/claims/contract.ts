/**
 * The names of the contract between Kubernetes and an external provisioner, as
 * sig-storage-lib-external-provisioner and kubernetes-csi/external-provisioner use them.
 */
import type {
  V1PersistentVolume,
  V1PersistentVolumeClaim,
  V1StorageClass,
} from '@kubernetes/client-node';
import { resource, type KubeObject } from '../kubernetes/objects.ts';

/** What a class names as its provisioner. */
export const PROVISIONER = 'openebs.io/provisioner-iscsi';

/** On a claim: who shall provision it; the second one is what older releases write. */
export const STORAGE_PROVISIONER = 'volume.kubernetes.io/storage-provisioner';
export const STORAGE_PROVISIONER_BETA = 'volume.beta.kubernetes.io/storage-provisioner';
/** On a claim whose class waits for its first consumer: where the scheduler wants the pod. */
export const SELECTED_NODE = 'volume.kubernetes.io/selected-node';
/** On a volume: who has provisioned it. */
export const PROVISIONED_BY = 'pv.kubernetes.io/provisioned-by';
/** On a volume: keeps it until what is behind it is gone. */
export const VOLUME_FINALIZER = 'external-provisioner.volume.kubernetes.io/finalizer';

/** On a claim: how large its file system is, said by who has grown it. */
export const FILE_SYSTEM_SIZE = 'openebs.io/file-system-size';

export const FIELD_OF_CLASS = 'volume.beta.kubernetes.io/storage-class';

/** The package's models are classes with Dates; what goes over the wire is plain, with strings. */
type Plain<T> = T extends Date
  ? string
  : T extends (infer Item)[]
    ? Plain<Item>[]
    : T extends object
      ? { [Key in keyof T]: Plain<T[Key]> }
      : T;

type Object<T> = KubeObject & Plain<Omit<T, 'apiVersion' | 'kind' | 'metadata'>>;

export type Claim = Object<V1PersistentVolumeClaim>;
export type PersistentVolume = Object<V1PersistentVolume>;
export type StorageClass = Object<V1StorageClass>;

export const CLAIMS = resource<Claim>(
  'v1',
  'PersistentVolumeClaim',
  'persistentvolumeclaims',
  true,
);
export const VOLUMES = resource<PersistentVolume>(
  'v1',
  'PersistentVolume',
  'persistentvolumes',
  false,
);
export const CLASSES = resource<StorageClass>(
  'storage.k8s.io/v1',
  'StorageClass',
  'storageclasses',
  false,
);
export {
  CLUSTER_NODES as NODES,
  type ClusterNode as Node,
} from '../orchestrator/kubernetes/cluster-node.ts';

/** The same on every attempt, so that a second one finds what the first one made. */
export const volumeNameOf = (claim: Claim): string => `pvc-${claim.metadata.uid ?? ''}`;

export const isOurVolume = ({ metadata }: PersistentVolume): boolean =>
  metadata.annotations?.[PROVISIONED_BY] === PROVISIONER;

/** The class of a claim; the annotation is what older releases used. Empty: none. */
export const classNameOf = ({ metadata, spec }: Claim): string =>
  metadata.annotations?.[FIELD_OF_CLASS] ?? spec?.storageClassName ?? '';
