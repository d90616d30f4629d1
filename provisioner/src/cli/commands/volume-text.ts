import type {
  ChapView,
  DamagedVolume,
  IntegrityView,
  ReplicaView,
  VolumeView,
} from '../../orchestrator/orchestrator.ts';
import { formatSize } from '../../size.ts';
import { capacityOf, fields, paintStatus, table } from '../output.ts';
import { progressBar } from '../progress.ts';
import { durationText, wrap } from '../../wrap.ts';

const WIDTH = 80;

export function volumeTable(
  volumes: readonly VolumeView[],
  options: { wide: boolean; color: boolean },
): string {
  if (volumes.length === 0) return 'No volumes yet. Next: mayactl volume create NAME --size 1GiB\n';
  const header = [
    'Namespace',
    'Name',
    'Status',
    'Type',
    'Capacity',
    'StorageClass',
    'Access Mode',
    ...(options.wide ? ['Replicas', 'Portal', 'IQN', 'Clone Of'] : []),
  ];
  const rows = volumes.map((volume) => [
    // Namespaces and storage classes are a cluster's; a host has none.
    volume.claim?.namespace ?? '-',
    volume.name,
    paintStatus(volume.status, options.color),
    volume.source === null ? 'replicated' : 'clone',
    capacityOf(volume),
    volume.claim?.storageClass ?? '-',
    'RWO',
    ...(options.wide
      ? [
          `${volume.inSyncCount}/${volume.replicaCount}`,
          volume.portal,
          volume.iqn,
          sourceText(volume) ?? '-',
        ]
      : []),
  ]);
  return table(header, rows);
}

export function damagedText(damaged: readonly DamagedVolume[]): string {
  return damaged
    .map(({ name, file, reason, next }) => {
      const advice = wrap(`next: ${next}`, { width: WIDTH, indent: '  ' });
      return `warning: volume ${name} is not served: ${file}: ${reason}\n${advice}\n`;
    })
    .join('');
}

export function volumeText(
  volume: VolumeView,
  options: { wide: boolean; color: boolean; ids?: boolean },
): string {
  const { color } = options;
  const head = fields([
    ['Name', volume.name],
    ...(volume.claim === null
      ? []
      : [['Claim', `${volume.claim.namespace}/${volume.claim.name}`] as const]),
    ['IQN', volume.iqn],
    ['Portal', volume.portal],
    ['Size', sizeText(volume)],
    ...(volume.source === null ? [] : [['Clone Of', sourceText(volume) ?? ''] as const]),
    ['Status', paintStatus(volume.status, color)],
    ...(volume.access === 'read-write' ? [] : [['Access', ACCESS[volume.access]] as const]),
    ['Since', sinceText(volume.since)],
    ...(volume.reason === null ? [] : [['Reason', hanging(volume.reason)] as const]),
    ...(volume.next === null ? [] : [['Next', hanging(volume.next)] as const]),
    ...(volume.refusal === null ? [] : [['Not Changed', hanging(volume.refusal)] as const]),
    ['Controller Status', paintStatus(volume.controller.status, color)],
    ['Controller Node', volume.controller.node],
    ['Replica Count', `${volume.replicaCount} (${volume.inSyncCount} in sync)`],
    ...(volume.chap === null ? [] : [['CHAP', chapText(volume.chap)] as const]),
    ...(volume.rebuildBytesPerSecond === null
      ? []
      : [['Rebuild Limit', `${formatSize(volume.rebuildBytesPerSecond)}/s`] as const]),
    ['Sessions', sessionsText(volume)],
    ['Integrity', hanging(integrityText(volume))],
    ...(options.wide || options.ids === true
      ? ([
          ['Id', volume.id],
          ['Created', volume.createdAt],
        ] as const)
      : []),
  ]);
  const header = [
    'NAME',
    'ACCESSMODE',
    'STATUS',
    'IP',
    'NODE',
    'REBUILD',
    ...(options.wide ? ['DIRECTORY'] : []),
  ];
  const rows = volume.replicas.map((replica) => [
    replicaName(replica),
    accessMode(replica),
    paintStatus(replica.status, color),
    // Replicas of one host are reached through unix sockets.
    replica.address.startsWith('unix:') ? 'local' : replica.address,
    replica.node,
    replica.resync === null ? '-' : `${Math.floor(replica.resync.percent)}%`,
    ...(options.wide ? [replica.directory] : []),
  ]);
  const errors = volume.replicas
    .filter(({ mode, lastError }) => mode !== 'in-sync' && lastError !== null)
    .map(({ lastError, ...replica }) =>
      wrap(`${replicaName(replica)}: ${lastError ?? ''}`, { width: WIDTH, indent: '  ' }),
    );
  const tail = errors.length === 0 ? '' : `\nLast errors:\n${errors.join('\n')}\n`;
  return `${head}\n${table(header, rows)}${rebuilds(volume)}${tail}`;
}

function chapText({ user, mutualUser }: ChapView): string {
  return mutualUser === null ? user : `${user}, and mutual as ${mutualUser}`;
}

/** `V@S`; null where it is no clone. */
export function sourceText({ source }: VolumeView): string | null {
  return source === null ? null : `${source.volume}@${source.snapshot}`;
}

const ACCESS = {
  'read-write': 'reads and writes',
  'read-only': 'reads only, writes are refused',
  waiting: 'reads and writes wait',
  none: 'none',
} as const;

/** `2026-01-01 00:00:00 UTC`. */
function timeText(time: string): string {
  return `${time.slice(0, 19).replace('T', ' ')} UTC`;
}

/** `2026-01-01 00:00:00 UTC (5 min)`. */
function sinceText(since: string): string {
  const seconds = Math.max(0, (Date.now() - Date.parse(since)) / 1000);
  return `${timeText(since)} (${durationText(seconds)})`;
}

/** As everywhere else it is called. */
export function replicaName({ role, index }: Pick<ReplicaView, 'role' | 'index'>): string {
  return role === 'witness' ? 'witness' : `replica-${index}`;
}

/** A bar for each replica that is being filled. */
function rebuilds({ replicas }: VolumeView): string {
  const lines = replicas
    .filter(({ resync }) => resync !== null)
    .map((replica) => {
      const bar = progressBar(replica.resync?.percent ?? 0);
      return `  ${replicaName(replica)} ${bar} ${rebuildText(replica)}\n`;
    });
  return lines.length === 0 ? '' : `\nRebuild:\n${lines.join('')}`;
}

function sizeText({ size, sizeText: words, servedSize }: VolumeView): string {
  if (servedSize === null) return `${words} (${size} bytes)`;
  return `${words} (${size} bytes); ${formatSize(servedSize)} until it has grown`;
}

/** Under the label, behind the colon. */
function hanging(text: string): string {
  return wrap(text, { width: WIDTH - 20, indent: ' '.repeat(20) }).trimStart();
}

/** Whether what is stored is what was written, and when all of it was last read. */
function integrityText({ integrity }: VolumeView): string {
  if (integrity === null) return 'unknown';
  const { checksumErrors, repairedBlocks, divergentBlocks, lostBlocks, lastProblem } = integrity;
  const found = [
    ...(lostBlocks > 0 ? [`${lostBlocks} blocks are LOST: no replica has a good copy`] : []),
    ...(divergentBlocks > 0 ? [`replicas differed in ${divergentBlocks} blocks`] : []),
    ...(checksumErrors > 0
      ? [`${checksumErrors} bad blocks found, ${repairedBlocks} repaired`]
      : []),
  ];
  const problem = found.length > 0 && lastProblem !== null ? [`last: ${lastProblem}`] : [];
  return [...found, ...problem, scrubText(integrity)].join('; ');
}

function scrubText({ scrub }: IntegrityView): string {
  if (scrub === null) return 'never scrubbed';
  if (scrub.state === 'running') {
    const eta = scrub.etaSeconds === null ? '' : `, ${scrub.etaSeconds} s left`;
    return `scrub runs, ${scrub.percent}%${eta}`;
  }
  if (scrub.state === 'waiting') return `scrub waits at ${scrub.percent}%`;
  const { lastCompletedAt, nextAt } = scrub;
  const last =
    lastCompletedAt === null ? 'not scrubbed yet' : `scrubbed ${timeText(lastCompletedAt)}`;
  return nextAt === null ? last : `${last}, next ${timeText(nextAt)}`;
}

/** The original's words: RW holds everything, WO takes writes while it is rebuilt. */
function accessMode({ mode, role, leaving }: ReplicaView): string {
  if (leaving) return 'leaves';
  if (role === 'witness') return mode === 'in-sync' ? 'vote' : '-';
  switch (mode) {
    case 'in-sync':
      return 'RW';
    case 'syncing':
      return 'WO';
    case 'offline':
      return '-';
  }
}

export function rebuildText({ resync }: ReplicaView): string {
  if (resync === null) return '-';
  const rate = resync.bytesPerSecond === null ? '' : `, ${formatSize(resync.bytesPerSecond)}/s`;
  const eta = resync.etaSeconds === null ? '' : `, ${Math.ceil(resync.etaSeconds)} s left`;
  return `${Math.floor(resync.percent)}%${rate}${eta}`;
}

function sessionsText({ sessions }: VolumeView): string {
  if (sessions.length === 0) return 'none';
  const counts = new Map<string, number>();
  for (const { initiator } of sessions) counts.set(initiator, (counts.get(initiator) ?? 0) + 1);
  return [...counts].map(([name, n]) => (n === 1 ? name : `${name} (${n})`)).join(', ');
}
