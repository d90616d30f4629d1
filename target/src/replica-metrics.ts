import type { MetricRegistry } from '@openebs/replica/runtime';
import type { Replicator } from './replicator/index.ts';

type Assembly = Replicator['assembly'];
type Progress = NonNullable<ReturnType<Assembly['resyncOf']>>;

const MODES = ['in-sync', 'syncing', 'offline'] as const;

/** Of each replica that the target talks to now; they come and go. */
export const observeMembers = (registry: MetricRegistry, assembly: Assembly): void => {
  registry.observedEach({
    name: 'openebs_replica_mode',
    help: '1 for the mode that the replica is in.',
    type: 'gauge',
    read: () =>
      assembly.members.flatMap((member) =>
        MODES.map((mode) => ({
          labels: { replica: member.address, mode },
          value: assembly.modeOf(member) === mode ? 1 : 0,
        })),
      ),
  });
  for (const [name, help, valueOf] of REBUILD) {
    registry.observedEach({
      name: `openebs_rebuild_${name}`,
      help: `${help}; absent when there is no resynchronisation.`,
      type: 'gauge',
      read: () =>
        assembly.members.flatMap((member) => {
          const progress = assembly.resyncOf(member);
          const value = progress === null ? null : valueOf(progress, performance.now());
          return value === null ? [] : [{ labels: { replica: member.address }, value }];
        }),
    });
  }
};

const REBUILD: readonly (readonly [
  string,
  string,
  (progress: Progress, nowMs: number) => number | null,
])[] = [
  ['progress_ratio', 'How much of the volume was compared', ({ ratio }) => ratio],
  ['copied_bytes', 'Bytes copied to the replica so far', ({ copiedBytes }) => copiedBytes],
  ['bytes_per_second', 'Bytes copied in a second', (progress, now) => progress.bytesPerSecond(now)],
  ['eta_seconds', 'Estimated time to the end', (progress, now) => progress.etaSeconds(now)],
];
