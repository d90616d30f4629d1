import { EXTENT_BYTES, REGION_BYTES } from '../protocol/types.ts';
import { MAX_MARKED_REGIONS } from '../limits.ts';
import type { TwoSlotFile } from './two-slot-file.ts';

export const EXTENTS_PER_REGION = REGION_BYTES / EXTENT_BYTES;
/** Marks are cleared down to half when more than this share of the log is in use. */
const CLEAN_ABOVE = (MAX_MARKED_REGIONS * 3) / 4;
/** A region that was not written for this many ticks is cleared. */
const IDLE_TICKS = 3;
/** Regions whose pages are written between two turns of the event loop. */
const SLICE_REGIONS = 64;
/**
 * A stream that comes to a new region gets the next ones marked before it needs them, and when it
 * is in the middle of these, so many more: it never waits for the log.
 */
const AHEAD_REGIONS = 8;

interface Region {
  readonly index: number;
  /** The mark is in the log, so that the region may be written. */
  durable: boolean;
  /** The mark is in the write of the log that is under way. */
  included: boolean;
  /** Written since the cleaning that is under way began. */
  touched: boolean;
  /** When it was written last, in ticks. */
  usedTick: number;
  /** The middle of what was marked ahead: whoever comes here gets more. */
  middle: boolean;
  /** Bit per extent: the stored page may be older than the data. */
  untrusted: number;
  /** The mark stays until this is taken back. */
  pinned: boolean;
}

export interface RegionsOptions {
  readonly log: TwoSlotFile;
  /** Calls back in a later turn of the event loop. */
  readonly later: (callback: () => void) => void;
  readonly regionCount: () => number;
  /** Marks that the log held when it was opened. */
  readonly found: readonly number[];
  readonly syncData: (done: (error: Error | null) => void) => void;
  readonly syncMeta: (done: (error: Error | null) => void) => void;
  /**
   * Writes the dirty pages of the region's extents; recomputes those that are not trusted. Throws.
   */
  readonly writePages: (region: number) => void;
  /** The region's data and pages are durable, and nothing was written since. */
  readonly cleaned: (region: number) => void;
  /** Makes sure that the pages of the region can be trusted. Throws. */
  readonly recompute: (region: number) => void;
  /** Marks became durable, or there is room for more. */
  readonly ready: () => void;
  /** For want of space, say; it is tried again. */
  readonly pagesNotWritten: (error: Error) => void;
  /** Nothing can be marked any more. */
  readonly failed: (what: string, error: Error) => void;
}

/**
 * The activity log in memory: which regions may be written, and which extent pages are not to be
 * trusted.
 *
 * A region is cleared in this order: data durable, pages written, pages durable, mark gone. A
 * region that is written meanwhile keeps its mark.
 */
export class Regions {
  readonly #options: RegionsOptions;
  readonly #marks = new Map<number, Region>();
  #tick = 0;
  #committing = false;
  #commitAgain = false;
  #cleaning = false;
  #stopped = false;
  #marked = 0;
  /** How often pages could not be written. */
  #failures = 0;

  constructor(options: RegionsOptions) {
    this.#options = options;
    for (const index of options.found) {
      const region = newRegion(index, 0);
      region.durable = true;
      region.untrusted = (1 << EXTENTS_PER_REGION) - 1;
      this.#marks.set(index, region);
    }
  }

  get size(): number {
    return this.#marks.size;
  }

  /** Marks written to the log so far. */
  get markCount(): number {
    return this.#marked;
  }

  indexes(): Iterable<number> {
    return this.#marks.keys();
  }

  /** Called by the log when it composes its content. */
  include(): Iterable<number> {
    for (const region of this.#marks.values()) region.included = true;
    return this.#marks.keys();
  }

  /** True when the region may be written; notes that it is. */
  touch(index: number): boolean {
    const region = this.#marks.get(index);
    if (region?.durable !== true) return false;
    region.touched = true;
    region.usedTick = this.#tick;
    if (region.middle) {
      region.middle = false;
      if (this.#addAhead(index + AHEAD_REGIONS / 2)) this.#scheduleCommit();
    }
    return true;
  }

  /** Keeps the marks of these regions, which were touched, until it is taken back. */
  pin({ first, last }: { readonly first: number; readonly last: number }, pinned: boolean): void {
    for (let index = first; index <= last; index += 1) {
      const region = this.#marks.get(index);
      if (region !== undefined) region.pinned = pinned;
    }
  }

  isUntrusted(extent: number): boolean {
    const region = this.#marks.get(regionOf(extent));
    return region !== undefined && (region.untrusted & bitOf(extent)) !== 0;
  }

  /** The first extent from this one on whose region is marked; `end` if none below it. */
  nextMarked(extent: number, end: number): number {
    for (let index = regionOf(extent); index * EXTENTS_PER_REGION < end; index += 1)
      if (this.#marks.has(index)) return Math.max(extent, index * EXTENTS_PER_REGION);
    return end;
  }

  trust(extent: number): void {
    const region = this.#marks.get(regionOf(extent));
    if (region !== undefined) region.untrusted &= ~bitOf(extent);
  }

  /** The extent's page was lost: only a marked region's can be, and its mark stays. */
  distrust(extent: number): void {
    const region = this.#marks.get(regionOf(extent));
    if (region !== undefined) region.untrusted |= bitOf(extent);
  }

  /** Asks for a mark; `ready` is called when it may have become durable. */
  request(index: number): void {
    if (this.#stopped || this.#marks.has(index)) return;
    if (!this.#add(index)) {
      this.#clean('oldest');
      return;
    }
    if (this.#marks.has(index - 1)) this.#addAhead(index + 1);
    this.#scheduleCommit();
    if (this.#marks.size > CLEAN_ABOVE) this.#clean('oldest');
  }

  /** Returns whether there is something for the log. */
  #addAhead(first: number): boolean {
    const end = Math.min(first + AHEAD_REGIONS, this.#options.regionCount());
    const before = this.#marks.size;
    for (let index = first; index < end && this.#marks.size < CLEAN_ABOVE; index += 1)
      if (!this.#marks.has(index)) this.#add(index);
    const middle = this.#marks.get(first + AHEAD_REGIONS / 2);
    if (middle?.durable === false) middle.middle = true;
    return this.#marks.size > before;
  }

  /** At the end of the turn, so that all that arrived together share one write of the log. */
  #scheduleCommit(): void {
    if (this.#stopped) return;
    if (this.#committing) {
      this.#commitAgain = true;
      return;
    }
    this.#committing = true;
    queueMicrotask(() => this.#commit());
  }

  #add(index: number): boolean {
    if (this.#marks.size >= MAX_MARKED_REGIONS) return false;
    this.#marks.set(index, newRegion(index, this.#tick));
    return true;
  }

  #commit(): void {
    this.#commitAgain = false;
    this.#options.log.commit((error) => {
      this.#committing = false;
      if (error !== null) {
        this.stop();
        this.#options.failed('writing the activity log', error);
        return;
      }
      for (const region of this.#marks.values()) {
        if (!region.included || region.durable) continue;
        region.durable = true;
        this.#marked += 1;
      }
      if (this.#commitAgain) {
        this.#committing = true;
        this.#commit();
      }
      this.#options.ready();
    });
  }

  /** Called every now and then: clears the marks of regions that rest. */
  tick(): void {
    this.#tick += 1;
    this.#clean('idle');
  }

  /** Nothing is marked or cleared any more. */
  stop(): void {
    this.#stopped = true;
  }

  /**
   * Clears every mark whose pages can be trusted; used when nothing is written any more. False when
   * one is left although its pages are newer than those that are stored.
   */
  cleanAll(): Promise<boolean> {
    return new Promise((resolve) => {
      const finished = (): void =>
        resolve([...this.#marks.values()].every((region) => region.untrusted !== 0));
      const attempt = (): void => {
        if (this.#stopped) resolve(false);
        else if (this.#cleaning || this.#committing) this.#options.later(attempt);
        else this.#clean('all', finished);
      };
      attempt();
    });
  }

  /**
   * Recomputes what is not trusted and clears every mark, durably; used when nothing is written.
   * False when something failed.
   */
  async settle(): Promise<boolean> {
    while (this.#marks.size > 0 || this.#committing) {
      if (this.#stopped) return false;
      for (const { index, untrusted } of [...this.#marks.values()]) {
        if (untrusted === 0) continue;
        try {
          this.#options.recompute(index);
        } catch (error) {
          this.#options.pagesNotWritten(error as Error);
          return false;
        }
        await this.#turn();
      }
      const failures = this.#failures;
      await this.cleanAll();
      if (failures !== this.#failures) return false;
      await this.#turn();
    }
    return !this.#stopped;
  }

  #turn(): Promise<void> {
    return new Promise((resolve) => this.#options.later(resolve));
  }

  #clean(which: 'oldest' | 'idle' | 'all', finished: () => void = () => undefined): void {
    if (this.#cleaning || this.#stopped) return;
    const victims = this.#victims(which);
    if (victims.length === 0) {
      finished();
      return;
    }
    this.#cleaning = true;
    for (const region of victims) region.touched = false;
    this.#options.syncData((error) => {
      if (error !== null) this.#cleanFailed('making the data durable', error, finished);
      else this.#writePages(victims, 0, finished);
    });
  }

  #victims(which: 'oldest' | 'idle' | 'all'): Region[] {
    const durable = [...this.#marks.values()].filter((each) => each.durable && !each.pinned);
    const trusted = durable.filter((region) => region.untrusted === 0);
    if (which === 'all') return trusted;
    if (which === 'idle')
      return trusted.filter((region) => region.usedTick + IDLE_TICKS <= this.#tick);
    // Recomputing costs reads, so what is left from a crash goes only when nothing else is there.
    const byAge = (trusted.length > 0 ? trusted : durable).sort((a, b) => a.usedTick - b.usedTick);
    return byAge.slice(0, MAX_MARKED_REGIONS / 2);
  }

  #writePages(victims: readonly Region[], from: number, finished: () => void): void {
    const end = Math.min(from + SLICE_REGIONS, victims.length);
    try {
      for (const region of victims.slice(from, end))
        if (!region.touched) this.#options.writePages(region.index);
    } catch (error) {
      // The pages stay dirty and the marks stay: nothing is lost, and the next cleaning tries
      // again.
      this.#cleaning = false;
      this.#failures += 1;
      this.#options.pagesNotWritten(error as Error);
      finished();
      return;
    }
    if (end < victims.length) {
      this.#options.later(() => this.#writePages(victims, end, finished));
      return;
    }
    this.#options.syncMeta((error) => {
      if (error !== null) this.#cleanFailed('making extent pages durable', error, finished);
      else this.#cleaned(victims, finished);
    });
  }

  #cleaned(victims: readonly Region[], finished: () => void): void {
    this.#cleaning = false;
    for (const region of victims)
      if (!region.touched && region.untrusted === 0) {
        this.#options.cleaned(region.index);
        this.#marks.delete(region.index);
      }
    if (this.#stopped) {
      finished();
      return;
    }
    // Nobody waits for this write: a mark too many costs a comparison after a crash, nothing else.
    if (!this.#committing) {
      this.#committing = true;
      this.#commit();
    } else this.#commitAgain = true;
    this.#options.ready();
    finished();
  }

  #cleanFailed(what: string, error: Error, finished: () => void): void {
    this.#cleaning = false;
    this.stop();
    this.#options.failed(what, error);
    finished();
  }
}

function newRegion(index: number, tick: number): Region {
  return {
    index,
    durable: false,
    included: false,
    touched: false,
    usedTick: tick,
    middle: false,
    untrusted: 0,
    pinned: false,
  };
}

function regionOf(extent: number): number {
  return Math.floor(extent / EXTENTS_PER_REGION);
}

function bitOf(extent: number): number {
  return 1 << (extent % EXTENTS_PER_REGION);
}
