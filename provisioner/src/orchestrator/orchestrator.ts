/**
 * What the API server, mayactl and everything else above sees of the place where volumes run. One
 * folder per implementation; each keeps its own state of record (JSON documents here, custom
 * resources in a cluster).
 */
export type VolumeStatus = 'healthy' | 'degraded' | 'unavailable' | 'starting' | 'deleting';

/**
 * What initiators get: everything; reads, while writes are refused; an answer later; or nothing.
 */
export type VolumeAccess = 'read-write' | 'read-only' | 'waiting' | 'none';

export interface VolumeSpec {
  readonly name: string;
  readonly sizeBytes: number;
  /** Copies of the data; an even number gets a witness besides. */
  readonly replicas: number;
  /** Whoever reaches the portal may log in where there is none. */
  readonly chap?: ChapSettings | null;
}

/** What initiators have to prove, and what is proved to them. */
export interface ChapSettings {
  readonly user: string;
  readonly secret: string;
  readonly mutualUser: string | null;
  readonly mutualSecret: string | null;
}

/** Never with the secrets. */
export type ChapView = Pick<ChapSettings, 'user' | 'mutualUser'>;

/** A volume that begins as another one was. What is left out is as it is there. */
export interface CloneSpec {
  readonly name: string;
  readonly source: {
    readonly volume: string;
    /** Null: as it is now; a snapshot is taken first. */
    readonly snapshot: string | null;
  };
  readonly sizeBytes: number | null;
  readonly replicas: number | null;
  readonly chap: ChapSettings | null;
}

/** What a clone was made of; that volume and its snapshot may be gone by now. */
export interface SourceView {
  readonly volume: string;
  readonly volumeId: string;
  readonly snapshot: string;
}

export interface ResyncView {
  readonly percent: number;
  readonly bytesPerSecond: number | null;
  readonly etaSeconds: number | null;
}

export interface ReplicaView {
  readonly id: string;
  /** From 1 in the order of creation; the witness has the last one. */
  readonly index: number;
  readonly role: 'data' | 'witness';
  /** It shall be a member no more, and goes when the volume does without it. */
  readonly leaving: boolean;
  /** What the target says: whether it holds every acknowledged write. */
  readonly mode: 'in-sync' | 'syncing' | 'offline';
  /** When the mode became what it is; null while the target does not answer. */
  readonly since: string | null;
  /** What the process does. */
  readonly status: 'running' | 'starting' | 'restarting' | 'stopped';
  readonly node: string;
  readonly address: string;
  readonly directory: string;
  readonly lastError: string | null;
  readonly resync: ResyncView | null;
}

/** How far the scrub of a volume is, and what it or the last one found. */
export interface ScrubView {
  readonly state: 'idle' | 'running' | 'waiting';
  readonly percent: number;
  readonly bytesPerSecond: number;
  readonly etaSeconds: number | null;
  readonly startedAt: string | null;
  readonly badBlocks: number;
  readonly divergentBlocks: number;
  readonly lastCompletedAt: string | null;
  readonly nextAt: string | null;
}

/** Whether what is stored is what was written. Counts are since the target was started. */
export interface IntegrityView {
  /** Copies of blocks that did not have their checksum. */
  readonly checksumErrors: number;
  readonly repairedBlocks: number;
  /** Replicas differed although each copy had its checksum. */
  readonly divergentBlocks: number;
  /** Blocks of which no replica has a good copy, as far as is known. */
  readonly lostBlocks: number;
  readonly lastProblem: string | null;
  readonly scrub: ScrubView | null;
}

export interface SessionView {
  readonly initiator: string;
  readonly address: string | null;
}

export interface ClaimView {
  readonly namespace: string;
  readonly name: string;
  /** Null: it was not recorded. */
  readonly storageClass: string | null;
}

export interface VolumeView {
  readonly name: string;
  readonly id: string;
  readonly iqn: string;
  /** host:port for initiators. */
  readonly portal: string;
  readonly lun: number;
  /** Bytes. */
  readonly size: number;
  readonly sizeText: string;
  /** What initiators see, in bytes, while it differs from the size; else null. */
  readonly servedSize: number | null;
  /** Why the volume is not yet what was asked for; it is tried again. Null: nothing is refused. */
  readonly refusal: string | null;
  readonly status: VolumeStatus;
  readonly access: VolumeAccess;
  /** When status and access became what they are. */
  readonly since: string;
  /** Why it is not healthy, in words. */
  readonly reason: string | null;
  /** What happens next by itself, or what somebody has to do. */
  readonly next: string | null;
  readonly controller: { readonly status: ReplicaView['status']; readonly node: string };
  /** Copies that it shall have; `replicas` may be about to follow. */
  readonly replicaCount: number;
  readonly inSyncCount: number;
  readonly replicas: readonly ReplicaView[];
  readonly sessions: readonly SessionView[];
  /** Null while the target does not answer. */
  readonly integrity: IntegrityView | null;
  /** Null: none is demanded, or the target does not say. */
  readonly chap: ChapView | null;
  /** Copied to replicas that come back, at most; null: no limit, or the target does not say. */
  readonly rebuildBytesPerSecond: number | null;
  /** Null where it is no clone. */
  readonly source: SourceView | null;
  /** In a cluster, whose volume it is; null where it was made for no claim. */
  readonly claim: ClaimView | null;
  readonly createdAt: string;
  /** Counts changes of what was asked for; the entity tag. */
  readonly generation: number;
}

/**
 * What initiators asked for, counted since the target's process began: two samples give a rate,
 * over the difference of their `uptimeSeconds`.
 */
export interface VolumeStats {
  readonly volume: string;
  readonly at: string;
  /** Of the target's process; smaller than before: it was started anew, and counts from zero. */
  readonly uptimeSeconds: number;
  readonly reads: number;
  readonly readBytes: number;
  /** Sum of the times from a read to its answer. */
  readonly readSeconds: number;
  readonly writes: number;
  readonly writeBytes: number;
  readonly writeSeconds: number;
  readonly unmaps: number;
  readonly flushes: number;
  readonly errors: number;
  /** Bytes of the volume. */
  readonly size: number;
  /**
   * Of them, those that hold data as initiators see it, without what only snapshots keep: at most
   * that much. Null while no replica tells.
   */
  readonly logicalBytes: number | null;
  /** Space that one replica takes for data and snapshots; the largest, where they differ. */
  readonly usedBytes: number | null;
}

export interface NodeView {
  readonly name: string;
  readonly status: 'ready' | 'not-ready';
}

export interface PoolView {
  readonly name: string;
  readonly node: string;
  readonly path: string;
  /** Null where it is not known. */
  readonly capacityBytes: number | null;
  readonly freeBytes: number | null;
}

/**
 * A volume whose record cannot be read: not served, never touched, and told until somebody repairs
 * it.
 */
export interface DamagedVolume {
  readonly name: string;
  readonly file: string;
  readonly reason: string;
  readonly next: string;
}

export type VolumeEventKind =
  | 'created'
  | 'integrity'
  | 'snapshot'
  | 'status'
  | 'process-started'
  | 'process-ended'
  | 'portal-moved'
  | 'replica-added'
  | 'replica-removed'
  | 'resized'
  | 'operation-failed'
  | 'deleted';

export interface VolumeEvent {
  readonly kind: VolumeEventKind;
  readonly severity: 'info' | 'warning';
  readonly volume: string;
  readonly message: string;
  readonly status: VolumeStatus | null;
}

export type VolumeChange =
  | { readonly kind: 'resize'; readonly sizeBytes: number }
  | { readonly kind: 'chap'; readonly chap: ChapSettings | null }
  /** Null: no limit. */
  | { readonly kind: 'rebuild-rate'; readonly bytesPerSecond: number | null }
  | { readonly kind: 'add-replica' }
  /** `replica`: its index, its name or its id. */
  | { readonly kind: 'remove-replica'; readonly replica: string };

export interface DaemonMetrics {
  /** What the daemon is: volume, and replica where it is one. */
  readonly labels: Readonly<Record<string, string>>;
  /** Names for label values that the daemon does not know better. */
  readonly names: Readonly<Record<string, string>>;
  readonly text: string;
}

export interface SnapshotView {
  readonly name: string;
  readonly volume: string;
  readonly createdAt: string;
  /** Of the volume at that time, the least that a clone has; null while it is not known. */
  readonly sizeBytes: number | null;
  /**
   * What deleting it would give back on all replicas, nothing while a clone shares it; null while
   * it is not known.
   */
  readonly freedBytes: number | null;
  /** How long I/O waited while it was made; told once. */
  readonly heldMs?: number;
}

export interface RevertView {
  readonly volume: string;
  readonly snapshot: string;
  /** The snapshot that the volume is kept as, as it was before. */
  readonly keptAs: string;
}

export interface Orchestrator {
  readonly kind: 'local' | 'kubernetes';
  /**
   * Records the volume durably and begins to start it. Throws Problem volume-exists, no-space, ...
   */
  createVolume(spec: VolumeSpec, origin: { idempotencyKey: string | null }): Promise<VolumeView>;
  /**
   * As createVolume, with what a snapshot of another volume holds: all of it is there when this
   * resolves, or nothing. Throws Problem volume-not-found, snapshot-not-found, clone-refused ...
   */
  cloneVolume(spec: CloneSpec, origin: { idempotencyKey: string | null }): Promise<VolumeView>;
  /** By name; asks the target when `fresh`. Null: there is none. Throws Problem record-damaged. */
  volume(name: string, options?: { fresh: boolean }): Promise<VolumeView | null>;
  /** Sorted by name, as last observed. */
  volumes(): readonly VolumeView[];
  damaged(): readonly DamagedVolume[];
  /** Throws Problem volume-not-found, record-damaged, volume-not-ready. */
  volumeStats(name: string): Promise<VolumeStats>;
  /** The volume that was created with this key, also before a restart. */
  volumeByIdempotencyKey(key: string): VolumeView | null;
  /**
   * Marks the volume as deleted, durably; `gone` resolves when its processes and data are. Survives
   * a restart.
   */
  deleteVolume(name: string): Promise<{ readonly gone: Promise<void> }>;
  /**
   * Recorded durably when it resolves; the volume follows while it serves. Throws Problem
   * volume-not-found, replica-not-found, replica-refused, size-invalid ...
   */
  changeVolume(name: string, change: VolumeChange): Promise<VolumeView>;
  /** Ends the process of a replica at once, as a failure would; it is started again. */
  killReplica(name: string, replica: string): Promise<VolumeView>;
  /**
   * Asks for a scrub; gives what was known of the last one. Throws Problem volume-not-found,
   * volume-not-ready.
   */
  scrubVolume(name: string): Promise<ScrubView>;
  /** The oldest first. Like all that follows about snapshots, throws Problem where it cannot. */
  snapshots(volume: string): Promise<readonly SnapshotView[]>;
  createSnapshot(volume: string, name: string): Promise<SnapshotView>;
  deleteSnapshot(volume: string, name: string): Promise<void>;
  revertVolume(volume: string, snapshot: string, options: { force: boolean }): Promise<RevertView>;
  nodes(): Promise<readonly NodeView[]>;
  pools(): Promise<readonly PoolView[]>;
  /** Prometheus text of each daemon. */
  scrape(): Promise<readonly DaemonMetrics[]>;
  onEvent(listener: (event: VolumeEvent) => void): () => void;
  stop(): Promise<void>;
}
