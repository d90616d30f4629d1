/**
 * A Volume on replicas: see replicator.ts for the way of an operation, assembly.ts for the way of a
 * member.
 */
export type { Environment } from './environment.ts';
export { LayerError, type LayerErrorCode } from './layer-error.ts';
export { snapshotsOf } from './layer-tree.ts';
export type { Link, LinkEvents } from './link.ts';
export type { Member } from './member.ts';
export { majorityOf } from './membership.ts';
export { nodeEnvironment, parseReplicaAddress } from './node-environment.ts';
export type { ReplicatorOptions } from './replicator-options.ts';
export { Replicator } from './replicator.ts';
export { ChangeRefused } from './roster.ts';
export { Scrub, type ScrubStatus } from './scrub.ts';
export { createStatistics, type VolumeStatistics } from './statistics.ts';
