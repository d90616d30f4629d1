import type { Random } from '../support/random.ts';

/** What is struck: the target, or a replica (or witness) by its index. */
export type Part = 'target' | number;

/** A second strike in the same round, while a replica that came back is being resynchronised. */
export type Again = 'the returning replica' | 'another replica' | 'the target' | 'everything';

/**
 * What one round does to a volume. The signal is SIGKILL or, to see that an orderly stop loses
 * nothing either, SIGTERM.
 */
export interface Blow {
  readonly signal: 'SIGKILL' | 'SIGTERM';
  /** In the order in which they are struck. */
  readonly parts: readonly Part[];
  /** All at the same moment, or one after the other with up to so long between them. */
  readonly spreadMs: number;
  /** Only where one replica is struck and the target lives: then it is resynchronised. */
  readonly again: Again | null;
}

/** How far apart processes of one round die when not all at once. Milliseconds. */
const SPREAD_MS = 60;
const AGAIN: readonly Again[] = [
  'the returning replica',
  'another replica',
  'the target',
  'everything',
];

export const blow = (parts: readonly Part[], more: Partial<Blow> = {}): Blow => ({
  signal: 'SIGKILL',
  parts,
  spreadMs: 0,
  again: null,
  ...more,
});

export function describeBlow({ signal, parts, spreadMs, again }: Blow): string {
  const names = parts.map((part) => (part === 'target' ? part : `replica ${part}`));
  const spread = spreadMs > 0 ? ', one after the other' : '';
  return `${signal} to ${names.join(', ')}${spread}${again === null ? '' : `, then to ${again}`}`;
}

/** How many copies of the data there are, and how many processes that only vote. */
export interface Shape {
  readonly replicas: number;
  readonly witnesses: number;
}

/** Each kind at least once, whatever the seed. */
export function everyKindOfBlow(shape: Shape): Blow[] {
  const all = everyPart(shape);
  return [
    blow(['target']),
    ...all.slice(1).map((part) => blow([part])),
    blow(all),
    blow(all.slice(1)),
    blow(all, { spreadMs: SPREAD_MS }),
    blow(['target'], { signal: 'SIGTERM' }),
    blow([1], { signal: 'SIGTERM' }),
    blow(all, { signal: 'SIGTERM' }),
    ...AGAIN.map((again) => blow([0], { again })),
  ];
}

export function randomBlow(random: Random, shape: Shape): Blow {
  const signal = random.chance(0.15) ? 'SIGTERM' : 'SIGKILL';
  const all = shuffled(random, everyPart(shape));
  const others = all.filter((part) => part !== 'target');
  const spreadMs = random.chance(0.5) ? SPREAD_MS : 0;
  switch (random.below(8)) {
    case 0:
      return blow(['target'], { signal });
    case 1:
      return blow([others[0]!], { signal });
    case 2:
    case 3:
      // A witness has nothing to resynchronise.
      return blow([random.below(shape.replicas)], { again: random.pick(AGAIN) });
    case 4:
    case 5:
      // The target and some of the others.
      return blow(shuffled(random, ['target', ...others.slice(random.below(others.length))]), {
        signal,
        spreadMs,
      });
    case 6:
      return blow(others.slice(0, random.between(2, others.length)), { signal, spreadMs });
    default:
      return blow(all, { signal, spreadMs });
  }
}

export function shuffled<T>(random: Random, values: readonly T[]): T[] {
  const result = [...values];
  for (let at = result.length - 1; at > 0; at--) {
    const other = random.below(at + 1);
    [result[at], result[other]] = [result[other]!, result[at]!];
  }
  return result;
}

function everyPart({ replicas, witnesses }: Shape): Part[] {
  return ['target', ...Array.from({ length: replicas + witnesses }, (_, index) => index)];
}
