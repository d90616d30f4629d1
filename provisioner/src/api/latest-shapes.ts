import type { SnapshotView, VolumeStats, VolumeView } from '../orchestrator/orchestrator.ts';

/**
 * What maya-apiserver 0.6 told, so that scripts written for it go on working: `Volume` and
 * `VolumeList` of its package types/v1, and of 0.7's CASVolume the fields of `spec`. The names and
 * their spelling are its own.
 */
export function latestVolume(view: VolumeView): object {
  const copies = view.replicas.filter(({ role, leaving }) => role === 'data' && !leaving);
  const [host = ''] = view.portal.split(':');
  const controllerStatus = view.controller.status === 'running' ? 'Running' : 'Pending';
  const replicaStatus = copies
    .map(({ status }) => (status === 'running' ? 'Running' : 'Pending'))
    .join(',');
  // Replicas of one host have no address of their own.
  const replicaIps = copies
    .map(({ address }) => (address.startsWith('unix:') ? host : (address.split(':')[0] ?? 'nil')))
    .join(',');
  const capacity = `${view.size}B`;
  const count = String(view.replicaCount);
  return {
    metadata: {
      name: view.name,
      creationTimestamp: view.createdAt,
      labels: {},
      annotations: {
        'vsm.openebs.io/iqn': view.iqn,
        'vsm.openebs.io/targetportals': view.portal,
        'vsm.openebs.io/cluster-ips': host,
        'vsm.openebs.io/controller-ips': host,
        'vsm.openebs.io/controller-status': controllerStatus,
        'vsm.openebs.io/replica-count': count,
        'vsm.openebs.io/replica-ips': replicaIps,
        'vsm.openebs.io/replica-status': replicaStatus,
        'vsm.openebs.io/volume-size': capacity,
        'openebs.io/jiva-iqn': view.iqn,
        'openebs.io/jiva-target-portal': view.portal,
        'openebs.io/jiva-controller-cluster-ip': host,
        'openebs.io/jiva-controller-ips': host,
        'openebs.io/jiva-controller-status': controllerStatus,
        'openebs.io/jiva-replica-count': count,
        'openebs.io/jiva-replica-ips': replicaIps,
        'openebs.io/jiva-replica-status': replicaStatus,
        'openebs.io/capacity': capacity,
        'openebs.io/storage-pool': 'default',
        'openebs.io/volume-type': 'jiva',
        'openebs.io/volume-monitor': 'false',
      },
    },
    spec: {
      capacity,
      iqn: view.iqn,
      targetPortal: view.portal,
      targetIP: host,
      targetPort: view.portal.split(':').at(-1) ?? '',
      replicas: count,
      casType: 'jiva',
    },
    status: {
      Phase: PHASES[view.status],
      Message: view.reason ?? '',
      Reason: view.status === 'healthy' ? '' : view.status,
    },
  };
}

const PHASES = {
  healthy: 'Running',
  degraded: 'Running',
  unavailable: 'Failed',
  starting: 'Pending',
  deleting: 'Released',
} as const;

/** The original's sectors; its block counts are of these. */
const SECTOR_BYTES = 4096;

/** Of the original's volume controller: numbers as text, times in nanoseconds. */
export function latestStats(stats: VolumeStats, view: VolumeView): object {
  const text = (value: number): string => String(Math.round(value));
  const blocks = (bytes: number | null): string => text((bytes ?? 0) / SECTOR_BYTES);
  return {
    Name: view.name,
    iqn: view.iqn,
    ReplicaCounter: view.inSyncCount,
    ReadIOPS: text(stats.reads),
    TotalReadTime: text(stats.readSeconds * 1e9),
    TotalReadBlockCount: blocks(stats.readBytes),
    TotalReadBytes: text(stats.readBytes),
    WriteIOPS: text(stats.writes),
    TotalWriteTime: text(stats.writeSeconds * 1e9),
    TotatWriteBlockCount: blocks(stats.writeBytes),
    TotalWriteBytes: text(stats.writeBytes),
    UsedLogicalBlocks: blocks(stats.logicalBytes),
    UsedBlocks: blocks(stats.usedBytes),
    SectorSize: text(SECTOR_BYTES),
    Size: text(stats.size),
    UpTime: stats.uptimeSeconds,
  };
}

/** By the names of the files that the original kept snapshots in; the oldest first. */
export function latestSnapshots(snapshots: readonly SnapshotView[]): object {
  const names = snapshots.map(({ name }) => `volume-snap-${name}.img`);
  return Object.fromEntries(
    snapshots.map(({ createdAt, freedBytes }, i) => {
      const name = names[i] ?? '';
      return [
        name,
        {
          name,
          parent: names[i - 1] ?? '',
          children: [names[i + 1] ?? 'volume-head-000.img'],
          removed: false,
          usercreated: true,
          created: createdAt,
          size: String(freedBytes ?? 0),
        },
      ];
    }),
  );
}
