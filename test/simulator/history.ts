import type { Stamp } from '../crash/register-checker.ts';
import { EMPTY } from '../crash/register-checker.ts';
import { Violation } from './world.ts';

/** Counts the events that initiators see: the order in which they see them. */
type Moment = number;

/** A read or a write of sectors [sector, sector + count), from its submission to its answer. */
export interface Access {
  readonly kind: 'read' | 'write';
  readonly sector: number;
  readonly count: number;
  readonly stamp: Stamp;
  readonly start: Moment;
}

interface Value {
  readonly stamp: Stamp;
  /** When its write began. */
  readonly began: Moment;
  /** The write that made it, while it has no answer. */
  writing: Access | null;
  /** Latest start and earliest end of the write and of all reads of this value. */
  maxStart: Moment;
  minFinish: Moment;
  /** Nobody has read it, and its write had no good answer: it may never have happened. */
  uncertain: boolean;
  /** A flush that began after its write was answered is answered itself. */
  flushed: boolean;
  /** Its write was answered. */
  acknowledged: boolean;
}

/** `a` must have been there before `b`. */
const precedes = (a: Value, b: Value): boolean => a.minFinish < b.maxStart;

/** Some moment between two, and what was known of the sectors at the later one. */
export interface Point {
  readonly start: Moment;
  readonly finish: Moment;
  readonly sectors: ReadonlyMap<number, readonly Value[]>;
}

/** Those that no other one is known to have replaced before the moment. */
const candidates = (values: readonly Value[], moment: Moment): readonly Value[] =>
  values.filter((value) =>
    values.every(
      (other) =>
        other === value || other.uncertain || other.minFinish >= moment || !precedes(value, other),
    ),
  );

const heldAt = ({ sectors, start }: Point, sector: number): readonly Value[] =>
  candidates(sectors.get(sector) ?? [newValue(EMPTY, 0, null, 0)], start);

/**
 * I7: whether these contents, by sector, are what the volume held at one moment of the point: after
 * everything that is in them began, before anything that replaces a part of them was done.
 */
export const checkPoint = (
  name: string,
  point: Point,
  contents: ReadonlyMap<number, Stamp>,
): void => {
  let after = { moment: point.start, why: 'it was asked for' };
  let before = { moment: point.finish, why: 'it was answered' };
  for (const [sector, stamp] of contents) {
    const values = point.sectors.get(sector) ?? [newValue(EMPTY, 0, null, 0)];
    const value = values.find((each) => each.stamp === stamp);
    if (value === undefined) {
      throw new Violation('I7', `sector ${sector} of ${name} holds ${stamp}, of no time before it`);
    }
    const why = `${stamp} was written to ${sector}`;
    if (value.began > after.moment) after = { moment: value.began, why };
    for (const other of values) {
      if (other === value || other.uncertain || !precedes(value, other)) continue;
      if (other.minFinish >= before.moment) continue;
      before = { moment: other.minFinish, why: `${other.stamp} was in ${sector}` };
    }
  }
  if (after.moment < before.moment) return;
  throw new Violation('I7', `${name} is of no moment: after ${after.why}, before ${before.why}`);
};

/**
 * Every sector is a linearizable register (I6), and what survives which blow follows from the same
 * history (I1, I2). Each write has a stamp of its own, so the criterion of Gibbons and Korach
 * ("Testing shared memories", 1997) is exact: of each value take the latest start and the earliest
 * end of its write and its reads; no two values may have to precede each other. Nothing is ever
 * forgotten, so that also a value of long ago is recognised; runs are short.
 */
export class History {
  /** Sectors that were used; the others are as they were made, zero. */
  readonly #sectors = new Map<number, Value[]>();
  readonly #reading = new Set<Access>();
  /** What no loss of memory can bring back: by sector and value, what replaced it, flushed. */
  readonly #flushedAway = new Map<number, Map<Stamp, Stamp>>();
  /** The same values, and since when: a snapshot that was asked for before may hold them. */
  readonly #lost: { readonly moment: Moment; readonly sector: number; readonly value: Value }[] =
    [];
  #now: Moment = 1;
  #lastBlow: Moment = 0;
  #lastStamp: Stamp;
  acknowledged = 0;
  reads = 0;

  /** No write has a stamp up to this one. */
  constructor(lastStamp: Stamp = EMPTY) {
    this.#lastStamp = lastStamp;
  }

  /** The volume begins with this, by sector, and zeroes elsewhere. */
  begin(contents: ReadonlyMap<number, Stamp>): void {
    for (const [sector, stamp] of contents) {
      this.#sectors.set(sector, [newValue(stamp, 0, null, 0)]);
    }
  }

  startWrite(sector: number, count: number): Access {
    return this.#start(sector, count, ++this.#lastStamp);
  }

  /** Null where a zero could not be told from another one: then the caller writes instead. */
  startUnmap(sector: number, count: number): Access | null {
    for (let at = sector; at < sector + count; at++) {
      const values = this.#of(at);
      const zero = values.find(({ stamp }) => stamp === EMPTY);
      if (zero === undefined) continue;
      const gone = values.some(
        (other) =>
          other !== zero &&
          other.flushed &&
          precedes(zero, other) &&
          !this.#isReadSince(other.minFinish),
      );
      if (!gone || zero.writing !== null || zero.uncertain) return null;
    }
    for (let at = sector; at < sector + count; at++) {
      this.#sectors.set(
        at,
        this.#of(at).filter(({ stamp }) => stamp !== EMPTY),
      );
    }
    return this.#start(sector, count, EMPTY);
  }

  startRead(sector: number, count: number): Access {
    const access: Access = { kind: 'read', sector, count, stamp: EMPTY, start: this.#now++ };
    this.#reading.add(access);
    return access;
  }

  finishWrite(access: Access): void {
    const finish = this.#now++;
    this.acknowledged++;
    this.#ofWrite(access, (sector, value) => {
      value.writing = null;
      value.acknowledged = true;
      this.#seen(sector, value, access.start, finish);
    });
  }

  /** A process or a machine died, or the members were activated anew. */
  blow(): void {
    this.#lastBlow = this.#now++;
  }

  /** `stale`: it comes from a target that has been replaced. */
  finishRead(access: Access, stamps: readonly Stamp[], stale = false): void {
    const finish = this.#now++;
    this.reads++;
    this.#reading.delete(access);
    stamps.forEach((stamp, index) => {
      const sector = access.sector + index;
      const value = this.#of(sector).find((each) => each.stamp === stamp);
      if (value === undefined) {
        const held = this.#of(sector)
          .map((each) => each.stamp)
          .join(', ');
        const by = this.#flushedAway.get(sector)?.get(stamp);
        const why = by === undefined ? 'was not written there' : `was replaced by ${by}, flushed`;
        throw new Violation(
          by === undefined ? 'I6' : 'I1',
          `sector ${sector} read ${stamp}, which ${why} (${held} were)`,
        );
      }
      this.#seen(sector, value, access.start, finish, stale);
    });
  }

  /** An error, or no answer: it has happened by now, or never will, or `later` may. */
  abandon(access: Access, later: boolean): void {
    const finish = this.#now++;
    this.#reading.delete(access);
    if (access.kind === 'read') return;
    this.#ofWrite(access, (_sector, value) => {
      if (value.minFinish === Infinity) value.uncertain = true;
      if (later) return;
      value.writing = null;
      value.minFinish = Math.min(value.minFinish, finish);
    });
  }

  /** What was abandoned and could still happen cannot any more. */
  settle(accesses: readonly Access[]): void {
    const finish = this.#now++;
    for (const access of accesses) {
      this.#ofWrite(access, (_sector, value) => {
        value.writing = null;
        value.minFinish = Math.min(value.minFinish, finish);
      });
    }
  }

  moment(): Moment {
    return this.#now++;
  }

  startFlush(): Moment {
    return this.#now++;
  }

  /** What was acknowledged before this flush began survives everything. */
  finishFlush(start: Moment): void {
    for (const values of this.#sectors.values()) {
      for (const value of values) {
        if (value.minFinish < start && !value.uncertain) value.flushed = true;
      }
    }
  }

  /**
   * No machine that had everything in memory is left: each sector holds what was flushed last, or
   * anything written since.
   */
  memoryLost(): void {
    const start = this.#now++;
    const finish = this.#now++;
    for (const [sector, values] of this.#sectors) {
      const possible = values.filter((value) => {
        const by = values.find(
          (other) => other !== value && other.flushed && precedes(value, other),
        );
        if (by === undefined) return true;
        this.#noteFlushedAway(sector, value.stamp, by.stamp);
        this.#lost.push({ moment: start, sector, value });
        return false;
      });
      for (const value of possible) {
        value.maxStart = value.writing?.start ?? start;
        // One that is still under way may be lost although it was seen, and happen once more.
        value.minFinish = value.writing === null ? finish : Infinity;
      }
      this.#sectors.set(sector, possible);
    }
  }

  /** What is known now of a point that lies between `start` and this moment: of a snapshot. */
  capture(start: Moment): Point {
    const sectors = new Map<number, Value[]>();
    for (const [sector, values] of this.#sectors) {
      sectors.set(
        sector,
        values.map((value) => ({ ...value })),
      );
    }
    for (const { moment, sector, value } of this.#lost) {
      if (moment <= start) continue;
      const values = sectors.get(sector);
      if (values?.every(({ stamp }) => stamp !== value.stamp) === true) values.push(value);
    }
    return { start, finish: this.#now++, sectors };
  }

  /** The whole volume is again what it was at that point. Nothing is under way. */
  revert(point: Point): void {
    const start = this.#now++;
    const finish = this.#now++;
    for (const sector of this.#usedSince(point)) {
      const values = heldAt(point, sector);
      this.#sectors.set(
        sector,
        values.map(({ stamp }) => {
          const value = newValue(stamp, start, null, finish);
          return { ...value, flushed: true, acknowledged: true };
        }),
      );
    }
  }

  /** It is, or it never will be. */
  perhapsRevert(point: Point): void {
    const start = this.#now++;
    const finish = this.#now++;
    for (const sector of this.#usedSince(point)) {
      const present = this.#of(sector);
      const current = candidates(present, start);
      for (const { stamp } of heldAt(point, sector)) {
        if (current.some((value) => value.stamp === stamp)) continue;
        const others = this.#of(sector).filter((value) => value.stamp !== stamp);
        const value = { ...newValue(stamp, start, null, finish), uncertain: true };
        this.#sectors.set(sector, [...others, { ...value, flushed: false, acknowledged: false }]);
      }
    }
  }

  #usedSince({ sectors }: Point): Set<number> {
    return new Set([...sectors.keys(), ...this.#sectors.keys()]);
  }

  describe(sector: number): string {
    return this.#of(sector)
      .map(
        ({ stamp, maxStart, minFinish, uncertain, flushed }) =>
          `${stamp} (${maxStart}, ${minFinish}${uncertain ? ', uncertain' : ''}${flushed ? ', flushed' : ''})`,
      )
      .join(' ');
  }

  #of(sector: number): Value[] {
    let values = this.#sectors.get(sector);
    if (values === undefined) {
      values = [newValue(EMPTY, 0, null, 0)];
      this.#sectors.set(sector, values);
    }
    return values;
  }

  /** Whether a read under way began before that moment: it may still show what is gone. */
  #isReadSince(moment: Moment): boolean {
    for (const { start } of this.#reading) if (start < moment) return true;
    return false;
  }

  #start(sector: number, count: number, stamp: Stamp): Access {
    const access: Access = { kind: 'write', sector, count, stamp, start: this.#now++ };
    for (let at = sector; at < sector + count; at++) {
      this.#of(at).push(newValue(stamp, access.start, access, Infinity));
    }
    return access;
  }

  #ofWrite(access: Access, visit: (sector: number, value: Value) => void): void {
    for (let at = access.sector; at < access.sector + access.count; at++) {
      const value = this.#of(at).find((each) => each.stamp === access.stamp);
      if (value !== undefined) visit(at, value);
    }
  }

  #noteFlushedAway(sector: number, gone: Stamp, by: Stamp): void {
    const stamps = this.#flushedAway.get(sector) ?? new Map<Stamp, Stamp>();
    this.#flushedAway.set(sector, stamps.set(gone, by));
  }

  /**
   * What it breaks that an older value than `other` is there. Something that was there and is lost
   * needs a blow; without one the two are in a wrong order.
   */
  #blame(other: Value, value: Value, stale: boolean): string {
    const [newer, older] = other.maxStart > value.maxStart ? [other, value] : [value, other];
    if (stale || !newer.acknowledged || this.#lastBlow < newer.minFinish) {
      const unmapped = newer.stamp === EMPTY && newer.acknowledged && !stale;
      return unmapped && older.minFinish < newer.maxStart ? 'I10' : 'I6';
    }
    return newer.flushed ? 'I1' : 'I2';
  }

  #seen(sector: number, value: Value, start: Moment, finish: Moment, stale = false): void {
    const { uncertain, maxStart, minFinish } = value;
    value.uncertain = false;
    value.maxStart = Math.max(value.maxStart, start);
    value.minFinish = Math.min(value.minFinish, finish);
    for (const other of this.#of(sector)) {
      if (other === value || other.uncertain) continue;
      if (precedes(other, value) && precedes(value, other)) {
        throw new Violation(
          this.#blame(other, { ...value, uncertain, maxStart, minFinish }, stale),
          `sector ${sector}: ${value.stamp} was seen before and after ${other.stamp}: ` +
            this.describe(sector),
        );
      }
    }
  }
}

const newValue = (stamp: Stamp, start: Moment, writing: Access | null, finish: Moment): Value => ({
  stamp,
  began: start,
  writing,
  maxStart: start,
  minFinish: finish,
  uncertain: false,
  flushed: finish === 0,
  acknowledged: finish === 0,
});
