import { resource, type KubeObject } from '../../kubernetes/objects.ts';

/** On a record: keeps it until everything of its volume is gone, data included. */
export const RECORD_FINALIZER = 'openebs.io/volume';

export const GROUP = 'openebs.io/v1alpha1';

/** The record of a volume: what was asked for. Everything else is made from it. */
export interface VolumeResourceSpec {
  /** A quantity, exact. */
  readonly size: string;
  readonly replicas: number;
  readonly pool: string;
  readonly topologyKey: string;
  readonly monitored: boolean;
  /** Where the first consumer runs; null: nobody has said. */
  readonly selectedNode?: string;
  /** Where each copy is: its data are there, so it stays. */
  readonly placements: readonly { readonly index: number; readonly node: string }[];
  /** Whose volume this is; a volume without a claim of this uid and without a PV is collected. */
  readonly claimRef?: {
    readonly namespace: string;
    readonly name: string;
    readonly uid: string;
  };
}

export interface VolumeCondition {
  readonly type: 'Ready';
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
  readonly lastTransitionTime: string;
}

export interface VolumeResourceStatus {
  readonly phase: 'Pending' | 'Healthy' | 'Degraded' | 'Unavailable' | 'Deleting';
  readonly portal?: string;
  readonly iqn?: string;
  readonly observedGeneration?: number;
  readonly conditions?: readonly VolumeCondition[];
}

export interface VolumeResource extends KubeObject {
  readonly spec: VolumeResourceSpec;
  readonly status?: VolumeResourceStatus;
}

export const VOLUME_RESOURCES = resource<VolumeResource>(
  GROUP,
  'OpenEBSVolume',
  'openebsvolumes',
  true,
);

/** A directory of nodes in which replicas are kept. */
export interface StoragePool extends KubeObject {
  readonly spec: {
    readonly path: string;
    readonly nodeSelector?: Readonly<Record<string, string>>;
  };
}

export const STORAGE_POOLS = resource<StoragePool>(GROUP, 'StoragePool', 'storagepools', false);
