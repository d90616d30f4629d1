import { EXTENT_BYTES } from '@openebs/replica/protocol';
import { REPLICATOR_LIMITS } from '../limits.ts';
import type { Environment } from './environment.ts';
import { LoadMeter, type Load } from './load-meter.ts';
import type { VolumeStatistics } from './statistics.ts';

/** How often it looks whether initiators are there. */
const TICK_MS = 50;
/** How long nothing is copied, to see what initiators get without that. */
const REST_MS = 300;
/** How often the rate is judged, and after how many times it rests again. */
const JUDGE_MS = 500;
const JUDGEMENTS = 10;
/** Initiators get less than this share of what they got at rest: too fast. */
const LEAST_SHARE = 0.75;
/** Their slowest of a hundred takes longer by this factor than it did at rest: too fast. */
const MOST_LATENCY = 2;
/** The rate begins here, and never falls below the other: a rebuild has an end. Bytes a second. */
const FIRST_RATE = 32 * 1024 * 1024;
const LEAST_RATE = 4 * 1024 * 1024;
const MOST_RATE = 16 * 1024 * 1024 * 1024;
const FASTER = 1.25;
const SLOWER = 0.5;
/** Extents under way while initiators are there: what they have to wait for at most. */
const SHARED_WIDTH = 1;
/** What may be caught up at once after a wait. */
const BURST_MS = 50;
/** What an extent costs in which nothing had to be copied. */
const COMPARISON_BYTES = 32 * 1024;

export type PacePhase = 'free' | 'resting' | 'sharing';

/** How fast members that come back are filled, now and from now on. */
export class Pace {
  readonly #environment: Environment;
  readonly #statistics: VolumeStatistics;
  #limitBytesPerSecond: number;
  #run: PaceRun | null = null;

  /** The limit: Infinity where it may be as fast as it goes. */
  constructor(
    environment: Environment,
    statistics: VolumeStatistics,
    limitBytesPerSecond = Infinity,
  ) {
    this.#environment = environment;
    this.#statistics = statistics;
    this.#limitBytesPerSecond = limitBytesPerSecond;
  }

  get limitBytesPerSecond(): number {
    return this.#limitBytesPerSecond;
  }

  set limitBytesPerSecond(limit: number) {
    this.#limitBytesPerSecond = limit;
    this.#run?.limitChanged(limit);
  }

  /** Null while nobody is filled. */
  get phase(): PacePhase | null {
    return this.#run?.phase ?? null;
  }

  /** One at a time: an earlier one that is still there has ended. */
  begin(): PaceRun {
    this.#run?.end();
    const meter = new LoadMeter(this.#statistics, this.#environment.now());
    const run = new PaceRun(this.#environment, meter, this.#limitBytesPerSecond, () => {
      if (this.#run === run) this.#run = null;
    });
    this.#run = run;
    return run;
  }
}

/**
 * The pace of one resynchronisation: a token bucket, and a rate that yields to initiators.
 *
 *              an initiator's operation               what they get was seen
 *       free -------------------------> resting ----------------------------> sharing
 *         ^  <-------------------------   ^   `------ every 5 s --------------'   |
 *         |            none came          `---------------------------------------'
 *         `----------------------------- none came ------------------------------'
 *
 * While it shares the disk and the processors, it is judged twice a second by what initiators got
 * at rest: the rate halves when their throughput or their p99 has suffered, and rises by a quarter
 * when not.
 */
export class PaceRun {
  readonly #environment: Environment;
  readonly #meter: LoadMeter;
  readonly #ended: () => void;
  readonly #waiting: (() => void)[] = [];
  #limit: number;
  #phase: PacePhase = 'free';
  #rate = FIRST_RATE;
  #underWay = 0;
  /** May be negative: what is under way was charged in advance. Bytes. */
  #tokens = 0;
  #filledMs: number;
  /** When the phase, or the stretch that is judged next, began. */
  #sinceMs: number;
  #judgements = 0;
  #atRest: Load | null = null;
  #over = false;
  #cancelTick: (() => void) | null = null;

  constructor(
    environment: Environment,
    meter: LoadMeter,
    limitBytesPerSecond: number,
    ended: () => void,
  ) {
    this.#environment = environment;
    this.#limit = limitBytesPerSecond;
    this.#ended = ended;
    const now = environment.now();
    this.#meter = meter;
    this.#filledMs = now;
    this.#sinceMs = now;
    this.#tick();
  }

  get phase(): PacePhase {
    return this.#phase;
  }

  /** At present. Bytes a second; Infinity where nothing limits it. */
  get bytesPerSecond(): number {
    return this.#phase === 'free' ? this.#limit : Math.min(this.#limit, this.#rate);
  }

  limitChanged(limit: number): void {
    this.#refill();
    this.#limit = limit;
    this.#admit();
  }

  /** Resolves when one more extent may be begun; `finished` follows. */
  turn(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#admit();
    });
  }

  finished(copiedBytes: number): void {
    this.#underWay--;
    this.#tokens += EXTENT_BYTES - Math.max(copiedBytes, COMPARISON_BYTES);
    this.#admit();
  }

  /** Whoever still waits for a turn gets it, to find out that all is over. */
  end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#cancelTick?.();
    for (const resolve of this.#waiting.splice(0)) resolve();
    this.#ended();
  }

  #tick(): void {
    this.#cancelTick = this.#environment.after(TICK_MS, () => {
      this.#judge(this.#environment.now());
      this.#admit();
      if (!this.#over) this.#tick();
    });
  }

  #admit(): void {
    if (this.#phase === 'free' && this.#meter.busy) this.#enter('resting');
    this.#refill();
    while (this.#waiting.length > 0 && this.#mayBegin()) {
      this.#underWay++;
      this.#tokens -= EXTENT_BYTES;
      this.#waiting.shift()?.();
    }
  }

  #mayBegin(): boolean {
    if (this.#phase === 'resting') return false;
    const width = this.#phase === 'free' ? REPLICATOR_LIMITS.rebuildWidth : SHARED_WIDTH;
    return this.#underWay < width && this.#tokens > 0;
  }

  #refill(): void {
    const now = this.#environment.now();
    const rate = Math.min(MOST_RATE, this.bytesPerSecond);
    const most = Math.max(EXTENT_BYTES, (rate * BURST_MS) / 1000);
    this.#tokens = Math.min(most, this.#tokens + (rate * (now - this.#filledMs)) / 1000);
    this.#filledMs = now;
  }

  #enter(phase: PacePhase): void {
    this.#refill();
    this.#phase = phase;
    this.#sinceMs = this.#environment.now();
    this.#meter.take(this.#sinceMs);
    this.#judgements = 0;
  }

  #judge(now: number): void {
    switch (this.#phase) {
      case 'free':
        return;
      case 'resting':
        if (this.#underWay > 0) this.#enter('resting');
        else if (now - this.#sinceMs >= REST_MS) this.#rested(now);
        return;
      case 'sharing':
        if (now - this.#sinceMs >= JUDGE_MS) this.#adjust(now);
    }
  }

  #rested(now: number): void {
    const load = this.#meter.take(now);
    this.#atRest = load;
    this.#enter(load.operations === 0 ? 'free' : 'sharing');
    if (load.operations === 0) this.#rate = FIRST_RATE;
  }

  #adjust(now: number): void {
    const load = this.#meter.take(now);
    this.#sinceMs = now;
    if (load.operations === 0) {
      this.#enter('free');
      this.#rate = FIRST_RATE;
      return;
    }
    const factor = this.#atRest !== null && suffers(load, this.#atRest) ? SLOWER : FASTER;
    this.#rate = Math.min(MOST_RATE, Math.max(LEAST_RATE, this.#rate * factor));
    if (++this.#judgements === JUDGEMENTS) this.#enter('resting');
  }
}

const suffers = (now: Load, atRest: Load): boolean => {
  if (now.p99Ms !== null && atRest.p99Ms !== null && now.p99Ms > MOST_LATENCY * atRest.p99Ms) {
    return true;
  }
  return atRest.p99Ms !== null && now.perSecond < LEAST_SHARE * atRest.perSecond;
};
