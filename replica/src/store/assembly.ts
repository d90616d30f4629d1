import { EXTENT_BYTES, REGION_BYTES } from '../protocol/types.ts';
import type { Version } from '../protocol/types.ts';
import { ACTIVITY_LOG, decodeActivityLog, encodeActivityLog } from './activity-log.ts';
import { punchHidden } from './hidden-blocks.ts';
import { DataStore, NO_VERSION } from './data-store.ts';
import type { Progress } from './data-store-parts.ts';
import type { Closable } from './directory.ts';
import type { Disk } from './disk.ts';
import type { DurableState } from './durable-state.ts';
import { failureOf } from './failure.ts';
import { GroupCommit } from './group-commit.ts';
import { LayerSet } from './layer-set.ts';
import { Reader } from './reader.ts';
import { RedoFile } from './redo-file.ts';
import { EXTENTS_PER_REGION, Regions } from './regions.ts';
import { Scrubber } from './scrub.ts';
import { Standing } from './standing.ts';
import { TwoSlotFile } from './two-slot-file.ts';
import { Writer } from './writer.ts';

export interface AssemblyOptions {
  readonly disk: Disk;
  /** Calls back every so often until the returned function is called. */
  readonly every: (intervalMs: number, tick: () => void) => () => void;
  /** Calls back in a later turn of the event loop. */
  readonly later: (callback: () => void) => void;
  readonly durable: DurableState;
  readonly sameBoot: boolean;
  readonly warn: (message: string) => void;
  /** Files that are opened are added, so that they are closed when something fails. */
  readonly opened: Closable[];
}

/**
 * Opens the files of a copy with data and makes the parts of its store, which refer to each other.
 */
export class Assembly {
  readonly #options: AssemblyOptions;
  readonly #layers: LayerSet;
  readonly #log: TwoSlotFile;
  readonly #progress: Progress = { applied: NO_VERSION, flushed: NO_VERSION };
  readonly #standing: Standing;
  readonly #commits: GroupCommit;
  readonly #regions: Regions;
  readonly #redo: RedoFile;
  /** Regions that the activity log named: their pages are not trusted. */
  readonly foundRegions: number;
  /** Slots of the activity log that were damaged. */
  readonly damagedSlots: number;
  #damagedPages = 0;
  #store: DataStore | null = null;

  constructor(options: AssemblyOptions) {
    this.#options = options;
    const { disk, durable, opened } = options;
    const { confirmed } = durable.superblock;
    this.#layers = this.#makeLayers();
    const log = TwoSlotFile.open(disk, ACTIVITY_LOG, () => this.#composeLog());
    opened.push(log.file);
    this.#log = log.file;
    this.damagedSlots = log.damagedSlots;
    this.#standing = new Standing(confirmed);
    this.#commits = this.#makeCommits();
    const found = this.#readLog(log.payload);
    this.foundRegions = found.length;
    this.#regions = this.#makeRegions(found);
    this.#redo = this.#openRedo();
  }

  /** `stopMaintenance` is called when the store is closed. */
  store(damagedSlots: number, stopMaintenance: () => void): DataStore {
    const { disk, durable, every, later, sameBoot, warn } = this.#options;
    const parts = {
      stack: this.#layers.stack,
      regions: this.#regions,
      standing: this.#standing,
      commits: this.#commits,
      redo: this.#redo,
    };
    this.#store = new DataStore({
      ...parts,
      durable,
      every,
      later,
      warn,
      layers: this.#layers,
      writer: new Writer({
        ...parts,
        ready: () => this.#store?.resume(),
        die: (error) => this.#store?.die(error),
      }),
      reader: new Reader(parts.stack),
      scrubber: new Scrubber(this.#layers),
      progress: this.#progress,
      start: { cleanStart: durable.superblock.clean && this.foundRegions === 0, sameBoot },
      damagedSlots: () => damagedSlots + durable.rottenSlots + this.#log.rottenSlots,
      scrubSlots: (done) => durable.scrub(() => this.#log.scrub(done)),
      damagedPages: () => this.#damagedPages,
      grow: (sizeBytes) => {
        try {
          this.#layers.grow(sizeBytes);
        } catch (cause) {
          throw failureOf('growing the files', cause);
        }
      },
      release: async () => {
        stopMaintenance();
        this.#regions.stop();
        await new Promise<void>((resolve) => this.#log.settled(resolve));
        await durable.close();
        this.#layers.close();
        this.#log.close();
        this.#redo.close();
        disk.unlock();
      },
    });
    return this.#store;
  }

  /** Time has passed. */
  tick(): void {
    this.#regions.tick();
  }

  #composeLog(): Uint8Array {
    return encodeActivityLog({ ...this.#progress, regions: this.#regions.include() });
  }

  #readLog(payload: Buffer): readonly number[] {
    const { durable, sameBoot } = this.#options;
    const log = decodeActivityLog(payload, this.#regionCount);
    const logged = sameBoot ? log.applied : log.flushed;
    this.#progress.applied = laterVersion(durable.superblock.lastVersion, logged);
    this.#progress.flushed = this.#progress.applied;
    return log.regions;
  }

  /** Finishes an atomic write that stopped in the middle. Its regions are marked. */
  #openRedo(): RedoFile {
    const { disk, opened, warn } = this.#options;
    const { data } = this.#layers.stack;
    const { file, redone } = RedoFile.open(disk, (payload, offsetBytes) => {
      data.write(payload, offsetBytes);
      data.syncNow();
    });
    opened.push(file);
    if (redone) warn('An atomic write had stopped in the middle; it was finished.');
    return file;
  }

  /** Changes when the volume grows. */
  get #sizeBytes(): number {
    return this.#options.durable.superblock.identity.sizeBytes;
  }

  get #regionCount(): number {
    return Math.ceil(this.#sizeBytes / REGION_BYTES);
  }

  #makeCommits(): GroupCommit {
    const progress = this.#progress;
    let syncing = progress.applied;
    return new GroupCommit(() => this.#layers.stack.data, {
      starts: () => (syncing = progress.applied),
      synced: () => (progress.flushed = syncing),
      failed: (error) => this.#store?.die(error),
    });
  }

  #makeLayers(): LayerSet {
    const { disk, durable, opened, warn } = this.#options;
    return new LayerSet({
      disk,
      durable,
      opened,
      isUntrusted: (extent) => this.#regions.isUntrusted(extent),
      nextMarked: (extent, end) => this.#regions.nextMarked(extent, end),
      trust: (extent) => this.#regions.trust(extent),
      damaged: (layer, extent) => {
        this.#damagedPages += 1;
        warn(
          `The checksums of extent ${extent} (bytes from ${extent * EXTENT_BYTES}) in layer ` +
            `${layer} are damaged. What it has of the extent is not read until it was compared ` +
            'with another replica.',
        );
      },
      rewritten: (extent) => {
        this.#damagedPages += 1;
        warn(
          `The stored checksums of extent ${extent} had rotted and were written again from ` +
            'memory: nothing is lost. Check the disk (smartctl -a) when this repeats.',
        );
      },
      pageNotWritten: (extent, cause) => {
        this.#regions.distrust(extent);
        this.#store?.fail(failureOf('writing an extent page', cause));
      },
    });
  }

  #makeRegions(found: readonly number[]): Regions {
    return new Regions({
      log: this.#log,
      later: this.#options.later,
      regionCount: () => this.#regionCount,
      found,
      syncData: (done) => this.#commits.flush(done),
      syncMeta: (done) => this.#layers.stack.meta.sync(done),
      writePages: (region) => this.#writePages(region),
      cleaned: (region) => this.#punchHidden(region),
      recompute: (region) => this.#recompute(region),
      ready: () => this.#store?.resume(),
      pagesNotWritten: (cause) => this.#store?.fail(failureOf('writing extent pages', cause)),
      failed: (what, cause) => this.#store?.die(failureOf(what, cause)),
    });
  }

  #writePages(region: number): void {
    const { pages } = this.#layers.stack;
    this.#recompute(region);
    for (const extent of extentsOf(region)) {
      const page = pages.peek(extent);
      // Written as confirmed, because confirmations of old epochs are forgotten one day.
      if (page?.dirty === true && page.provisional && this.#standing.isKnown(page)) page.confirm();
      pages.writeBack(extent);
    }
  }

  #recompute(region: number): void {
    const extents = Math.ceil(this.#sizeBytes / EXTENT_BYTES);
    for (const extent of extentsOf(region)) {
      if (!this.#regions.isUntrusted(extent)) continue;
      // The last region may reach beyond the volume, where there is no page.
      if (extent >= extents) this.#regions.trust(extent);
      else this.#layers.stack.pages.get(extent);
    }
  }

  /** The page that hides blocks is durable, so the zeroes that stood for it can go. */
  #punchHidden(region: number): void {
    const { pages, data, base } = this.#layers.stack;
    if (base === null) return;
    for (const extent of extentsOf(region)) {
      const page = pages.peek(extent);
      try {
        if (page !== undefined) punchHidden(page, data);
      } catch {
        // They stay as zeroes, which read the same; the next time that the page is written tries
        // again.
      }
    }
  }
}

function extentsOf(region: number): number[] {
  const first = region * EXTENTS_PER_REGION;
  return Array.from({ length: EXTENTS_PER_REGION }, (_, index) => first + index);
}

function laterVersion(one: Version, other: Version): Version {
  const isLater = other.epoch > one.epoch || (other.epoch === one.epoch && other.seq > one.seq);
  return isLater ? other : one;
}
