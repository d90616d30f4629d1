import { badBlocksOf, EXTENT_BYTES } from '@openebs/replica/protocol';
import { REPLICATOR_LIMITS } from '../limits.ts';
import { VolumeError } from '../volume.ts';
import { differentBlocks, healDivergence, type Difference } from './divergence.ts';
import { MemberError } from './member-error.ts';
import type { Member } from './member.ts';
import type { Repairs } from './repair.ts';
import { operationsOf } from './load-meter.ts';
import { lockRange, pause, type ResyncContext } from './resync.ts';
import { extentsHeld } from './scrub-extents.ts';
import { emptyDocument, readScrubDocument, type ScrubDocument } from './scrub-document.ts';

/** The volume, as far as a scrub is concerned with it. */
export interface ScrubHost {
  readonly isOpen: boolean;
  readonly repairs: Repairs;
  readonly assembly: { readonly readers: readonly Member[]; readonly resync: ResyncContext };
  readDocument(name: string): Promise<Uint8Array | null>;
  writeDocument(name: string, content: Uint8Array): Promise<void>;
}

export interface ScrubOptions {
  readonly host: ScrubHost;
  /** Milliseconds since 1970: the next scrub is due by the calendar, also after restarts. */
  readonly wallNow: () => number;
  /** Of the volume; each in-sync replica reads as much at the same time. */
  readonly bytesPerSecond: number;
}

export interface ScrubStatus {
  /** `waiting`: it cannot go on at the moment, for want of replicas say. */
  readonly state: 'idle' | 'running' | 'waiting';
  readonly percent: number;
  readonly bytesPerSecond: number;
  readonly etaSeconds: number | null;
  readonly startedAt: string | null;
  /** Of the one that runs, or of the last one. */
  readonly badBlocks: number;
  readonly divergentBlocks: number;
  readonly lastCompletedAt: string | null;
  readonly nextAt: string | null;
}

export const SCRUB_PERIOD_MS = 7 * 24 * 3600 * 1000;
const DOCUMENT = 'scrub';
/** How often the calendar is looked at. */
const CHECK_MS = 60_000;
const RETRY_MS = 1_000;
/** How much is read again after a restart, at most. */
const SAVE_MS = 60_000;
const BURST_MS = 1_000;
const MAX_YIELD_MS = 100;

/**
 * Every 7 days, and on demand: all in-sync replicas read and verify what they hold, extent by
 * extent, and tell their checksums to be compared. What is bad is repaired. Initiators come first:
 * it is limited in its rate, and where they had something to do in the meantime they get as much
 * time again without it. How far it came is kept in a document of the replicas.
 */
export class Scrub {
  readonly #options: ScrubOptions;
  readonly #context: ResyncContext;
  #document: ScrubDocument | null = null;
  #state: ScrubStatus['state'] = 'idle';
  #requested = false;
  #stopped = false;
  #wake: (() => void) | null = null;
  /** When the next extent may be read. */
  #readyAtMs = 0;
  #savedAtMs = 0;
  #startedMs = 0;
  #startedExtent = 0;

  constructor(options: ScrubOptions) {
    this.#options = options;
    this.#context = options.host.assembly.resync;
  }

  start(): void {
    this.#run().catch((error: unknown) => {
      // A programming error: end the process rather than go on in an unknown state.
      queueMicrotask(() => {
        throw error;
      });
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#wake?.();
  }

  /** One that runs already is as good. */
  request(): ScrubStatus {
    if (this.#state === 'idle') {
      this.#requested = true;
      this.#state = 'waiting';
      this.#wake?.();
    }
    return this.status;
  }

  get status(): ScrubStatus {
    const document = this.#document;
    const position = document?.position ?? null;
    const { environment } = this.#context;
    const seconds = Math.max(1, environment.now() - this.#startedMs) / 1000;
    const done = (position ?? 0) - this.#startedExtent;
    const perSecond = position === null ? 0 : done / seconds;
    return {
      state: this.#state,
      percent: position === null ? 0 : Math.floor((100 * position) / this.#totalExtents),
      bytesPerSecond: Math.round(perSecond * EXTENT_BYTES),
      etaSeconds:
        position === null || perSecond === 0
          ? null
          : Math.ceil((this.#totalExtents - position) / perSecond),
      startedAt: isoOf(document?.startedAt ?? null),
      badBlocks: document?.badBlocks ?? 0,
      divergentBlocks: document?.divergentBlocks ?? 0,
      lastCompletedAt: isoOf(document?.lastCompletedAt ?? null),
      nextAt: isoOf(document?.nextAt ?? null),
    };
  }

  get #totalExtents(): number {
    return Math.ceil(this.#context.sizeBytes / EXTENT_BYTES);
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const document = await this.#load();
      if (document === null) continue;
      const { wallNow } = this.#options;
      if (document.position !== null) await this.#pass(document);
      else if (this.#requested || wallNow() >= document.nextAt) await this.#begin(document);
      else await this.#sleep(CHECK_MS);
    }
  }

  /** Null where it cannot be read now; a moment later, then. */
  async #load(): Promise<ScrubDocument | null> {
    if (this.#document !== null) return this.#document;
    try {
      const found = await this.#options.host.readDocument(DOCUMENT);
      this.#document =
        readScrubDocument(found) ?? emptyDocument(this.#options.wallNow() + SCRUB_PERIOD_MS);
      if (found === null) await this.#save(true);
      return this.#document;
    } catch (error) {
      if (!(error instanceof VolumeError)) throw error;
      await this.#sleep(RETRY_MS);
      return null;
    }
  }

  async #begin(document: ScrubDocument): Promise<void> {
    this.#requested = false;
    Object.assign(document, {
      position: 0,
      startedAt: this.#options.wallNow(),
      badBlocks: 0,
      divergentBlocks: 0,
    });
    this.#context.environment.log('info', {}, 'a scrub begins');
    await this.#save(true);
  }

  /** From where it stands to the end. */
  async #pass(document: ScrubDocument): Promise<void> {
    const { environment } = this.#context;
    const { wallNow } = this.#options;
    this.#startedMs = environment.now();
    this.#startedExtent = document.position ?? 0;
    for (;;) {
      const first = document.position ?? 0;
      const count = Math.min(REPLICATOR_LIMITS.versionExtents, this.#totalExtents - first);
      if (count <= 0) break;
      const written = await this.#attempt(() => this.#written(first, count));
      for (const extent of written ?? []) {
        document.position = extent;
        await this.#attempt(() => this.#visit(extent, document));
        if (this.#stopped) return;
      }
      if (this.#stopped) return;
      document.position = first + count;
      await this.#save(false);
    }
    const { badBlocks, divergentBlocks } = document;
    const now = wallNow();
    Object.assign(document, {
      position: null,
      lastCompletedAt: now,
      nextAt: now + SCRUB_PERIOD_MS,
    });
    const level = badBlocks + divergentBlocks > 0 ? 'warn' : 'info';
    environment.log(level, { badBlocks, divergentBlocks }, 'a scrub has ended');
    await this.#save(true);
    this.#state = this.#requested ? 'waiting' : 'idle';
  }

  /**
   * Again and again while replicas come and go; undefined when the scrub was stopped, or a replica
   * answers with an error.
   */
  async #attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
    while (!this.#stopped) {
      if (this.#options.host.isOpen) {
        try {
          this.#state = 'running';
          return await work();
        } catch (error) {
          if (!(error instanceof MemberError) && !(error instanceof RangeError)) throw error;
          const { environment, statistics } = this.#context;
          if (error instanceof MemberError && error.code !== 'LINK_CLOSED') {
            statistics.lastProblem = error.message;
            environment.log('error', { reason: error.message }, 'a range cannot be scrubbed');
            return undefined;
          }
          environment.log('info', { reason: error.message }, 'the scrub waits');
        }
      }
      this.#state = 'waiting';
      await this.#sleep(RETRY_MS);
    }
    return undefined;
  }

  /** Extents of which any replica holds anything. */
  async #written(first: number, count: number): Promise<number[]> {
    const { readers } = this.#options.host.assembly;
    if (readers.length === 0) throw new RangeError('no replica is in sync');
    const offsetBytes = first * EXTENT_BYTES;
    const lengthBytes = Math.min(count * EXTENT_BYTES, this.#context.sizeBytes - offsetBytes);
    const held = await Promise.all(
      readers.map((member) => extentsHeld(member, { offsetBytes, lengthBytes })),
    );
    return Array.from({ length: count }, (_, index) => index)
      .filter((index) => held.some((extents) => extents.has(index)))
      .map((index) => first + index);
  }

  async #visit(extent: number, document: ScrubDocument): Promise<void> {
    const { environment, statistics } = this.#context;
    await this.#sleep(this.#readyAtMs - environment.now());
    if (this.#stopped) return;
    const startedMs = environment.now();
    const operations = operationsOf(statistics);
    const { readers } = this.#options.host.assembly;
    if (readers.length === 0) throw new RangeError('no replica is in sync');
    await Promise.all(readers.map((member) => this.#verify(member, extent, document)));
    if (readers.length > 1 && !(await this.#compare(extent, document)))
      await Promise.all(readers.map((member) => this.#verify(member, extent, document)));
    const floorMs = environment.now() - BURST_MS;
    const costMs = (1000 * EXTENT_BYTES) / this.#options.bytesPerSecond;
    this.#readyAtMs = Math.max(this.#readyAtMs, floorMs) + costMs;
    await this.#save(false);
    if (operationsOf(statistics) !== operations) {
      await pause(environment, Math.min(MAX_YIELD_MS, environment.now() - startedMs));
    }
  }

  async #verify(member: Member, extent: number, document: ScrubDocument): Promise<void> {
    const { environment, statistics } = this.#context;
    const range = this.#rangeOf(extent);
    const found = await member.scrub(range);
    const blocks = badBlocksOf(found);
    if (blocks === 0) {
      this.#options.host.repairs.sound(extent);
      return;
    }
    document.badBlocks += blocks;
    statistics.checksumErrors += blocks;
    const message = `bad blocks from byte ${range.offsetBytes} on: ${blocks}`;
    statistics.lastProblem = `${member.address}: ${message}`;
    const fields = { replica: member.address, offsetBytes: range.offsetBytes, blocks };
    environment.log('error', fields, `the scrub found a bad copy: ${message}`);
    await this.#options.host.repairs.repair(member, extent, found);
  }

  /**
   * Under the lock all in-sync members have applied the same. False where a copy has rotted since
   * it was verified.
   */
  async #compare(extent: number, document: ScrubDocument): Promise<boolean> {
    const { locks, stream, environment, statistics } = this.#context;
    const range = this.#rangeOf(extent);
    const readers = (): readonly Member[] => this.#options.host.assembly.readers;
    const shared = await lockRange(locks, { ...range, mode: 'shared' });
    let different: Difference;
    try {
      different = await differentBlocks(readers(), range);
    } finally {
      locks.release(shared);
    }
    if (different.blocks === 0) return true;
    const exclusive = await lockRange(locks, { ...range, mode: 'exclusive' });
    try {
      different = await differentBlocks(readers(), range);
      if (different.blocks === 0) return true;
      const found = await Promise.all(readers().map((member) => member.scrub(range)));
      if (found.some((each) => badBlocksOf(each) > 0)) return false;
      document.divergentBlocks += different.blocks;
      statistics.divergentBlocks += different.blocks;
      const message = `in ${different.blocks} blocks from byte ${range.offsetBytes} on the replicas differ although each copy passes its checksums`;
      statistics.lastProblem = message;
      const { source } = different;
      environment.log(
        'error',
        { offsetBytes: range.offsetBytes, blocks: different.blocks, source: source.address },
        `${message}: made equal to the source; report this, it must never happen`,
      );
      await healDivergence(stream, different, range);
      return true;
    } finally {
      locks.release(exclusive);
    }
  }

  #rangeOf(extent: number): { offsetBytes: number; lengthBytes: number } {
    const offsetBytes = extent * EXTENT_BYTES;
    const lengthBytes = Math.min(EXTENT_BYTES, this.#context.sizeBytes - offsetBytes);
    return { offsetBytes, lengthBytes };
  }

  /** What cannot be kept now is kept the next time; after a restart that much is read again. */
  async #save(always: boolean): Promise<void> {
    const { environment } = this.#context;
    if (this.#document === null) return;
    if (!always && environment.now() - this.#savedAtMs < SAVE_MS) return;
    this.#savedAtMs = environment.now();
    try {
      const content = Buffer.from(JSON.stringify(this.#document));
      await this.#options.host.writeDocument(DOCUMENT, content);
    } catch (error) {
      if (!(error instanceof VolumeError)) throw error;
      environment.log('info', { reason: error.message }, 'the state of the scrub was not kept');
    }
  }

  #sleep(delayMs: number): Promise<void> {
    if (delayMs <= 0 || this.#stopped) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#context.environment.after(delayMs, () => this.#wake?.());
      this.#wake = () => {
        this.#wake = null;
        cancel();
        resolve();
      };
    });
  }
}

const isoOf = (ms: number | null): string | null =>
  ms === null ? null : new Date(ms).toISOString();
