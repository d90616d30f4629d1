import { fs, path } from '../runtime/builtin.ts';
import { Assembly } from './assembly.ts';
import { cloneStore } from './clone.ts';
import { checkIdentity, createStore, notAStore } from './directory.ts';
import type { Closable } from './directory.ts';
import { ACTIVITY_LOG } from './activity-log.ts';
import type { Disk } from './disk.ts';
import { DurableState } from './durable-state.ts';
import { StoreError } from './errors.ts';
import { failureOf } from './failure.ts';
import { LAYER_FILE_PATTERN } from './layer-tree.ts';
import { NodeDisk } from './node-disk.ts';
import { SUPERBLOCK, decodeSuperblock } from './superblock.ts';
import { systemErrorCode } from './system-error.ts';
import { TwoSlotFile } from './two-slot-file.ts';
import type { Store, StoreOptions } from './types.ts';
import { WitnessStore } from './witness-store.ts';

const DIRECTORY_MODE = 0o700;
const MAINTENANCE_MS = 10_000;
/** Beside layers, what a creation that was interrupted leaves, and what mkfs makes. */
const EXPECTED = /^(?:(?:superblock|activity|redo)(?:\.new)?|lock|lost\+found)$/;

/** What a store takes from its surroundings; a simulator brings its own. */
export interface StoreEnvironment {
  readonly disk: Disk;
  /**
   * Calls back every so often until the returned function is called; does not keep the process
   * alive.
   */
  readonly every: (intervalMs: number, tick: () => void) => () => void;
  /** Calls back in a later turn of the event loop. */
  readonly later: (callback: () => void) => void;
}

/**
 * Opens the store in a directory of this host, or makes it. Rejects with a StoreError: LOCKED,
 * PERMISSION_DENIED, READ_ONLY_FILE_SYSTEM, NOT_A_STORE, WRONG_VOLUME, WRONG_SIZE,
 * SUPERBLOCK_DAMAGED, FORMAT_TOO_NEW, TOO_LARGE, NO_SPACE or IO_ERROR.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { directory, create } = options;
  try {
    if (create !== null) {
      makeDirectory(directory);
      refuseForeign(directory);
    } else if (!fs.existsSync(directory))
      throw notAStore(directory, 'the directory does not exist');
  } catch (cause) {
    throw failureOf(`making the directory ${directory}`, cause);
  }
  const every = (intervalMs: number, tick: () => void): (() => void) => {
    const timer = setInterval(tick, intervalMs).unref();
    return () => clearInterval(timer);
  };
  return openStoreOn({ disk: new NodeDisk(directory), every, later: setImmediate }, options);
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

/** A copy is not made among the files of others. */
function refuseForeign(directory: string): void {
  const names = fs.readdirSync(directory);
  if (names.includes(SUPERBLOCK.fileName)) return;
  const foreign = names.filter((name) => !EXPECTED.test(name) && !LAYER_FILE_PATTERN.test(name));
  if (foreign.length === 0) return;
  const some = foreign.slice(0, 3).join(', ') + (foreign.length > 3 ? ', ...' : '');
  throw new StoreError(
    'NOT_A_STORE',
    `${directory} holds no copy of a volume and is not empty: it has ${some}. Check the path, ` +
      'or choose a new or an empty directory.',
  );
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
        `Process ${lock.holder} has ${disk.directory} open. One process at a time may; stop ` +
          'that one first.',
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
  const { disk, every, later } = environment;
  const warn = options.warn ?? ((): void => undefined);
  const { cloneFrom = null } = options;
  if (!disk.exists(SUPERBLOCK.fileName)) {
    if (cloneFrom === null) createStore(disk, options);
    else cloneStore(disk, disk.sibling(cloneFrom.directory), cloneFrom.layer, options);
  }
  // The names of the files too: whoever made them may have been killed before they were durable.
  disk.syncDirectory();
  const durable = new DurableState();
  const superblock = TwoSlotFile.open(disk, SUPERBLOCK, durable.compose, durable.format);
  opened.push(superblock.file);
  const found = decodeSuperblock(superblock.payload);
  checkIdentity(disk.directory, found, options);
  durable.attach(superblock.file, found);
  const noteDamage = (fileName: string, slots: number): void => {
    if (slots === 0) return;
    warn(
      `One of the two slots of ${disk.directory}/${fileName} does not pass its checksum. The ` +
        'other one is used and nothing is lost; check the disk when this repeats.',
    );
  };
  noteDamage(SUPERBLOCK.fileName, superblock.damagedSlots);
  const bootId = disk.bootId();
  const sameBoot = bootId !== null && bootId === found.bootId;

  if (found.identity.role === 'witness') {
    await durable.opened(bootId, sameBoot);
    return new WitnessStore({
      durable,
      start: { cleanStart: found.clean, sameBoot },
      damagedSlots: superblock.damagedSlots,
      release: async () => {
        await durable.close();
        disk.unlock();
      },
    });
  }

  const assembly = new Assembly({ disk, every, later, durable, sameBoot, warn, opened });
  noteDamage(ACTIVITY_LOG.fileName, assembly.damagedSlots);
  if (!found.clean)
    warn(
      `${disk.directory} was not closed in order: ${assembly.foundRegions} regions of 4 MiB are ` +
        'compared before they count.',
    );
  const stopMaintenance = every(MAINTENANCE_MS, () => assembly.tick());
  const damagedSlots = superblock.damagedSlots + assembly.damagedSlots;
  const store = assembly.store(damagedSlots, stopMaintenance);
  try {
    await durable.opened(bootId, sameBoot);
  } catch (error) {
    stopMaintenance();
    throw error;
  }
  return store;
}
