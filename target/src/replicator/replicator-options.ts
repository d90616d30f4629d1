import type { SlabPool } from '@openebs/replica/runtime';
import type { Environment } from './environment.ts';
import type { VolumeStatistics } from './statistics.ts';

export interface ReplicatorOptions {
  readonly volumeId: string;
  readonly sizeBytes: number;
  /** host:port, unix:/path or dir:/path of each replica. */
  readonly replicas: readonly string[];
  readonly environment: Environment;
  readonly statistics: VolumeStatistics;
  readonly pool: SlabPool;
  /** How long I/O is held while no majority of the voters is there. */
  readonly holdMs?: number;
  /** How long an activation waits for in-sync members that are absent. */
  readonly graceMs?: number;
}

export const DEFAULT_HOLD_MS = 30_000;
export const DEFAULT_GRACE_MS = 5_000;
