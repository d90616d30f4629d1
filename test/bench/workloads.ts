/** What is measured: every workload is run on every system. */
export interface Workload {
  readonly id: string;
  readonly title: string;
  readonly mode: 'read' | 'write' | 'mix' | 'flush';
  readonly blockBytes: number;
  /** Commands in flight, of each session. */
  readonly depth: number;
  readonly sessions: number;
}

const KIB = 1024;
const MIB = 1024 * KIB;

const VERBS = {
  read: 'read',
  write: 'write',
  mix: '50/50',
  flush: 'write, flush after 8',
} as const;

function workload(
  mode: Workload['mode'],
  blockBytes: number,
  depth: number,
  sessions = 1,
): Workload {
  const size = blockBytes < MIB ? `${blockBytes / KIB}k` : `${blockBytes / MIB}m`;
  const sizeTitle = blockBytes < MIB ? `${blockBytes / KIB} KiB` : `${blockBytes / MIB} MiB`;
  const more = sessions === 1 ? '' : `-sessions${sessions}`;
  const moreTitle = sessions === 1 ? '' : `, ${sessions} sessions`;
  return {
    id: `${size}-${mode}-depth${depth}${more}`,
    title: `${sizeTitle} ${VERBS[mode]}, depth ${depth}${moreTitle}`,
    mode,
    blockBytes,
    depth,
    sessions,
  };
}

export const WORKLOADS: readonly Workload[] = [
  workload('read', 4 * KIB, 1),
  workload('write', 4 * KIB, 1),
  workload('mix', 4 * KIB, 1),
  workload('read', 4 * KIB, 32),
  workload('write', 4 * KIB, 32),
  workload('mix', 4 * KIB, 32),
  workload('read', 64 * KIB, 8),
  workload('write', 64 * KIB, 8),
  workload('read', 64 * KIB, 32),
  workload('write', 64 * KIB, 32),
  workload('read', MIB, 8),
  workload('write', MIB, 8),
  // tgt's rdwr store answers SYNCHRONIZE CACHE with fdatasync, as a replica does.
  workload('flush', 4 * KIB, 8),
  workload('mix', 4 * KIB, 32, 2),
  workload('mix', 4 * KIB, 32, 4),
];
