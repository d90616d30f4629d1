import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { Part, Shape } from './blow.ts';

/** What a long run has done, in a form from which it goes on and from which docs/ are written. */

/** SIGKILL or SIGTERM. */
export type Strike = 'killed' | 'stopped';

/** How many processes of each sort. */
export interface Struck {
  target: number;
  replica: number;
  witness: number;
}

/** How much of everything one volume has been through. */
export interface Figures {
  rounds: number;
  /** With SIGKILL. */
  readonly killed: Struck;
  /** With SIGTERM. */
  readonly stopped: Struck;
  answered: number;
  unanswered: number;
  refused: number;
  /** The longest that an operation took which was answered with GOOD. Milliseconds. */
  longestMs: number;
}

/** One volume from its making to its end. */
export interface Stint extends Figures {
  readonly number: number;
  readonly kind: string;
  readonly seed: number;
}

export interface Summary {
  readonly seed: number;
  /** Rounds by kind of volume. */
  readonly kinds: Readonly<Record<string, number>>;
  readonly total: Figures;
  /** Of this process and of those that it started, in all runs that went into this. Seconds. */
  readonly processorSeconds: number;
  readonly wallSeconds: number;
  /** What ended a run, if something did: nothing may. */
  readonly violations: readonly string[];
  readonly stints: readonly Stint[];
}

export const noFigures = (): Figures => ({
  rounds: 0,
  killed: { target: 0, replica: 0, witness: 0 },
  stopped: { target: 0, replica: 0, witness: 0 },
  answered: 0,
  unanswered: 0,
  refused: 0,
  longestMs: 0,
});

export const countStruck = (
  figures: Figures,
  strike: Strike,
  { part, shape }: { readonly part: Part; readonly shape: Shape },
): void => {
  if (part === 'target') figures[strike].target++;
  else if (part < shape.replicas) figures[strike].replica++;
  else figures[strike].witness++;
};

export const totalOf = (all: readonly Figures[]): Figures => {
  const total = noFigures();
  for (const each of all) {
    for (const name of ['rounds', 'answered', 'unanswered', 'refused'] as const) {
      total[name] += each[name];
    }
    for (const part of ['target', 'replica', 'witness'] as const) {
      total.killed[part] += each.killed[part];
      total.stopped[part] += each.stopped[part];
    }
    total.longestMs = Math.max(total.longestMs, Math.round(each.longestMs));
  }
  return total;
};

export const roundsByKind = (stints: readonly Stint[]): Record<string, number> => {
  const kinds: Record<string, number> = {};
  for (const { kind, rounds } of stints) kinds[kind] = (kinds[kind] ?? 0) + rounds;
  return kinds;
};

/** Whole or not at all: a run that is killed while it writes can still be gone on with. */
export const writeSummary = (path: string, summary: Summary): void => {
  writeFileSync(`${path}.new`, `${JSON.stringify(summary, null, 2)}\n`);
  renameSync(`${path}.new`, path);
};

/** Null where there is none yet. Throws where it is something else, or of a run that failed. */
export const readSummary = (path: string): Summary | null => {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  const summary = JSON.parse(text) as Partial<Summary>;
  if (!Array.isArray(summary.stints) || typeof summary.seed !== 'number') {
    throw new Error(`${path} is no summary of a crash run; give --out another name`);
  }
  if (summary.violations?.length !== 0) {
    throw new Error(`${path} is of a run that found something; give --out another name`);
  }
  return summary as Summary;
};
