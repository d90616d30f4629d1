/**
 * Checks, while it happens, that every sector behaves as a linearizable register.
 *
 * Each write puts a value into its sectors that no other write has. For such histories Gibbons and
 * Korach ("Testing shared memories", 1997) give an exact criterion. Take a value with its write and
 * all reads of it; `maxStart` is the latest start of these operations and `minFinish` the earliest
 * finish. When a.minFinish < b.maxStart, a must have been there before b. The history is
 * linearizable exactly when no two values of a register must each precede the other, and no read
 * finishes before the write of its value starts.
 *
 * A write without an answer (its target was killed) may have happened or not. Until somebody reads
 * it, it says nothing about other values. Nothing of it is left in flight once the volume is served
 * again, so from then on it counts as finished: the sector shows the old or the new value, and goes
 * on showing what was read once.
 *
 * A value which another one must follow is dropped when no operation is left that started before
 * that was known; reading it later is a violation.
 */

/** What a sector holds: a write's stamp, or EMPTY for zeroes. */
export type Stamp = number;
export const EMPTY: Stamp = 0;

export class Violation extends Error {
  override readonly name = 'Violation';
}

/** An operation in flight, over sectors [sector, sector + count). */
export interface Operation {
  readonly kind: 'read' | 'write';
  readonly sector: number;
  readonly count: number;
  /** Of a write. */
  readonly stamp: Stamp;
  readonly start: number;
}

interface Value {
  readonly stamp: Stamp;
  maxStart: number;
  minFinish: number;
  /** A write without an answer that nobody has read. */
  uncertain: boolean;
  /** When it was found that another value must follow; infinity before. */
  overwrittenAt: number;
}

/** Any event's time; the order in which the one client process sees them. */
export type Time = number;

export class RegisterChecker {
  readonly #sectors: Value[][];
  readonly #inFlight = new Set<Operation>();
  readonly #unanswered = new Set<Operation>();
  #now: Time = 1;
  #lastStamp: Stamp = EMPTY;

  /** All sectors are zero at the beginning, unless told otherwise. */
  constructor(sectors: number, before: { stamps: readonly Stamp[]; last: Stamp } | null = null) {
    this.#lastStamp = before?.last ?? EMPTY;
    this.#sectors = Array.from({ length: sectors }, (_, sector) => [
      {
        stamp: before?.stamps[sector] ?? EMPTY,
        maxStart: 0,
        minFinish: 0,
        uncertain: false,
        overwrittenAt: Infinity,
      },
    ]);
  }

  get lastStamp(): Stamp {
    return this.#lastStamp;
  }

  /** The stamp is what the caller must write. */
  startWrite(sector: number, count: number): Operation {
    return this.#startWrite(sector, count, ++this.#lastStamp);
  }

  /**
   * Zeroes are told apart only where at most one value of a sector is zero: null when they could
   * not be, and the caller does something else.
   */
  startUnmap(sector: number, count: number): Operation | null {
    for (let at = sector; at < sector + count; at++) {
      this.#prune(at);
      if (this.#sectors[at]!.some(({ stamp }) => stamp === EMPTY)) return null;
    }
    return this.#startWrite(sector, count, EMPTY);
  }

  startRead(sector: number, count: number): Operation {
    const operation: Operation = {
      kind: 'read',
      sector,
      count,
      stamp: EMPTY,
      start: this.#now++,
    };
    this.#inFlight.add(operation);
    return operation;
  }

  finishWrite(operation: Operation): void {
    const finish = this.#now++;
    this.#inFlight.delete(operation);
    for (let at = operation.sector; at < operation.sector + operation.count; at++) {
      const value = this.#find(at, operation.stamp);
      if (value !== undefined) this.#seen(at, value, operation.start, finish);
    }
  }

  /** `stamps[i]` is what sector + i held. Throws a Violation. */
  finishRead(operation: Operation, stamps: readonly Stamp[]): void {
    const finish = this.#now++;
    this.#inFlight.delete(operation);
    for (let index = 0; index < operation.count; index++) {
      const sector = operation.sector + index;
      const stamp = stamps[index]!;
      const value = this.#find(sector, stamp);
      if (value === undefined) this.#unknownValue(sector, stamp);
      this.#seen(sector, value, operation.start, finish);
    }
  }

  /** The answer will not come: the operation may have happened or not, until `settle`. */
  abandon(operation: Operation): void {
    this.#inFlight.delete(operation);
    if (operation.kind === 'read') return;
    this.#unanswered.add(operation);
    for (let at = operation.sector; at < operation.sector + operation.count; at++) {
      const value = this.#find(at, operation.stamp);
      if (value?.minFinish === Infinity) value.uncertain = true;
    }
  }

  /** The volume is served again: what was abandoned has happened or never will. */
  settle(): void {
    const finish = this.#now++;
    for (const operation of this.#unanswered) {
      for (let at = operation.sector; at < operation.sector + operation.count; at++) {
        const value = this.#find(at, operation.stamp);
        if (value !== undefined) value.minFinish = Math.min(value.minFinish, finish);
      }
    }
    this.#unanswered.clear();
  }

  /**
   * Until finishMoment somebody looks at all sectors at one time, and it is not known yet at what.
   */
  startMoment(): Operation {
    return this.startRead(0, this.#sectors.length);
  }

  /** What each sector may have held at the time. */
  finishMoment(moment: Operation): Stamp[][] {
    this.#inFlight.delete(moment);
    return this.#sectors.map((values) =>
      values.filter(({ overwrittenAt }) => overwrittenAt >= moment.start).map(({ stamp }) => stamp),
    );
  }

  /** What a sector may hold now: for messages and tests. */
  candidates(sector: number): Stamp[] {
    this.#prune(sector);
    return this.#sectors[sector]!.map(({ stamp }) => stamp);
  }

  #startWrite(sector: number, count: number, stamp: Stamp): Operation {
    const start = this.#now++;
    const operation: Operation = { kind: 'write', sector, count, stamp, start };
    this.#inFlight.add(operation);
    for (let at = sector; at < sector + count; at++) {
      this.#prune(at);
      this.#sectors[at]!.push({
        stamp,
        maxStart: start,
        minFinish: Infinity,
        uncertain: false,
        overwrittenAt: Infinity,
      });
    }
    return operation;
  }

  #find(sector: number, stamp: Stamp): Value | undefined {
    return this.#sectors[sector]!.find((value) => value.stamp === stamp);
  }

  /** An operation of this value ran from start to finish. */
  #seen(sector: number, value: Value, start: Time, finish: Time): void {
    value.uncertain = false;
    value.maxStart = Math.max(value.maxStart, start);
    value.minFinish = Math.min(value.minFinish, finish);
    for (const other of this.#sectors[sector]!) {
      if (other === value || other.uncertain) continue;
      const otherFirst = other.minFinish < value.maxStart;
      const valueFirst = value.minFinish < other.maxStart;
      if (otherFirst && valueFirst) {
        throw new Violation(
          `sector ${sector}: value ${value.stamp} was seen before and after value ${other.stamp}`,
        );
      }
      if (otherFirst) other.overwrittenAt = Math.min(other.overwrittenAt, finish);
      // The other one may still be under way, and never happen: until it is answered or seen this
      // value counts. Its own end will find that it came later.
      if (valueFirst && other.minFinish < Infinity) {
        value.overwrittenAt = Math.min(value.overwrittenAt, finish);
      }
    }
    // A value without an answer that is known to be followed can be dropped as well.
    for (const other of this.#sectors[sector]!) {
      if (other.uncertain && other.minFinish < value.maxStart) {
        other.overwrittenAt = Math.min(other.overwrittenAt, finish);
      }
    }
  }

  /** Forgets values that no operation in flight may still show. */
  #prune(sector: number): void {
    const values = this.#sectors[sector]!;
    if (values.length < 2) return;
    const oldest = this.#oldestStart();
    const kept = values.filter(({ overwrittenAt }) => overwrittenAt >= oldest);
    if (kept.length < values.length) this.#sectors[sector] = kept;
  }

  #oldestStart(): Time {
    // Sets keep the order of insertion, and operations start in the order of time.
    for (const operation of this.#inFlight) return operation.start;
    return this.#now;
  }

  #unknownValue(sector: number, stamp: Stamp): never {
    const held = this.candidates(sector);
    throw new Violation(
      stamp > this.#lastStamp
        ? `sector ${sector}: value ${stamp} was never written`
        : `sector ${sector}: value ${stamp} is stale or was not written there; ` +
            `it may hold ${held.join(', ')}`,
    );
  }
}
