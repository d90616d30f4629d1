/**
 * The vocabulary that replicas and targets share. Numbers are exact integers below 2^53: epochs
 * count targets, sequence numbers count writes of one epoch, offsets stay below 64 TiB (2^46).
 */
declare const brand: unique symbol;
type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** Counts activations of targets; a replica that promised one refuses all lower ones. */
export type Epoch = Brand<number, 'Epoch'>;
/**
 * Counts the modifying operations of one epoch, starting at 1, the same number on every replica.
 */
export type Seq = Brand<number, 'Seq'>;
/** Names one activation of one target; random, below 2^53. */
export type Session = Brand<number, 'Session'>;

export const epoch = (value: number): Epoch => value as Epoch;
export const seq = (value: number): Seq => value as Seq;
export const session = (value: number): Session => value as Session;

/** The last modifying operation that reached an extent, or a replica. */
export interface Version {
  readonly epoch: Epoch;
  readonly seq: Seq;
}

/** Unit of checksums and of allocation, and the physical block told to initiators. Bytes. */
export const BLOCK_BYTES = 4096;
/** Unit of versions and of resynchronisation. Bytes. */
export const EXTENT_BYTES = 1024 * 1024;
/** Unit of the activity log. Bytes. */
export const REGION_BYTES = 4 * 1024 * 1024;
/** Logical block told to initiators: every offset and length is a multiple. Bytes. */
export const SECTOR_BYTES = 512;
/** Largest atomic write; it is of whole blocks. Bytes. */
export const MAX_ATOMIC_BYTES = 128 * 1024;
/** Largest volume: 64 TiB, sparse. */
export const MAX_VOLUME_BYTES = 64 * 1024 ** 4;

/** What a copy tells of atomic writes: those that it holds wholly or not at all, whatever stops. */
export interface AtomicWrites {
  readonly maxBytes: number;
  /** Which blocks the last one wrote together; null before the first. */
  readonly last: { readonly offsetBytes: number; readonly lengthBytes: number } | null;
}

/** Who may vote and who holds every acknowledged write. Kept durable by every voter. */
export interface MembershipRecord {
  readonly volumeId: string;
  readonly epoch: Epoch;
  /**
   * Counts changes of the record within and across epochs; the newest record has the highest
   * (epoch, configSeq).
   */
  readonly configSeq: number;
  /** Replica ids that hold every acknowledged write. */
  readonly inSync: readonly string[];
  /** Replica ids (and the witness) whose majority decides. */
  readonly voters: readonly string[];
}

/**
 * `data` stores blocks; `witness` keeps only the superblock (promise, record, documents) and votes.
 */
export type ReplicaRole = 'data' | 'witness';

/**
 * One layer of a volume's blocks. The layers are a tree: a block that a layer does not hold is
 * looked for in its parent, and so on. Exactly one layer is the head, which is written; the others
 * are frozen.
 */
export interface Layer {
  /** Unique in a volume and rising; given by the target. */
  readonly id: number;
  /** Null for the layer below which there is none. */
  readonly parent: number | null;
  /** A frozen layer with a name is a snapshot; the head has none. */
  readonly name: string | null;
  readonly createdAt: string;
  /** False while the layer is filled from another replica. */
  readonly complete: boolean;
}

/** A change of the tree of layers. Each is durable when it is answered, and may be repeated. */
export type LayersChange =
  /** Freezes the head under a name and makes layer `head`, empty, the head on top of it. */
  | {
      readonly change: 'snapshot';
      readonly head: number;
      readonly name: string;
      readonly createdAt: string;
    }
  /** The head `head`, never written, goes; its parent is the head again and loses its name. */
  | { readonly change: 'undo'; readonly head: number }
  /** Freezes the head under a name and makes layer `head`, empty, the head on top of layer `to`. */
  | {
      readonly change: 'revert';
      readonly head: number;
      readonly to: number;
      readonly name: string;
      readonly createdAt: string;
    }
  | { readonly change: 'rename'; readonly layer: number; readonly name: string }
  /** Takes the layer's name; it is merged in the background with the one layer on top of it. */
  | { readonly change: 'delete'; readonly layer: number }
  /** No layer is merged until `resume-merges`, or until the next session begins. */
  | { readonly change: 'pause-merges' | 'resume-merges' }
  /**
   * For a replica that was away: makes the tree exactly this. Layers that it lacks, and its old
   * head where that is frozen now, are not complete until `complete`.
   */
  | { readonly change: 'adopt'; readonly head: number; readonly layers: readonly Layer[] }
  /** The layer holds what it holds on the source. */
  | { readonly change: 'complete'; readonly layer: number };
