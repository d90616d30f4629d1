import { mkdirSync, rmSync } from 'node:fs';
import { cpuSecondsWithChildren } from '../support/process-usage.ts';
import { describeBlow, type Shape } from './blow.ts';
import { CrashCampaign } from './campaign.ts';
import {
  type Figures,
  noFigures,
  readSummary,
  roundsByKind,
  type Stint,
  totalOf,
  writeSummary,
} from './figures.ts';

/**
 * Many rounds, on several volumes at once: one's waiting is the others' working time. Each volume
 * lives for a stint and is then made anew, so that memory, logs and files stay bounded however long
 * it takes, and what a stint has done is in the summary when it is over.
 */

/** A kind of volume, and its share of twelve stints where kinds are mixed. */
export interface Kind {
  readonly name: string;
  readonly shape: Shape;
  readonly snapshots: boolean;
  readonly share: number;
  /** Of the command that repeats a stint. */
  readonly flags: string;
}

/** The shares are those of the crash suite's rounds. */
export const KINDS = {
  replicas: {
    name: 'three replicas',
    shape: { replicas: 3, witnesses: 0 },
    snapshots: false,
    share: 7,
    flags: '',
  },
  snapshots: {
    name: 'three replicas and snapshots',
    shape: { replicas: 3, witnesses: 0 },
    snapshots: true,
    share: 2,
    flags: ' --snapshots',
  },
  witness: {
    name: 'two replicas and a witness',
    shape: { replicas: 2, witnesses: 1 },
    snapshots: false,
    share: 3,
    flags: ' --witness',
  },
} as const satisfies Record<string, Kind>;

export interface LongRunOptions {
  readonly seed: number;
  readonly rounds: number;
  readonly endMs: number;
  /** At once. */
  readonly volumes: number;
  /** One kind for all stints; null mixes them. */
  readonly kind: Kind | null;
  /** Where the summary is kept; a run whose summary is there is gone on with. */
  readonly out: string | null;
  /** Rounds from one line to the next. */
  readonly every: number;
  readonly say: (line: string) => void;
}

const STINT_ROUNDS = 50;

export class LongRun {
  readonly seed: number;
  readonly #options: LongRunOptions;
  readonly #kinds: readonly Kind[];
  readonly #stints: Stint[];
  readonly #before: { readonly wallSeconds: number; readonly processorSeconds: number };
  readonly #startedMs = performance.now();
  readonly #violations: string[] = [];
  #allotted: number;

  constructor(options: LongRunOptions) {
    const summary = options.out === null ? null : readSummary(options.out);
    this.#options = options;
    this.seed = summary?.seed ?? options.seed;
    this.#stints = [...(summary?.stints ?? [])];
    this.#before = summary ?? { wallSeconds: 0, processorSeconds: 0 };
    this.#allotted = totalOf(this.#stints).rounds;
    this.#kinds = options.kind === null ? interleaved(Object.values(KINDS)) : [options.kind];
    const names = this.#kinds.map(({ name }) => name);
    const other = this.#stints.find(({ kind }) => !names.includes(kind))?.kind;
    if (other !== undefined) {
      throw new Error(`${options.out ?? ''} has ${other}; go on as it began, or name another file`);
    }
  }

  get total(): Figures {
    return totalOf(this.#stints);
  }

  /** In an empty directory. Resolves with true when nothing was found. */
  async run(directory: string): Promise<boolean> {
    const lanes = Array.from({ length: this.#options.volumes }, () => this.#lane(directory));
    await Promise.all(lanes);
    this.#save();
    return this.#violations.length === 0;
  }

  /** What was done so far, in a line. */
  line(): string {
    const { rounds, killed, stopped, answered, longestMs } = this.total;
    const { processorSeconds, wallSeconds } = this.#times();
    return (
      `${rounds} rounds in ${(wallSeconds / 60).toFixed(1)} minutes ` +
      `(${(processorSeconds / 60).toFixed(1)} of processors): ` +
      `killed ${killed.target} targets, ${killed.replica} replicas, ${killed.witness} witnesses, ` +
      `stopped ${stopped.target}, ${stopped.replica}, ${stopped.witness}; ` +
      `${answered} operations answered, the longest in ${longestMs} ms; ` +
      `${this.#violations.length} violations; seed ${this.seed}`
    );
  }

  async #lane(parent: string): Promise<void> {
    while (this.#goesOn() && this.#allotted < this.#options.rounds) {
      const { rounds: all, volumes } = this.#options;
      const rounds = Math.min(STINT_ROUNDS, Math.ceil(all / volumes), all - this.#allotted);
      this.#allotted += rounds;
      await this.#stint(parent, rounds);
      this.#save();
    }
  }

  #goesOn(): boolean {
    return this.#violations.length === 0 && performance.now() < this.#options.endMs;
  }

  async #stint(parent: string, rounds: number): Promise<void> {
    const number = this.#nextNumber();
    const kind = this.#kinds[number % this.#kinds.length]!;
    const seed = (this.seed + number) % 2 ** 32;
    const directory = `${parent}/${number}`;
    mkdirSync(directory);
    const { shape, snapshots } = kind;
    const campaign = new CrashCampaign({ directory, seed, shape, snapshots });
    const stint: Stint = { number, kind: kind.name, seed, ...noFigures() };
    this.#stints.push(stint);
    let doing = 'the start';
    try {
      await campaign.start();
      for (let round = 1; round <= rounds && this.#goesOn(); round++) {
        const blow = campaign.randomBlow();
        doing = `round ${round}, ${describeBlow(blow)}`;
        await campaign.round(blow);
        Object.assign(stint, campaign.figures, { rounds: round });
        if (this.total.rounds % this.#options.every === 0) this.#options.say(this.line());
      }
      doing = 'the end';
      await campaign.stop();
      rmSync(directory, { recursive: true, force: true });
    } catch (error) {
      const again = `npm run crash -- --volumes 1 --rounds ${rounds} --seed ${seed}${kind.flags}`;
      const { message } = error as Error;
      this.#violations.push(`${kind.name}, ${doing}: ${message}; ${directory}; ${again}`);
      console.error(`${doing}; ${directory} is kept; "${again}" strikes the same blows:`, error);
      console.error(campaign.lastWords());
    }
  }

  /** The first that no stint has, nor had in what this run goes on from. */
  #nextNumber(): number {
    const taken = new Set(this.#stints.map(({ number }) => number));
    let number = 0;
    while (taken.has(number)) number++;
    return number;
  }

  #times(): { readonly wallSeconds: number; readonly processorSeconds: number } {
    return {
      wallSeconds: this.#before.wallSeconds + (performance.now() - this.#startedMs) / 1000,
      processorSeconds: this.#before.processorSeconds + cpuSecondsWithChildren(process.pid),
    };
  }

  /** A stint under way counts with what it has done: its number is not given again. */
  #save(): void {
    const { out } = this.#options;
    if (out === null) return;
    const stints = [...this.#stints].sort((one, other) => one.number - other.number);
    const { wallSeconds, processorSeconds: used } = this.#times();
    writeSummary(out, {
      seed: this.seed,
      kinds: roundsByKind(stints),
      total: totalOf(stints),
      processorSeconds: Math.round(used),
      wallSeconds: Math.round(wallSeconds),
      violations: this.#violations,
      stints,
    });
  }
}

/** Each kind as often as its share, and far apart. */
function interleaved(kinds: readonly Kind[]): Kind[] {
  return kinds
    .flatMap((kind) =>
      Array.from({ length: kind.share }, (_, index) => ({
        kind,
        place: (index + 0.5) / kind.share,
      })),
    )
    .sort((one, other) => one.place - other.place)
    .map(({ kind }) => kind);
}
