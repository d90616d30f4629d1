import { MetricRegistry } from '@openebs/replica/runtime';
import type { ConditionLog } from './condition-log.ts';
import { volumeAccess, volumeState } from './condition.ts';
import type { TargetFacts } from './facts.ts';
import type { IscsiCounters } from './iscsi/index.ts';
import type { Replicator, VolumeStatistics } from './replicator/index.ts';
import { observeMembers } from './replica-metrics.ts';
import { createStatistics } from './replicator/index.ts';

const STATES = ['healthy', 'degraded', 'unavailable', 'starting'] as const;
const ACCESSES = ['read-write', 'read-only', 'waiting', 'none'] as const;

/** The registry of one target, and the statistics that its volume fills. */
export const createTargetMetrics = (
  volume: string,
): { readonly registry: MetricRegistry; readonly statistics: VolumeStatistics } => {
  const registry = new MetricRegistry({ volume });
  const statistics = createStatistics((op) =>
    registry.histogram({
      name: 'openebs_volume_io_seconds',
      help: 'Time from an operation of an initiator to its answer, by kind of operation.',
      labels: { op },
    }),
  );
  return { registry, statistics };
};

export const observeTarget = (
  registry: MetricRegistry,
  facts: TargetFacts,
  log: ConditionLog,
): void => {
  const { statistics, replicator } = facts;
  registry.observed({
    name: 'openebs_volume_size_bytes',
    help: 'Size of the volume as initiators see it.',
    type: 'gauge',
    read: () => facts.sizeBytes(),
  });
  observeCondition(registry, facts, log);
  for (const op of ['read', 'write', 'unmap'] as const) {
    registry.observed({
      name: 'openebs_volume_io_bytes_total',
      help: 'Bytes that operations of initiators have moved.',
      labels: { op },
      type: 'counter',
      read: () => statistics[op].bytes,
    });
  }
  for (const op of ['read', 'write', 'unmap', 'flush'] as const) {
    registry.observed({
      name: 'openebs_volume_io_errors_total',
      help: 'Operations of initiators that were answered with an error.',
      labels: { op },
      type: 'counter',
      read: () => statistics[op].errors,
    });
  }
  if (replicator !== null) observeReplicas(registry, replicator, facts);
  observeIscsi(registry, () => facts.server()?.counters ?? null);
};

const observeCondition = (
  registry: MetricRegistry,
  facts: TargetFacts,
  log: ConditionLog,
): void => {
  for (const state of STATES) {
    registry.observed({
      name: 'openebs_volume_state',
      help: '1 for the state that the volume is in.',
      labels: { state },
      type: 'gauge',
      read: () => (volumeState(facts) === state ? 1 : 0),
    });
  }
  for (const access of ACCESSES) {
    registry.observed({
      name: 'openebs_volume_access',
      help: '1 for what initiators get: everything, reads only, an answer later, or nothing.',
      labels: { access },
      type: 'gauge',
      read: () => (volumeAccess(facts) === access ? 1 : 0),
    });
  }
  registry.observed({
    name: 'openebs_volume_state_since_timestamp_seconds',
    help: 'When state and access became what they are.',
    type: 'gauge',
    read: () => {
      log.note();
      return log.sinceMs / 1000;
    },
  });
};

const observeReplicas = (
  registry: MetricRegistry,
  replicator: Replicator,
  facts: TargetFacts,
): void => {
  const { statistics } = facts;
  const { assembly } = replicator;
  observeMembers(registry, assembly);
  const counters = [
    ['openebs_volume_checksum_errors_total', 'Bad copies met by reads.', 'checksumErrors'],
    [
      'openebs_volume_repaired_blocks_total',
      'Blocks rewritten from a good copy.',
      'repairedBlocks',
    ],
    [
      'openebs_volume_divergent_blocks_total',
      'Blocks in which replicas differed although each copy passed its checksums.',
      'divergentBlocks',
    ],
    ['openebs_rebuild_copied_bytes_total', 'Bytes copied between replicas.', 'resyncedBytes'],
  ] as const;
  for (const [name, help, field] of counters) {
    registry.observed({ name, help, type: 'counter', read: () => statistics[field] });
  }
  observeScrub(registry, replicator, facts);
  registry.observed({
    name: 'openebs_volume_io_in_flight_bytes',
    help: 'Bytes of operations that were not answered yet.',
    type: 'gauge',
    read: () => replicator.bytesInFlight,
  });
  registry.observed({
    name: 'openebs_volume_epoch',
    help: 'How often a target was activated for this volume.',
    type: 'gauge',
    read: () => assembly.epoch,
  });
};

const observeScrub = (
  registry: MetricRegistry,
  { repairs }: Replicator,
  { scrub }: TargetFacts,
): void => {
  registry.observed({
    name: 'openebs_volume_lost_blocks',
    help: 'Blocks of which no replica has a good copy, as far as reads and scrubs have found.',
    type: 'gauge',
    read: () => repairs.lostBlocks,
  });
  registry.observed({
    name: 'openebs_volume_scrub_progress_ratio',
    help: 'How much of the volume the scrub that runs has verified; absent when none does.',
    type: 'gauge',
    read: () => {
      const status = scrub?.status;
      return status === undefined || status.state === 'idle' ? null : status.percent / 100;
    },
  });
  registry.observed({
    name: 'openebs_volume_last_scrub_timestamp_seconds',
    help: 'When the last scrub ended; absent before the first one has.',
    type: 'gauge',
    read: () => {
      const at = scrub?.status.lastCompletedAt ?? null;
      return at === null ? null : Date.parse(at) / 1000;
    },
  });
};

type PlainCounter = Exclude<keyof IscsiCounters, 'loginsFailed'>;

/** Metric name, type, counter, help. */
const ISCSI: readonly (readonly [string, 'counter' | 'gauge', PlainCounter, string])[] = [
  ['connections', 'gauge', 'connections', 'Open connections.'],
  ['sessions', 'gauge', 'sessions', 'Logged-in sessions.'],
  ['connections_accepted_total', 'counter', 'connectionsAccepted', 'Connections accepted.'],
  ['connections_refused_total', 'counter', 'connectionsRefused', 'Connections over the limit.'],
  ['logins_total', 'counter', 'loginsSucceeded', 'Logins that succeeded.'],
  ['pdus_received_total', 'counter', 'pdusIn', 'PDUs received.'],
  ['pdus_sent_total', 'counter', 'pdusOut', 'PDUs sent.'],
  ['received_bytes_total', 'counter', 'bytesIn', 'Bytes received.'],
  ['sent_bytes_total', 'counter', 'bytesOut', 'Bytes sent.'],
  ['commands_total', 'counter', 'commands', 'SCSI commands received.'],
  ['malformed_total', 'counter', 'malformed', 'Protocol errors that ended a connection.'],
  ['digest_errors_total', 'counter', 'digestErrors', 'PDUs with a wrong digest.'],
  ['rejects_total', 'counter', 'rejects', 'PDUs answered with Reject.'],
  ['outside_window_total', 'counter', 'outsideWindow', 'Commands outside of the window.'],
  ['stray_data_out_total', 'counter', 'strayDataOut', 'Data-Out for tasks that are gone.'],
  ['tasks_aborted_total', 'counter', 'tasksAborted', 'Tasks ended by task management.'],
  ['keepalive_timeouts_total', 'counter', 'keepaliveTimeouts', 'Silent initiators dropped.'],
];

const observeIscsi = (registry: MetricRegistry, counters: () => IscsiCounters | null): void => {
  for (const [name, type, field, help] of ISCSI) {
    registry.observed({
      name: `openebs_iscsi_${name}`,
      help,
      type,
      read: () => counters()?.[field] ?? 0,
    });
  }
  registry.observed({
    name: 'openebs_iscsi_logins_failed_total',
    help: 'Logins that were refused or given up.',
    type: 'counter',
    read: () =>
      Object.values(counters()?.loginsFailed ?? {}).reduce((sum, count) => sum + count, 0),
  });
};
