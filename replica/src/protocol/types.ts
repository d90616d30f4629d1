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
/** Largest volume: 64 TiB, sparse. */
export const MAX_VOLUME_BYTES = 64 * 1024 ** 4;

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
 * One snapshot layer; the last of the list is the live head. Until snapshots are made a volume has
 * one.
 */
export interface Layer {
  readonly id: number;
  readonly createdAt: string;
  readonly name: string | null;
}
