import { Random } from '../support/random.ts';
import type { ClusterOptions } from './cluster.ts';
import type { VolumeTask } from './cloning.ts';
import type { Order } from './initiator.ts';
import type { Task } from './management.ts';
import { MAINTENANCE_MS } from './machine.ts';
import type { Scenario } from './scenarios.ts';
import type { RotPlace } from './rot.ts';
import { SCENARIOS } from './scenarios.ts';
import { SIZE_BYTES, type Script } from './scene.ts';

/** What can go wrong. `replica` and `initiator` are counted modulo how many there are. */
export type Fault =
  | { readonly kind: 'kill' | 'lose-power' | 'stop'; readonly replica: number; readonly ms: number }
  /** The machine stops in the middle of an event, before its nth change of the disk from now. */
  | {
      readonly kind: 'die-writing';
      readonly replica: number;
      readonly changes: number;
      readonly power: boolean;
      readonly ms: number;
    }
  | { readonly kind: 'pause'; readonly replica: number; readonly ms: number }
  | { readonly kind: 'blackout'; readonly replicas: number; readonly ms: number }
  | { readonly kind: 'cut'; readonly replica: number; readonly noticed: number }
  | {
      readonly kind: 'partition';
      readonly replica: number;
      readonly direction: 'both' | 'to-replica' | 'from-replica';
      readonly ms: number;
    }
  | {
      readonly kind: 'slow-disk';
      readonly replica: number;
      readonly slowMs: number;
      readonly ms: number;
    }
  | { readonly kind: 'full-disk'; readonly replica: number; readonly ms: number }
  | {
      readonly kind: 'io-error';
      readonly replica: number;
      readonly file: string;
      readonly operation: 'read' | 'write' | 'sync' | 'punch';
    }
  | RotPlace
  | { readonly kind: 'kill-target' | 'stop-target'; readonly power: boolean }
  /** At once, where the orchestrator would take its time; nothing when one lives. */
  | { readonly kind: 'start-target' }
  | { readonly kind: 'pause-target' | 'pause-first-target'; readonly ms: number }
  /**
   * A second target starts. The first keeps this one replica, which the second lacks, and lacks the
   * others; what those have answered already may arrive for a while.
   */
  | {
      readonly kind: 'split';
      readonly replica: number;
      readonly lateMs: number;
      /** What happens to the others: only they notice a cut. */
      readonly blow: 'none' | 'restart' | 'cut';
      readonly ms: number;
    }
  /** A second target starts while the first still lives, perhaps cut off from its replicas. */
  | { readonly kind: 'second-target'; readonly isolated: number; readonly ms: number };

/** `volume` is counted modulo as well: 0 is the first that is left. */
export type Action = { readonly at: number; readonly volume?: number } & (
  | {
      readonly kind: 'order';
      readonly initiator: number;
      readonly order: Order;
      /** Only while the initiator is with the target that was started last, or with another one. */
      readonly to?: 'newest' | 'older';
    }
  | { readonly kind: 'task'; readonly task: Task | VolumeTask }
  | Fault
);

/** A run, but for the chances of network and disks: those come from the seed as well. */
export interface Plan {
  readonly seed: number;
  readonly profile: Profile;
  readonly cluster: ClusterOptions;
  readonly initiators: number;
  readonly actions: readonly Action[];
  /** At the end all machines lose power after a flush, and everything must still be there. */
  readonly finalBlackout: boolean;
  /** What rots when everything else is over, before the last scrub. */
  readonly lateRot: readonly RotPlace[];
}

const BY_CHANCE = ['calm', 'crash', 'network', 'disk', 'targets', 'power', 'mixed'] as const;
type ByChance = (typeof BY_CHANCE)[number];
export type Profile = ByChance | Scenario;
const SCENARIO_NAMES = Object.keys(SCENARIOS) as Scenario[];
export const PROFILES: readonly Profile[] = [...BY_CHANCE, ...SCENARIO_NAMES];
/** One seed of so many is of a scenario. */
const SCENARIO_EVERY = 4;

const SECTOR = 512;
const MIB = 1024 * 1024;
/** Few sectors, so that operations meet: over the edges of blocks, extents and regions. */
const AREA_SECTORS = 48;
export const AREAS = [0, MIB - 8192, 4 * MIB - 8192].map((at) => at / SECTOR);
/** Only written, by atomic writes, and read as a whole: one stamp. Over the edge of two extents. */
const ATOMIC_AREA = (2 * MIB - 3 * 4096) / SECTOR;
const ATOMIC_RANGE = { sector: ATOMIC_AREA, count: (6 * 4096) / SECTOR } as const;
export const ATOMIC_WRITE: Order = { operation: 'write-atomic', ...ATOMIC_RANGE };
export const ATOMIC_READ: Order = { operation: 'read', ...ATOMIC_RANGE };
/** Over the first end of the volume: there when it has grown. */
export const GROWN_AREA = (6 * MIB - 8192) / SECTOR;

/** Chances by profile, relative to each other. */
const FAULTS: Readonly<Record<ByChance, Readonly<Partial<Record<Fault['kind'], number>>>>> = {
  calm: { kill: 1, cut: 1, 'kill-target': 1, 'stop-target': 1, stop: 1 },
  crash: {
    kill: 4,
    'lose-power': 3,
    'die-writing': 3,
    stop: 1,
    'kill-target': 3,
    'stop-target': 1,
  },
  network: { cut: 3, partition: 6, pause: 3, kill: 1, 'kill-target': 1, 'second-target': 1 },
  disk: { 'slow-disk': 2, 'full-disk': 2, 'io-error': 5, rot: 5, kill: 1, 'lose-power': 1 },
  targets: {
    'second-target': 5,
    'kill-target': 3,
    'pause-target': 4,
    partition: 2,
    kill: 1,
    stop: 1,
  },
  power: { 'lose-power': 4, blackout: 4, 'die-writing': 4, 'kill-target': 2, kill: 1 },
  mixed: {
    kill: 2,
    'lose-power': 2,
    'die-writing': 2,
    stop: 1,
    pause: 2,
    blackout: 1,
    cut: 2,
    partition: 3,
    'slow-disk': 1,
    'full-disk': 1,
    'io-error': 2,
    rot: 2,
    'kill-target': 2,
    'stop-target': 1,
    'pause-target': 2,
    'second-target': 2,
  },
};

/** Replicas that store data, relative chances. */
const SIZES = [1, 2, 2, 3, 3, 3, 3, 3, 4, 5];

/** What a seed stands for: the profile too, where none is asked for. */
export const planOf = (seed: number, wanted?: Profile): Plan => {
  const random = new Random(seed);
  const chance = random.pick(BY_CHANCE);
  const scenario = SCENARIO_NAMES[Math.floor(seed / SCENARIO_EVERY) % SCENARIO_NAMES.length]!;
  const profile = wanted ?? (seed % SCENARIO_EVERY === SCENARIO_EVERY - 1 ? scenario : chance);
  const script = isScenario(profile)
    ? SCENARIOS[profile](random, fault)
    : byChance(random, profile);
  return { seed, profile, ...script };
};

const isScenario = (profile: Profile): profile is Scenario => profile in SCENARIOS;

/**
 * Operations come in bursts, so that several are under way; faults mostly
 * come with a burst. The length follows from the number of bursts: 4 to 12, with 20 to 2,500 ms
 * from one to the next, so that most of a run is busy and some of it is longer than a lease or a
 * stall.
 */
const byChance = (random: Random, profile: ByChance): Script => {
  const dataReplicas = random.pick(SIZES);
  const initiators = random.between(1, 3);
  const actions: Action[] = [];
  const bursts = random.between(4, 12);
  let at = random.below(50);
  for (let burst = 0; burst < bursts; burst++) {
    const orders = random.between(2, 24);
    const spreadMs = random.pick([2, 10, 40]);
    for (let count = 0; count < orders; count++) {
      const initiator = random.below(initiators);
      actions.push({
        kind: 'order',
        at: at + random.below(spreadMs * 10) / 10,
        initiator,
        order: order(random),
      });
    }
    for (let faults = random.pick([0, 1, 1, 1, 2, 3]); faults > 0; faults--) {
      actions.push({ at: at + random.below(spreadMs * 20) / 10, ...fault(random, profile) });
    }
    at += random.pick([20, 60, 200, 200, 800, 2_500]) * (0.5 + random.below(100) / 100);
  }
  actions.sort((a, b) => a.at - b.at);
  const script = {
    lateRot: [],
    cluster: {
      dataReplicas,
      witness: dataReplicas % 2 === 0,
      sizeBytes: SIZE_BYTES,
      holdMs: random.pick([500, 5_000, 30_000]),
      graceMs: random.pick([0, 200, 2_000]),
      maintenanceMs: MAINTENANCE_MS,
      scrubBytesPerSecond: null,
    },
    initiators,
    actions,
    finalBlackout: random.chance(profile === 'power' ? 0.6 : 0.25),
  };
  // Drawn last, so that with it fixed the other choices of a seed stay what they were.
  const maintenanceMs = random.pick([MAINTENANCE_MS, 500, 50, 20]);
  return { ...script, cluster: { ...script.cluster, maintenanceMs } };
};

export const order = (random: Random, areas: readonly number[] = AREAS): Order => {
  const chance = random.below(100);
  if (chance < 3) return { operation: 'flush', sector: 0, count: 0 };
  if (chance < 6) return chance < 5 ? ATOMIC_WRITE : ATOMIC_READ;
  const operation = chance < 42 ? 'read' : chance < 50 ? 'unmap' : 'write';
  const area = random.pick(areas);
  if (random.chance(0.4)) {
    // Whole blocks.
    const blocks = random.between(1, 3);
    const first = random.below(AREA_SECTORS / 8 - blocks + 1);
    return { operation, sector: area + first * 8, count: blocks * 8 };
  }
  const count = random.chance(0.6) ? random.between(1, 3) : random.between(1, AREA_SECTORS);
  return { operation, sector: area + random.below(AREA_SECTORS - count + 1), count };
};

const FILES = ['000001.img', '000001.meta', 'activity', 'superblock'] as const;

const fault = (random: Random, profile: ByChance): Fault => {
  const kind = pickWeighted(random, FAULTS[profile]);
  const replica = random.below(8);
  const ms = random.pick([5, 50, 300, 1_500, 6_000, 14_000]) * (0.5 + random.below(100) / 100);
  switch (kind) {
    case 'kill':
    case 'lose-power':
    case 'stop':
      return { kind, replica, ms: Math.min(ms, 6_000) };
    case 'die-writing':
      return { kind, replica, changes: random.below(12), power: random.chance(0.7), ms: ms / 4 };
    case 'pause':
      return { kind, replica, ms };
    case 'blackout':
      return { kind, replicas: random.between(1, 31), ms: ms / 4 };
    case 'cut':
      return { kind, replica, noticed: random.below(4) };
    case 'partition':
      return { kind, replica, direction: random.pick(['both', 'to-replica', 'from-replica']), ms };
    case 'slow-disk':
      return { kind, replica, slowMs: random.pick([5, 100, 3_000, 15_000]), ms };
    case 'full-disk':
      return { kind, replica, ms };
    case 'io-error': {
      const file = random.pick([...FILES, '000001.img', '000001.img']);
      const operation = random.pick(['read', 'write', 'sync', 'punch'] as const);
      return { kind, replica, file, operation };
    }
    case 'rot':
    case 'rot-page':
      return { kind, replica, sector: random.pick(AREAS) + random.below(AREA_SECTORS) };
    case 'rot-layer':
    case 'rot-layer-page':
    case 'blank-layer-page': {
      const sector = random.pick(AREAS) + random.below(AREA_SECTORS);
      return { kind, replica, sector, layer: random.below(8) };
    }
    case 'kill-target':
    case 'stop-target':
      return { kind, power: random.chance(0.3) };
    case 'start-target':
      return { kind };
    case 'pause-target':
    case 'pause-first-target':
      return { kind, ms };
    case 'split': {
      const blow = random.pick(['none', 'restart', 'cut'] as const);
      return { kind, replica, lateMs: 0, blow, ms };
    }
    case 'second-target':
      return { kind, isolated: random.below(3), ms: Math.max(ms, 300) };
  }
};

const pickWeighted = <T extends string>(
  random: Random,
  weights: Readonly<Partial<Record<T, number>>>,
): T => {
  const entries = Object.entries(weights) as [T, number][];
  let left = random.below(entries.reduce((sum, [, weight]) => sum + weight, 0));
  for (const [kind, weight] of entries) {
    if (left < weight) return kind;
    left -= weight;
  }
  throw new RangeError('no weights');
};
