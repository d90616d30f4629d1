import type { IscsiServer } from './iscsi/index.ts';
import type { Replicator, Scrub, VolumeStatistics } from './replicator/index.ts';
import type { SettingsKeeper } from './settings.ts';

/** What the control API and the metrics of one target look at. */
export interface TargetFacts {
  readonly volume: string;
  readonly volumeId: string;
  readonly iqn: string;
  readonly sizeBytes: () => number;
  readonly version: string;
  readonly statistics: VolumeStatistics;
  /** Null: the null store of benchmarks. */
  readonly replicator: Replicator | null;
  readonly scrub: Scrub | null;
  readonly settings: SettingsKeeper;
  /** What is there so far: the portals open when the volume can be used. */
  readonly portals: () => readonly string[];
  readonly server: () => IscsiServer | null;
  readonly stopping: () => boolean;
}
