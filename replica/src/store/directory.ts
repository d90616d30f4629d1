import {
  BLOCK_BYTES,
  EXTENT_BYTES,
  MAX_VOLUME_BYTES,
  SECTOR_BYTES,
  epoch,
  session,
} from '../protocol/types.ts';
import { ACTIVITY_LOG, encodeActivityLog } from './activity-log.ts';
import { NO_VERSION } from './data-store.ts';
import type { Disk, DiskFile } from './disk.ts';
import { StoreError } from './errors.ts';
import { hasLength } from './growth.ts';
import { PAGE_BYTES } from './extent-page.ts';
import { dataFileName, metaFileName, newLayer } from './layer-tree.ts';
import { SUPERBLOCK, encodeSuperblock, storeTagOf, superblockFormat } from './superblock.ts';
import type { Superblock } from './superblock.ts';
import { TwoSlotFile } from './two-slot-file.ts';
import type { StoreOptions } from './types.ts';

const DATA_FILE = dataFileName(1);
const META_FILE = metaFileName(1);

export interface Closable {
  close(): void;
}

/** The raw image, rounded up so that its last block is whole. */
export function dataFileBytes(sizeBytes: number): number {
  return Math.ceil(sizeBytes / BLOCK_BYTES) * BLOCK_BYTES;
}

export function metaFileBytes(sizeBytes: number): number {
  return Math.ceil(sizeBytes / EXTENT_BYTES) * PAGE_BYTES;
}

/** Makes the files of a new copy. */
export function createStore(disk: Disk, options: StoreOptions): void {
  const { create } = options;
  if (create === null) throw notAStore(disk.directory, 'there is no superblock');
  const { volumeId, replicaId, role, sizeBytes } = create;
  if (role === 'data') createParts(disk, sizeBytes);
  const createdAt = new Date().toISOString();
  const first = newLayer({ id: 1, parent: null, createdAt }, storeTagOf(replicaId));
  const superblock: Superblock = {
    identity: { volumeId, replicaId, role, sizeBytes },
    createdAt,
    promised: { epoch: epoch(0), session: session(0) },
    record: null,
    tree: role === 'data' ? { layers: [first], head: first.id } : { layers: [], head: 0 },
    documents: {},
    clean: true,
    bootId: null,
    intact: true,
    lastVersion: NO_VERSION,
    confirmed: [],
  };
  // The superblock comes last: without it the directory is not a store yet, and the creation begins
  // anew.
  const format = superblockFormat(superblock);
  TwoSlotFile.create(disk, SUPERBLOCK, encodeSuperblock(superblock), format);
}

function createParts(disk: Disk, sizeBytes: number): void {
  if (sizeBytes <= 0 || sizeBytes % SECTOR_BYTES !== 0 || sizeBytes > MAX_VOLUME_BYTES)
    throw new StoreError(
      sizeBytes > MAX_VOLUME_BYTES ? 'TOO_LARGE' : 'WRONG_SIZE',
      `A volume has between 512 bytes and 64 TiB in whole sectors of 512 bytes; ${sizeBytes} ` +
        'bytes were asked for.',
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
    [DATA_FILE, dataFileBytes(sizeBytes)],
    [META_FILE, metaFileBytes(sizeBytes)],
  ] as const;
  for (const [name, bytes] of sizes) createFile(disk, name, bytes);
  const log = encodeActivityLog({ applied: NO_VERSION, flushed: NO_VERSION, regions: [] });
  TwoSlotFile.create(disk, ACTIVITY_LOG, log);
}

/** An empty file of this size, durable but for its name. */
export function createFile(disk: Disk, name: string, bytes: number): void {
  const file = disk.create(name);
  try {
    file.truncate(bytes);
    file.syncNow();
  } finally {
    file.close();
  }
}

export function checkIdentity(directory: string, found: Superblock, options: StoreOptions): void {
  const { create } = options;
  if (create === null) return;
  const { identity } = found;
  if (identity.volumeId !== create.volumeId || identity.role !== create.role)
    throw new StoreError(
      'WRONG_VOLUME',
      `${directory} holds a ${identity.role} copy of volume ${identity.volumeId}, not a ` +
        `${create.role} copy of ${create.volumeId}. Give this copy a directory of its own.`,
    );
  // A smaller one grows when its target says so.
  if (identity.sizeBytes > create.sizeBytes)
    throw new StoreError(
      'WRONG_SIZE',
      `The copy in ${directory} has ${identity.sizeBytes} bytes, ${create.sizeBytes} were asked ` +
        'for. Use the size that the volume has.',
    );
}

export function openPart(disk: Disk, name: string, bytes: number, opened: Closable[]): DiskFile {
  if (!disk.exists(name)) throw notAStore(disk.directory, `${name} is missing`);
  const file = disk.open(name);
  opened.push(file);
  if (!hasLength(file, bytes))
    throw new StoreError(
      'WRONG_SIZE',
      `${disk.directory}/${name} has ${file.size()} bytes instead of ${bytes}: something else ` +
        'changed it. Restore it, or remove the directory and let the copy be rebuilt from ' +
        'another replica.',
    );
  return file;
}

export function notAStore(directory: string, why: string): StoreError {
  return new StoreError(
    'NOT_A_STORE',
    `${directory} is not a usable copy of a volume: ${why}. Check the path and that its disk is ` +
      'mounted; a copy that is lost is rebuilt in an empty directory.',
  );
}
