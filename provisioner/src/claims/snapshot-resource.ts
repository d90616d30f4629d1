import { resource, type KubeObject } from '../kubernetes/objects.ts';
import { GROUP } from '../orchestrator/kubernetes/volume-resource.ts';

/** On a snapshot: keeps it until the volume has it no more. */
export const SNAPSHOT_FINALIZER = 'openebs.io/snapshot';

/** What a claim held at one moment; claims name it in their `dataSourceRef`. */
export interface SnapshotResource extends KubeObject {
  readonly spec: {
    /** A claim in the same namespace, bound to a volume of ours. */
    readonly claim: string;
  };
  readonly status?: SnapshotStatus;
}

export interface SnapshotStatus {
  /** Whether clones can be made of it. */
  readonly ready: boolean;
  /** The volume that has it, written before it is made; missing: nothing was made. */
  readonly volume?: string;
  /** The least size of a clone, a quantity. */
  readonly size?: string;
  /** When, as the volume's target says. */
  readonly created?: string;
  readonly conditions: readonly {
    readonly type: 'Ready';
    readonly status: 'True' | 'False';
    readonly reason: string;
    readonly message: string;
    readonly lastTransitionTime: string;
  }[];
}

export const SNAPSHOTS = resource<SnapshotResource>(
  GROUP,
  'OpenEBSSnapshot',
  'openebssnapshots',
  true,
);

/** What the snapshot is called at the volume's target, the same on every attempt. */
export const targetNameOf = ({ metadata }: SnapshotResource): string =>
  `snapshot-${metadata.uid ?? ''}`;

export const reasonOf = ({ status }: SnapshotResource): string =>
  status?.conditions[0]?.message ?? 'it was not looked at yet';
