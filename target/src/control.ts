import type { Address, ControlServer, Logger, MetricRegistry } from '@openebs/replica/runtime';
import { startControlServer } from '@openebs/replica/runtime';
import { describePace, targetActions } from './control-actions.ts';
import type { IscsiServer } from './iscsi/index.ts';
import type { Member, Replicator, Scrub, VolumeStatistics } from './replicator/index.ts';
import { describeSnapshots, snapshotActions } from './snapshot-actions.ts';

export type VolumeState = 'healthy' | 'degraded' | 'unavailable' | 'starting';

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
  /** What is there so far: the portals open when the volume can be used. */
  readonly portals: () => readonly string[];
  readonly server: () => IscsiServer | null;
  readonly stopping: () => boolean;
}

export const volumeState = ({ replicator, server }: TargetFacts): VolumeState => {
  if (server() === null) return 'starting';
  if (replicator === null) return 'healthy';
  const { assembly } = replicator;
  if (!assembly.hasServed) return 'starting';
  if (!replicator.isOpen || !replicator.ready || replicator.isFull) return 'unavailable';
  return assembly.members.every((member) => assembly.modeOf(member) === 'in-sync')
    ? 'healthy'
    : 'degraded';
};

/** Why the volume is not healthy and what happens next, in words; null when it is. */
const reason = (facts: TargetFacts): string | null => {
  const { replicator } = facts;
  if (facts.stopping()) return 'the target stops';
  if (replicator === null) return null;
  const { assembly } = replicator;
  if (assembly.phase === 'fenced') return 'another target serves the volume';
  if (replicator.isFull) {
    return 'the last in-sync replica has no space: reads go on, writes fail; free space on its file system';
  }
  if (!replicator.isOpen) return `waiting for ${assembly.waitingFor}`;
  const missing = assembly.members.filter((member) => assembly.modeOf(member) !== 'in-sync');
  if (missing.length === 0) return null;
  return missing
    .map((member) => {
      const resync = assembly.resyncOf(member);
      if (resync !== null) return `${member.address} is resynchronised (${resync.percent} %)`;
      return `${member.address} is ${assembly.modeOf(member)}: ${member.lastError ?? 'not connected yet'}`;
    })
    .join('; ');
};

const describeMember = ({ assembly }: Replicator, member: Member, nowMs: number) => {
  const resync = assembly.resyncOf(member);
  const mode = assembly.modeOf(member);
  return {
    id: member.id,
    address: member.address,
    role: member.identity?.role ?? 'data',
    mode,
    lastError: mode === 'in-sync' ? null : member.lastError,
    ackedSeq: member.ackedSeq,
    resync:
      resync === null
        ? null
        : {
            percent: resync.percent,
            copiedBytes: resync.copiedBytes,
            bytesPerSecond: resync.bytesPerSecond(nowMs),
            etaSeconds: resync.etaSeconds(nowMs),
          },
  };
};

export const describeTarget = (facts: TargetFacts) => {
  const { replicator, statistics } = facts;
  const { read, write, unmap, flush } = statistics;
  const nowMs = performance.now();
  return {
    volume: facts.volume,
    volumeId: facts.volumeId,
    iqn: facts.iqn,
    portals: facts.portals(),
    sizeBytes: facts.sizeBytes(),
    state: volumeState(facts),
    reason: reason(facts),
    epoch: replicator?.assembly.epoch ?? 0,
    record: replicator?.assembly.record ?? null,
    replicas:
      replicator?.assembly.members.map((member) => describeMember(replicator, member, nowMs)) ?? [],
    rebuild: replicator === null ? null : describePace(replicator),
    sessions: (facts.server()?.sessions() ?? []).map((session) => ({
      ...session,
      initiator: session.initiatorName,
    })),
    io: {
      reads: read.operations,
      readBytes: read.bytes,
      writes: write.operations,
      writeBytes: write.bytes,
      unmaps: unmap.operations,
      flushes: flush.operations,
      errors: read.errors + write.errors + unmap.errors + flush.errors,
      checksumErrors: statistics.checksumErrors,
      repairedBlocks: statistics.repairedBlocks,
      inFlight: replicator?.operationsInFlight ?? 0,
      inFlightBytes: replicator?.bytesInFlight ?? 0,
    },
    integrity: {
      checksumErrors: statistics.checksumErrors,
      repairedBlocks: statistics.repairedBlocks,
      divergentBlocks: statistics.divergentBlocks,
      lostBlocks: replicator?.repairs.lostBlocks ?? 0,
      lastProblem: statistics.lastProblem,
      scrub: facts.scrub?.status ?? null,
    },
    version: facts.version,
  };
};

export const startTargetControl = (options: {
  readonly address: Address;
  readonly token: string | null;
  readonly logger: Logger;
  readonly metrics: MetricRegistry;
  readonly facts: TargetFacts;
}): Promise<ControlServer> => {
  const { address, token, logger, metrics, facts } = options;
  return startControlServer({
    address,
    token,
    logger,
    metrics,
    notReady: () => {
      const state = volumeState(facts);
      if (facts.stopping()) return 'the target stops';
      if (state === 'healthy' || state === 'degraded') return null;
      return reason(facts) ?? state;
    },
    routes: {
      '/v1/status': () => describeTarget(facts),
      '/v1/snapshots': () => describeSnapshots(facts),
    },
    actions: {
      ...(facts.replicator === null ? {} : targetActions(facts.replicator, facts.scrub)),
      ...snapshotActions(facts),
    },
  });
};
