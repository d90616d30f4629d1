import { resource, type KubeObject } from '../../kubernetes/objects.ts';
import { parseQuantity } from '../../kubernetes/quantity.ts';
import type { VolumeAccess } from '../orchestrator.ts';
import type { ResourceRequirements } from './settings.ts';

/** On a record: keeps it until everything of its volume is gone, data included. */
export const RECORD_FINALIZER = 'openebs.io/volume';

export const GROUP = 'openebs.io/v1alpha1';

/** One copy, or the witness. */
export interface VolumeMember {
  /** A UUID; its directory keeps it too. */
  readonly id: string;
  /** In the names of its Deployment, its host and its directory; no other member has it. */
  readonly index: number;
  readonly role: 'data' | 'witness';
  /** Where its directory is, so it stays. */
  readonly node: string;
  /**
   * Leaving: it shall be a member no more, and votes until the target does without it. Departed:
   * only its directory is left, and that goes too. Else it is a member.
   */
  readonly state?: 'Leaving' | 'Departed';
}

/** A term of allowed topologies, as in a StorageClass: every label has one of its values. */
export interface TopologyTerm {
  readonly matchLabelExpressions: readonly {
    readonly key: string;
    readonly values: readonly string[];
  }[];
}

/**
 * The snapshot that a volume is a copy of. Each data member is made on its node from the member of
 * the same index of the origin, whose layers it shares.
 */
export interface VolumeResourceSource {
  readonly volume: string;
  /** Its name at the origin's target. */
  readonly snapshot: string;
  /** It was made for this volume only, and goes when that is whole. */
  readonly temporary: boolean;
  /** The snapshot's, as the origin's target says; missing: it was not asked yet. */
  readonly layer?: number;
  /**
   * Pending: the snapshot is to be made or found. Copying: the members are made by Jobs. Copied:
   * all of them are whole, so that the volume can start. Done: nothing of it is left at the origin.
   */
  readonly stage: 'Pending' | 'Copying' | 'Copied' | 'Done';
}

/** Whether the volume has what it begins with. Before that nothing of it may start. */
export const isCopied = ({ spec }: VolumeResource): boolean =>
  spec.source === undefined || spec.source.stage === 'Copied' || spec.source.stage === 'Done';

export interface SecretReference {
  readonly namespace: string;
  readonly name: string;
}

/** The record of a volume: what was asked for. Everything else is made from it. */
export interface VolumeResourceSpec {
  /** A quantity, exact. */
  readonly size: string;
  readonly replicas: number;
  readonly pool: string;
  readonly topologyKey: string;
  readonly monitored: boolean;
  /** Initiators log in by CHAP, with a Secret that was made for the volume. */
  readonly chap?: boolean;
  /** Initiators log in by CHAP, with what this Secret says now. Not together with `chap`. */
  readonly chapSecretRef?: SecretReference;
  /** Copied in a second to replicas that come back, at most: a quantity. Missing: no limit. */
  readonly rebuildRate?: string;
  /** Where the first consumer runs; missing: nobody has said. */
  readonly selectedNode?: string;
  /** Nodes that fit one of these; missing: all of the pool. */
  readonly allowedTopologies?: readonly TopologyTerm[];
  /** Who keeps the volume; written by the provisioner. */
  readonly members: readonly VolumeMember[];
  /** A copy on a node that is lost this long is made anew elsewhere. Missing: the settings'. */
  readonly replaceAfterMinutes?: number;
  readonly resources?: {
    readonly target?: ResourceRequirements;
    readonly replica?: ResourceRequirements;
  };
  /** Besides those of the settings. */
  readonly tolerations?: readonly object[];
  /** What the volume begins with; missing: it begins empty. */
  readonly source?: VolumeResourceSource;
  /** Whose volume this is; a volume without a claim of this uid and without a PV is collected. */
  readonly claimRef?: {
    readonly namespace: string;
    readonly name: string;
    readonly uid: string;
    readonly storageClass?: string;
  };
}

/** Whether it was made for initiators that prove who they are. */
export const isProtected = ({ spec }: VolumeResource): boolean =>
  spec.chap === true || spec.chapSecretRef !== undefined;

/** Bytes in a second; null: no limit. */
export const rebuildRateOf = ({ rebuildRate }: VolumeResourceSpec): number | null =>
  rebuildRate === undefined ? null : Number(parseQuantity(rebuildRate));

export interface VolumeCondition {
  readonly type: 'Ready' | 'InSync' | 'AsRecorded';
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
  readonly lastTransitionTime: string;
}

/** The names only. `secretVersion`: the resource version of the Secret whose content counts. */
export interface ChapInForce {
  readonly user: string;
  readonly mutualUser?: string;
  readonly secretVersion?: string;
}

export type VolumePhase = 'Pending' | 'Healthy' | 'Degraded' | 'Unavailable' | 'Deleting';

export interface VolumeResourceStatus {
  readonly phase: VolumePhase;
  readonly portal?: string;
  readonly iqn?: string;
  /** What initiators see, a quantity; missing: the target has not said. */
  readonly size?: string;
  /** Copies that hold everything, as far as the target has said. */
  readonly inSync?: number;
  /** What initiators get, since when, why it is not healthy, and what happens next. */
  readonly access?: VolumeAccess;
  readonly since?: string;
  readonly reason?: string;
  readonly next?: string;
  /** Initiators that are logged in. */
  readonly sessions?: number;
  /** Who may log in; missing: everybody, or the target has not said. */
  readonly chap?: ChapInForce;
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

export type ReplicaMode = 'InSync' | 'Syncing' | 'Offline' | 'Unknown';

/** What is told of one member; made from the volume's record, and gone with it. */
export interface ReplicaResource extends KubeObject {
  readonly spec: {
    readonly volume: string;
    readonly index: number;
    readonly role: 'data' | 'witness';
    readonly node: string;
  };
  readonly status?: ReplicaResourceStatus;
}

export interface ReplicaResourceStatus {
  readonly mode: ReplicaMode;
  readonly address: string;
  /** Of a copy that is filled: `40%`. */
  readonly progress?: string;
  readonly message?: string;
}

export const REPLICA_RESOURCES = resource<ReplicaResource>(
  GROUP,
  'OpenEBSReplica',
  'openebsreplicas',
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
