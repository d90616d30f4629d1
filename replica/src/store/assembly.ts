import { zlib } from '../runtime/builtin.ts';
import { EXTENT_BYTES, REGION_BYTES } from '../protocol/types.ts';
import type { Version } from '../protocol/types.ts';
import { METADATA_BYTES_CEILING, METADATA_BYTES_FLOOR, METADATA_BYTES_PER_TIB } from '../limits.ts';
import { ACTIVITY_LOG, decodeActivityLog, encodeActivityLog } from './activity-log.ts';
import { recomputePage } from './block-checksums.ts';
import { DataStore, NO_VERSION } from './data-store.ts';
import type { Progress } from './data-store.ts';
import { DATA_FILE, META_FILE, dataFileBytes, metaFileBytes, openPart } from './directory.ts';
import type { Closable } from './directory.ts';
import type { Disk, DiskFile } from './disk.ts';
import type { DurableState } from './durable-state.ts';
import { StoreError } from './errors.ts';
import { ExtentPages } from './extent-pages.ts';
import { failureOf } from './failure.ts';
import { GroupCommit } from './group-commit.ts';
import { growFile } from './growth.ts';
import { Reader } from './reader.ts';
import { EXTENTS_PER_REGION, Regions } from './regions.ts';
import { Scrubber } from './scrub.ts';
import { Standing } from './standing.ts';
import { TwoSlotFile } from './two-slot-file.ts';
import { Writer } from './writer.ts';

const TIB = 1024 ** 4;

export interface AssemblyOptions {
  readonly disk: Disk;
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
  readonly #data: DiskFile;
  readonly #meta: DiskFile;
  readonly #log: TwoSlotFile;
  readonly #progress: Progress = { applied: NO_VERSION, flushed: NO_VERSION };
  readonly #standing: Standing;
  readonly #commits: GroupCommit;
  readonly #pages: ExtentPages;
  readonly #regions: Regions;
  /** Regions that the activity log named: their pages are not trusted. */
  readonly foundRegions: number;
  /** Slots of the activity log that were damaged. */
  readonly damagedSlots: number;
  #damagedPages = 0;
  #store: DataStore | null = null;

  constructor(options: AssemblyOptions) {
    this.#options = options;
    const { disk, durable, opened } = options;
    const { identity, confirmed } = durable.superblock;
    this.#data = openPart(disk, DATA_FILE, dataFileBytes(identity.sizeBytes), opened);
    this.#meta = openPart(disk, META_FILE, metaFileBytes(identity.sizeBytes), opened);
    const log = TwoSlotFile.open(disk, ACTIVITY_LOG, () => this.#composeLog());
    opened.push(log.file);
    this.#log = log.file;
    this.damagedSlots = log.damagedSlots;
    this.#standing = new Standing(confirmed);
    this.#commits = this.#makeCommits();
    this.#pages = this.#makePages();
    const found = this.#readLog(log.payload);
    this.foundRegions = found.length;
    this.#regions = this.#makeRegions(found);
  }

  /** `stopMaintenance` is called when the store is closed. */
  store(damagedSlots: number, stopMaintenance: () => void): DataStore {
    const { disk, durable, later, sameBoot } = this.#options;
    const parts = { pages: this.#pages, regions: this.#regions, standing: this.#standing };
    this.#store = new DataStore({
      ...parts,
      durable,
      later,
      data: this.#data,
      commits: this.#commits,
      writer: new Writer({ ...parts, data: this.#data }),
      reader: new Reader(this.#data, this.#pages),
      scrubber: new Scrubber(this.#data, this.#pages, () => dataFileBytes(this.#sizeBytes)),
      progress: this.#progress,
      start: { cleanStart: durable.superblock.clean && this.foundRegions === 0, sameBoot },
      damagedSlots: () => damagedSlots + durable.rottenSlots + this.#log.rottenSlots,
      scrubSlots: (done) => durable.scrub(() => this.#log.scrub(done)),
      damagedPages: () => this.#damagedPages,
      grow: (sizeBytes) => {
        try {
          growFile(this.#data, dataFileBytes(sizeBytes));
          growFile(this.#meta, metaFileBytes(sizeBytes));
        } catch (cause) {
          throw failureOf('growing the files', cause);
        }
      },
      release: async () => {
        stopMaintenance();
        this.#regions.stop();
        await new Promise<void>((resolve) => this.#log.settled(resolve));
        await durable.close();
        for (const file of [this.#data, this.#meta, this.#log]) file.close();
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
    return new GroupCommit(this.#data, {
      starts: () => (syncing = progress.applied),
      synced: () => (progress.flushed = syncing),
      failed: (error) => this.#store?.die(error),
    });
  }

  #makePages(): ExtentPages {
    const { disk, durable, warn } = this.#options;
    return new ExtentPages({
      file: this.#meta,
      budgetBytes: metadataBudget(this.#sizeBytes),
      storeTag: zlib.crc32(durable.superblock.identity.replicaId),
      isUntrusted: (extent) => this.#regions.isUntrusted(extent),
      recompute: (page) => {
        recomputePage(page, this.#data, dataFileBytes(this.#sizeBytes));
        this.#regions.trust(page.extent);
      },
      nextWithData: (extent) => {
        const offset = this.#data.seekData(extent * EXTENT_BYTES);
        return offset === null ? Infinity : Math.floor(offset / EXTENT_BYTES);
      },
      damaged: (extent) => {
        this.#damagedPages += 1;
        warn(
          `The checksums of extent ${extent} (bytes from ${extent * EXTENT_BYTES}) are damaged. ` +
            'The extent is not read until it was compared with another replica.',
        );
      },
      rewritten: (extent) => {
        this.#damagedPages += 1;
        warn(
          `The stored checksums of extent ${extent} had rotted and were written again from ` +
            'memory: nothing is lost. Check the disk (smartctl -a) when this repeats.',
        );
      },
      writeFailed: (extent, cause) => {
        this.#regions.distrust(extent);
        this.#store?.fail(failureOf('writing an extent page', cause));
      },
      tooNew: (extent) =>
        new StoreError(
          'FORMAT_TOO_NEW',
          `The page of extent ${extent} in ${disk.directory}/${META_FILE} was written by a ` +
            'later version of OpenEBS. Run that version or a later one.',
        ),
    });
  }

  #makeRegions(found: readonly number[]): Regions {
    return new Regions({
      log: this.#log,
      later: this.#options.later,
      regionCount: () => this.#regionCount,
      found,
      syncData: (done) => this.#commits.flush(done),
      syncMeta: (done) => this.#meta.sync(done),
      writePages: (region) => this.#writePages(region),
      ready: () => this.#store?.resume(),
      pagesNotWritten: (cause) => this.#store?.fail(failureOf('writing extent pages', cause)),
      failed: (what, cause) => this.#store?.die(failureOf(what, cause)),
    });
  }

  #writePages(region: number): void {
    const first = region * EXTENTS_PER_REGION;
    for (let extent = first; extent < first + EXTENTS_PER_REGION; extent += 1) {
      if (this.#regions.isUntrusted(extent)) this.#pages.get(extent);
      const page = this.#pages.peek(extent);
      // Written as confirmed, because confirmations of old epochs are forgotten one day.
      if (page?.dirty === true && page.provisional && this.#standing.isKnown(page)) page.confirm();
      this.#pages.writeBack(extent);
    }
  }
}

function metadataBudget(sizeBytes: number): number {
  const share = Math.ceil((sizeBytes / TIB) * METADATA_BYTES_PER_TIB);
  return Math.min(Math.max(share, METADATA_BYTES_FLOOR), METADATA_BYTES_CEILING);
}

function laterVersion(one: Version, other: Version): Version {
  const isLater = other.epoch > one.epoch || (other.epoch === one.epoch && other.seq > one.seq);
  return isLater ? other : one;
}
