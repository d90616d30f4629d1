import { setTimeout as sleep } from 'node:timers/promises';
import { residentBytes } from '../support/process-usage.ts';
import { ReplicatedVolume } from '../support/replicated-volume.ts';
import { compileClient, runClient } from '../bench/client.ts';

const MIB = 1024 * 1024;
/** A daemon that rests, before the load and after it. */
export const IDLE_CAP_BYTES = 60 * MIB;
/** Any sample under these loads. docs/status.md says what they are made of. */
export const LOADED_CAP_BYTES = { target: 160 * MIB, replica: 96 * MIB } as const;
/** What the collector's moods add to the median of a quarter. */
export const GROWTH_CAP_BYTES = 8 * MIB;

const SAMPLE_MS = 1_000;
const SETTLE_MS = 5_000;
/** Daemons look every 15 s whether they rest, and have to rest between two looks. */
const REST_MS = 45_000;
const TURN_SECONDS = 5;
const QUARTERS = 4;

/** In turn: what is small, what is large, and what has many sessions. */
const LOADS = [
  { mode: 'mix', blockBytes: 4096, depth: 32, sessions: 2 },
  { mode: 'write', blockBytes: 65536, depth: 8, sessions: 1 },
  { mode: 'read', blockBytes: 1048576, depth: 8, sessions: 1 },
  { mode: 'write', blockBytes: 1048576, depth: 8, sessions: 1 },
  { mode: 'mix', blockBytes: 512, depth: 32, sessions: 4 },
] as const;

export interface DaemonMemory {
  readonly name: string;
  readonly idleBytes: number;
  /** Of each quarter. */
  readonly medianBytes: readonly number[];
  readonly peakBytes: number;
  readonly restBytes: number;
  /** What is above its bound, in words. */
  readonly problems: readonly string[];
}

export interface SoakOptions {
  readonly directory: string;
  /** Of load. */
  readonly seconds: number;
  readonly workingSetBytes: number;
  readonly say: (line: string) => void;
}

const mib = (bytes: number): string => (bytes / MIB).toFixed(1);

/** The volume's daemons, the target first. */
export async function soak(options: SoakOptions): Promise<DaemonMemory[]> {
  compileClient();
  const { directory, workingSetBytes } = options;
  const volume = await ReplicatedVolume.start({
    directory,
    sizeBytes: workingSetBytes,
    replicas: 3,
    kind: 'unix',
  });
  try {
    await sleep(SETTLE_MS);
    const pids = volume.pids();
    const idle = pids.map(residentBytes);
    const quarters: number[][][] = [];
    for (let quarter = 0; quarter < QUARTERS; quarter++) {
      quarters.push(await load(volume, pids, quarter, options));
    }
    const rest = await untilSmall(pids);
    return pids.map((_, index) =>
      judge(
        index === 0 ? 'target' : `replica ${index}`,
        idle[index]!,
        quarters.map((samples) => samples.map((sample) => sample[index]!)),
        rest[index]!,
      ),
    );
  } finally {
    await volume.stop();
  }
}

/** One quarter of the load; returns samples of all daemons. */
async function load(
  volume: ReplicatedVolume,
  pids: readonly number[],
  quarter: number,
  { seconds, workingSetBytes, say }: SoakOptions,
): Promise<number[][]> {
  const samples: number[][] = [];
  const timer = setInterval(() => samples.push(pids.map(residentBytes)), SAMPLE_MS);
  const rounds = Math.ceil(seconds / QUARTERS / LOADS.length / TURN_SECONDS);
  for (let turn = 0; turn < rounds * LOADS.length; turn++) {
    const shape = LOADS[turn % LOADS.length]!;
    const result = await runClient({
      port: volume.portal.port,
      target: volume.iqn,
      lun: 0,
      ...shape,
      seconds: seconds / QUARTERS / LOADS.length / rounds,
      seed: quarter * 1000 + turn,
      workingSetBytes,
    });
    const now = samples.at(-1)?.map(mib).join(' ') ?? '';
    say(`${shape.mode} ${shape.blockBytes}: ${result.iops.toFixed(0)} op/s; MiB: ${now}`);
  }
  clearInterval(timer);
  return samples;
}

/** What the daemons come to when nobody uses them, as soon as all are below the bound. */
async function untilSmall(pids: readonly number[]): Promise<number[]> {
  const deadline = performance.now() + REST_MS;
  for (;;) {
    const now = pids.map(residentBytes);
    if (now.every((bytes) => bytes <= IDLE_CAP_BYTES) || performance.now() > deadline) return now;
    await sleep(SAMPLE_MS);
  }
}

export function judge(
  name: string,
  idleBytes: number,
  quarters: readonly (readonly number[])[],
  restBytes: number,
): DaemonMemory {
  const medianBytes = quarters.map(median);
  const peakBytes = Math.max(...quarters.flat());
  const cap = name === 'target' ? LOADED_CAP_BYTES.target : LOADED_CAP_BYTES.replica;
  const [second, last] = [medianBytes[1]!, medianBytes[QUARTERS - 1]!];
  const problems = [
    ...(idleBytes > IDLE_CAP_BYTES ? ['too large before the load'] : []),
    ...(peakBytes > cap ? [`above ${mib(cap)} MiB under load`] : []),
    ...(last - second > GROWTH_CAP_BYTES ? ['it grows'] : []),
    ...(restBytes > IDLE_CAP_BYTES ? ['too large after the load'] : []),
  ];
  return { name, idleBytes, medianBytes, peakBytes, restBytes, problems };
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

export const formatDaemon = (daemon: DaemonMemory): string => {
  const { name, idleBytes, medianBytes, peakBytes, restBytes, problems } = daemon;
  const problem = problems.length === 0 ? '' : `: ${problems.join(', ')}`;
  return (
    `${name}: idle ${mib(idleBytes)} MiB, medians of quarters ${medianBytes.map(mib).join(' ')}, ` +
    `peak ${mib(peakBytes)}, at rest afterwards ${mib(restBytes)}${problem}`
  );
};
