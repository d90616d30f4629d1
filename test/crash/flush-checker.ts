import type { Operation, Stamp } from './register-checker.ts';
import { Violation } from './register-checker.ts';

/** An event's time; the order in which the one client process sees them. */
type Time = number;

/** A write or an unmap of some sectors since the beginning. */
export interface Change {
  readonly stamp: Stamp;
  readonly start: Time;
  /** Infinity while it has no answer. */
  finish: Time;
  /** Its own answer says that it is on the disks (FUA). */
  durable: boolean;
}

/**
 * Knows what must be there when every machine has lost its power: a change that was answered before
 * a flush began that was answered, or something later. A change without such a flush may be there
 * or not.
 */
export class FlushChecker {
  readonly #sectors: Change[][];
  #now: Time = 1;
  /** When the latest flush began that was answered. */
  #flushed: Time = 0;

  /** What the sectors hold at the beginning is on the disks. */
  constructor(stamps: readonly Stamp[]) {
    this.#sectors = stamps.map((stamp) => [{ stamp, start: 0, finish: 0, durable: true }]);
  }

  startChange({ sector, count, stamp }: Operation): Change {
    const change: Change = { stamp, start: this.#now++, finish: Infinity, durable: false };
    for (let at = sector; at < sector + count; at++) this.#sectors[at]!.push(change);
    return change;
  }

  finishChange(change: Change, durable: boolean): void {
    change.finish = this.#now++;
    change.durable = durable;
  }

  startFlush(): Time {
    return this.#now++;
  }

  finishFlush(start: Time): void {
    this.#flushed = Math.max(this.#flushed, start);
  }

  /** How many sectors have changed since the beginning, and how many of these must have. */
  get counts(): { readonly changed: number; readonly durable: number } {
    const changed = this.#sectors.filter((changes) => changes.length > 1);
    const durable = changed.filter((changes) =>
      changes.slice(1).some((change) => this.#isDurable(change)),
    );
    return { changed: changed.length, durable: durable.length };
  }

  /** `stamps[sector]` is what was found. Throws a Violation. */
  check(stamps: readonly Stamp[]): void {
    for (const [sector, stamp] of stamps.entries()) {
      const changes = this.#sectors[sector]!;
      const lastStart = Math.max(
        ...changes.filter((change) => this.#isDurable(change)).map(({ start }) => start),
      );
      if (changes.some((change) => change.stamp === stamp && change.finish >= lastStart)) continue;
      const held = changes.map((change) => change.stamp).join(', ');
      throw new Violation(
        `sector ${sector}: value ${stamp} after a loss of power, although a later one was ` +
          `flushed; it held, in this order: ${held}`,
      );
    }
  }

  #isDurable({ durable, finish }: Change): boolean {
    return durable || finish < this.#flushed;
  }
}
