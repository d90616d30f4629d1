import { fs, path, zlib } from '../runtime/builtin.ts';
import {
  BLOCK_BYTES,
  EXTENT_BYTES,
  MAX_VOLUME_BYTES,
  REGION_BYTES,
  SECTOR_BYTES,
  epoch,
  session,
} from '../protocol/types.ts';
import type { Version } from '../protocol/types.ts';
import { METADATA_BYTES_CEILING, METADATA_BYTES_FLOOR, METADATA_BYTES_PER_TIB } from '../limits.ts';
import { ACTIVITY_LOG, decodeActivityLog, encodeActivityLog } from './activity-log.ts';
import { recomputePage } from './block-checksums.ts';
import { DataStore, NO_VERSION } from './data-store.ts';
import type { Progress } from './data-store.ts';
import type { Disk, DiskFile } from './disk.ts';
import { DurableState } from './durable-state.ts';
import { StoreError } from './errors.ts';
import { PAGE_BYTES } from './extent-page.ts';
import { ExtentPages } from './extent-pages.ts';
import { failureOf } from './failure.ts';
import { GroupCommit } from './group-commit.ts';
import { NodeDisk } from './node-disk.ts';
import { Reader } from './reader.ts';
import { EXTENTS_PER_REGION, Regions } from './regions.ts';
import { Standing } from './standing.ts';
import { SUPERBLOCK, decodeSuperblock, encodeSuperblock } from './superblock.ts';
import type { Superblock } from './superblock.ts';
import { systemErrorCode } from './system-error.ts';
import { TwoSlotFile } from './two-slot-file.ts';
import type { Store, StoreOptions } from './types.ts';
import { WitnessStore } from './witness-store.ts';
import { Writer } from './writer.ts';

const DATA_FILE = '000001.img';
const META_FILE = '000001.meta';
const DIRECTORY_MODE = 0o700;
const MAINTENANCE_MS = 10_000;
const TIB = 1024 ** 4;

/** What a store takes from its surroundings; a simulator brings its own. */
export interface StoreEnvironment {
  readonly disk: Disk;
  /** Calls back every so often until the returned function is called; does not keep the process alive. */
  readonly every: (intervalMs: number, tick: () => void) => () => void;
}

interface Closable {
  close(): void;
}

/**
 * Opens the store in a directory of this host, or makes it. Rejects with a StoreError: LOCKED, PERMISSION_DENIED,
 * READ_ONLY_FILE_SYSTEM, NOT_A_STORE, WRONG_VOLUME, WRONG_SIZE, SUPERBLOCK_DAMAGED, FORMAT_TOO_NEW, TOO_LARGE, NO_SPACE or IO_ERROR.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { directory, create } = options;
  try {
    if (create !== null) makeDirectory(directory);
    else if (!fs.existsSync(directory)) throw notAStore(directory, 'the directory does not exist');
  } catch (cause) {
    throw failureOf(`making the directory ${directory}`, cause);
  }
  const every = (intervalMs: number, tick: () => void): (() => void) => {
    const timer = setInterval(tick, intervalMs).unref();
    return () => clearInterval(timer);
  };
  return openStoreOn({ disk: new NodeDisk(directory), every }, options);
}

/** One by one: mkdir's own recursion hides why the file system refuses (EROFS becomes ENOENT). */
function makeDirectory(directory: string): void {
  if (fs.existsSync(directory)) return;
  const parent = path.dirname(directory);
  if (parent !== directory) makeDirectory(parent);
  try {
    fs.mkdirSync(directory, { mode: DIRECTORY_MODE });
  } catch (error) {
    if (systemErrorCode(error) !== 'EEXIST') throw error;
  }
}

/** The same on a disk that is brought along. */
export async function openStoreOn(
  environment: StoreEnvironment,
  options: StoreOptions,
): Promise<Store> {
  const { disk } = environment;
  const opened: Closable[] = [];
  let locked = false;
  try {
    const lock = disk.lock();
    if (!lock.held)
      throw new StoreError(
        'LOCKED',
        `Process ${lock.holder} has ${disk.directory} open. One process at a time may; stop that one first.`,
      );
    locked = true;
    return await openLocked(environment, options, opened);
  } catch (cause) {
    for (const file of opened) file.close();
    if (locked) disk.unlock();
    throw failureOf(`opening the store in ${disk.directory}`, cause);
  }
}

async function openLocked(
  environment: StoreEnvironment,
  options: StoreOptions,
  opened: Closable[],
): Promise<Store> {
  const { disk } = environment;
  const warn = options.warn ?? ((): void => undefined);
  if (!disk.exists(SUPERBLOCK.fileName)) createStore(disk, options);
  let damagedSlots = 0;
  const durable = new DurableState();
  const superblockFile = TwoSlotFile.open(disk, SUPERBLOCK, durable.compose);
  opened.push(superblockFile.file);
  const found = decodeSuperblock(superblockFile.payload);
  checkIdentity(disk.directory, found, options);
  durable.attach(superblockFile.file, found);
  const noteDamage = (fileName: string, slots: number): void => {
    damagedSlots += slots;
    if (slots > 0)
      warn(
        `One of the two slots of ${disk.directory}/${fileName} does not pass its checksum. The other one is used and nothing is lost; check the disk when this repeats.`,
      );
  };
  noteDamage(SUPERBLOCK.fileName, superblockFile.damagedSlots);
  const bootId = disk.bootId();
  const sameBoot = bootId !== null && bootId === found.bootId;

  if (found.identity.role === 'witness') {
    await durable.opened(bootId, sameBoot);
    const release = async (): Promise<void> => {
      await durable.close();
      disk.unlock();
    };
    return new WitnessStore({
      durable,
      start: { cleanStart: found.clean, sameBoot },
      damagedSlots,
      release,
    });
  }

  const { sizeBytes, replicaId } = found.identity;
  const dataBytes = roundUp(sizeBytes, BLOCK_BYTES);
  const data = openPart(disk, DATA_FILE, dataBytes, opened);
  const metaBytes = Math.ceil(sizeBytes / EXTENT_BYTES) * PAGE_BYTES;
  const meta = openPart(disk, META_FILE, metaBytes, opened);

  // The parts refer to each other: the log composes from the regions, which are made from the log.
  const progress: Progress = { applied: NO_VERSION, flushed: NO_VERSION };
  const activity = TwoSlotFile.open(disk, ACTIVITY_LOG, () =>
    encodeActivityLog({ ...progress, regions: regions.include() }),
  );
  opened.push(activity.file);
  noteDamage(ACTIVITY_LOG.fileName, activity.damagedSlots);
  const regionCount = Math.ceil(sizeBytes / REGION_BYTES);
  const log = decodeActivityLog(activity.payload, regionCount);
  const logged = sameBoot ? log.applied : log.flushed;
  progress.applied = later(found.lastVersion, logged);
  progress.flushed = progress.applied;

  let damagedPages = 0;
  let syncing = progress.applied;
  const standing = new Standing(found.confirmed);
  const commits = new GroupCommit(data, {
    starts: () => (syncing = progress.applied),
    synced: () => (progress.flushed = syncing),
    failed: (error) => store.die(error),
  });
  const pages = new ExtentPages({
    file: meta,
    budgetBytes: metadataBudget(sizeBytes),
    storeTag: zlib.crc32(replicaId),
    isUntrusted: (extent) => regions.isUntrusted(extent),
    recompute: (page) => {
      recomputePage(page, data, dataBytes);
      regions.trust(page.extent);
    },
    nextWithData: (extent) => {
      const offset = data.seekData(extent * EXTENT_BYTES);
      return offset === null ? Infinity : Math.floor(offset / EXTENT_BYTES);
    },
    damaged: (extent) => {
      damagedPages += 1;
      warn(
        `The checksums of extent ${extent} (bytes from ${extent * EXTENT_BYTES}) are damaged. The extent is not read until it was compared with another replica.`,
      );
    },
    writeFailed: (extent, cause) => {
      regions.distrust(extent);
      store.fail(failureOf('writing an extent page', cause));
    },
    tooNew: (extent) =>
      new StoreError(
        'FORMAT_TOO_NEW',
        `The page of extent ${extent} in ${disk.directory}/${META_FILE} was written by a later version of OpenEBS. Run that version or a later one.`,
      ),
  });
  const regions = new Regions({
    log: activity.file,
    regionCount,
    found: log.regions,
    syncData: (done) => commits.flush(done),
    syncMeta: (done) => meta.sync(done),
    writePages: (region) => {
      const first = region * EXTENTS_PER_REGION;
      for (let extent = first; extent < first + EXTENTS_PER_REGION; extent += 1) {
        if (regions.isUntrusted(extent)) pages.get(extent);
        const page = pages.peek(extent);
        // What was confirmed meanwhile is written as such: confirmations of old epochs are forgotten one day.
        if (page?.dirty === true && page.provisional && standing.isKnown(page)) page.confirm();
        pages.writeBack(extent);
      }
    },
    ready: () => store.resume(),
    pagesNotWritten: (cause) => store.fail(failureOf('writing extent pages', cause)),
    failed: (what, cause) => store.die(failureOf(what, cause)),
  });
  const writer = new Writer({ data, pages, regions, standing });
  const stopMaintenance = environment.every(MAINTENANCE_MS, () => regions.tick());
  const store = new DataStore({
    durable,
    standing,
    pages,
    regions,
    writer,
    reader: new Reader(data, pages),
    commits,
    data,
    progress,
    start: { cleanStart: found.clean && log.regions.length === 0, sameBoot },
    damagedSlots,
    damagedPages: () => damagedPages,
    release: async () => {
      stopMaintenance();
      regions.stop();
      await new Promise<void>((resolve) => activity.file.settled(resolve));
      await durable.close();
      for (const file of [data, meta, activity.file]) file.close();
      disk.unlock();
    },
  });
  if (!found.clean && found.bootId !== null)
    warn(
      `${disk.directory} was not closed in order: ${log.regions.length} regions of 4 MiB are compared before they count.`,
    );
  try {
    await durable.opened(bootId, sameBoot);
  } catch (error) {
    stopMaintenance();
    throw error;
  }
  return store;
}

function createStore(disk: Disk, options: StoreOptions): void {
  const { create } = options;
  if (create === null) throw notAStore(disk.directory, 'there is no superblock');
  const { volumeId, replicaId, role, sizeBytes } = create;
  if (role === 'data') createParts(disk, sizeBytes);
  const createdAt = new Date().toISOString();
  const superblock: Superblock = {
    identity: { volumeId, replicaId, role, sizeBytes },
    createdAt,
    promised: { epoch: epoch(0), session: session(0) },
    record: null,
    layers: role === 'data' ? [{ id: 1, createdAt, name: null }] : [],
    documents: {},
    clean: true,
    bootId: null,
    intact: true,
    lastVersion: NO_VERSION,
    confirmed: [],
  };
  // The superblock comes last: without it the directory is not a store yet, and the creation begins anew.
  TwoSlotFile.create(disk, SUPERBLOCK, encodeSuperblock(superblock));
}

function createParts(disk: Disk, sizeBytes: number): void {
  if (sizeBytes <= 0 || sizeBytes % SECTOR_BYTES !== 0 || sizeBytes > MAX_VOLUME_BYTES)
    throw new StoreError(
      'TOO_LARGE',
      `A volume has between 512 bytes and 64 TiB in whole sectors of 512 bytes; ${sizeBytes} bytes were asked for.`,
    );
  if (disk.exists(DATA_FILE)) {
    const old = disk.open(DATA_FILE);
    try {
      if (old.seekData(0) !== null)
        throw notAStore(disk.directory, `${DATA_FILE} holds data, but there is no superblock`);
    } finally {
      old.close();
    }
  }
  const sizes = [
    [DATA_FILE, roundUp(sizeBytes, BLOCK_BYTES)],
    [META_FILE, Math.ceil(sizeBytes / EXTENT_BYTES) * PAGE_BYTES],
  ] as const;
  for (const [name, bytes] of sizes) {
    const file = disk.create(name);
    try {
      file.truncate(bytes);
      file.syncNow();
    } finally {
      file.close();
    }
  }
  const log = encodeActivityLog({ applied: NO_VERSION, flushed: NO_VERSION, regions: [] });
  TwoSlotFile.create(disk, ACTIVITY_LOG, log);
}

function checkIdentity(directory: string, found: Superblock, options: StoreOptions): void {
  const { create } = options;
  if (create === null) return;
  const { identity } = found;
  if (identity.volumeId !== create.volumeId || identity.role !== create.role)
    throw new StoreError(
      'WRONG_VOLUME',
      `${directory} holds a ${identity.role} copy of volume ${identity.volumeId}, not a ${create.role} copy of ${create.volumeId}. Give this copy a directory of its own.`,
    );
  if (identity.sizeBytes !== create.sizeBytes)
    throw new StoreError(
      'WRONG_SIZE',
      `The copy in ${directory} has ${identity.sizeBytes} bytes, ${create.sizeBytes} were asked for. Use the size that the volume was made with.`,
    );
}

function openPart(disk: Disk, name: string, bytes: number, opened: Closable[]): DiskFile {
  if (!disk.exists(name)) throw notAStore(disk.directory, `${name} is missing`);
  const file = disk.open(name);
  opened.push(file);
  if (file.size() !== bytes)
    throw new StoreError(
      'WRONG_SIZE',
      `${disk.directory}/${name} has ${file.size()} bytes instead of ${bytes}: something else changed it. Restore it, or remove the directory and let the copy be rebuilt from another replica.`,
    );
  return file;
}

function notAStore(directory: string, why: string): StoreError {
  return new StoreError(
    'NOT_A_STORE',
    `${directory} is not a usable copy of a volume: ${why}. Check the path and that its disk is mounted; a copy that is lost is rebuilt in an empty directory.`,
  );
}

function metadataBudget(sizeBytes: number): number {
  const share = Math.ceil((sizeBytes / TIB) * METADATA_BYTES_PER_TIB);
  return Math.min(Math.max(share, METADATA_BYTES_FLOOR), METADATA_BYTES_CEILING);
}

function later(one: Version, other: Version): Version {
  const isLater = other.epoch > one.epoch || (other.epoch === one.epoch && other.seq > one.seq);
  return isLater ? other : one;
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}
