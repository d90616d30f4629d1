import type { Address, ControlServer, Logger, MetricRegistry } from '@openebs/replica/runtime';
import { startControlServer } from '@openebs/replica/runtime';
import type { ConditionLog } from './condition-log.ts';
import { describePace, targetActions } from './control-actions.ts';
import type { TargetFacts } from './facts.ts';
import type { Member, Replicator } from './replicator/index.ts';
import { settingsActions } from './settings-actions.ts';
import { describeSettings } from './settings.ts';
import { describeSnapshots, snapshotActions } from './snapshot-actions.ts';

const describeMember = ({ assembly }: Replicator, member: Member, log: ConditionLog) => {
  const nowMs = performance.now();
  const resync = assembly.resyncOf(member);
  const mode = assembly.modeOf(member);
  return {
    id: member.id,
    address: member.address,
    role: member.identity?.role ?? 'data',
    mode,
    since: log.memberSince(member),
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

/** Null while they are not known: the portal is closed until then. */
const describedSettings = ({ settings: { settings } }: TargetFacts) =>
  settings === null ? null : describeSettings(settings);

export const describeTarget = (facts: TargetFacts, log: ConditionLog) => {
  const { replicator, statistics } = facts;
  const { read, write, unmap, flush } = statistics;
  return {
    volume: facts.volume,
    volumeId: facts.volumeId,
    iqn: facts.iqn,
    portals: facts.portals(),
    settings: describedSettings(facts),
    sizeBytes: facts.sizeBytes(),
    ...log.now(),
    epoch: replicator?.assembly.epoch ?? 0,
    record: replicator?.assembly.record ?? null,
    replicas:
      replicator?.assembly.members.map((member) => describeMember(replicator, member, log)) ?? [],
    rebuild: replicator === null ? null : describePace(replicator),
    sessions: (facts.server()?.sessions() ?? []).map((session) => ({
      ...session,
      initiator: session.initiatorName,
    })),
    io: {
      // Counters begin with the process; rates are differences over its own time.
      uptimeSeconds: process.uptime(),
      reads: read.operations,
      readBytes: read.bytes,
      readSeconds: read.seconds.sum,
      writes: write.operations,
      writeBytes: write.bytes,
      writeSeconds: write.seconds.sum,
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
  readonly log: ConditionLog;
}): Promise<ControlServer> => {
  const { address, token, logger, metrics, facts, log } = options;
  return startControlServer({
    address,
    token,
    logger,
    metrics,
    notReady: () => {
      if (facts.stopping()) return 'the target stops';
      const { state, reason } = log.now();
      return state === 'healthy' || state === 'degraded' ? null : (reason ?? state);
    },
    routes: {
      '/v1/status': () => describeTarget(facts, log),
      '/v1/settings': () => describedSettings(facts),
      '/v1/snapshots': () => describeSnapshots(facts),
    },
    actions: {
      ...(facts.replicator === null ? {} : targetActions(facts.replicator, facts.scrub)),
      ...settingsActions(facts.settings),
      ...snapshotActions(facts),
    },
  });
};
