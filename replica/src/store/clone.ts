import { CLONE_ATTEMPTS } from '../limits.ts';
import { session } from '../protocol/types.ts';
import { ACTIVITY_LOG, encodeActivityLog } from './activity-log.ts';
import { createFile, dataFileBytes, metaFileBytes } from './directory.ts';
import type { Disk } from './disk.ts';
import { StoreError } from './errors.ts';
import { chainOf, LAYER_FILE_PATTERN, layerOf, newLayer } from './layer-tree.ts';
import type { StoredLayer } from './layer-tree.ts';
import { decodeSuperblock, SUPERBLOCK, encodeSuperblock, storeTagOf } from './superblock.ts';
import { superblockFormat } from './superblock.ts';
import type { Superblock } from './superblock.ts';
import { NO_VERSION } from './data-store.ts';
import { systemErrorCode } from './system-error.ts';
import { TwoSlotFile } from './two-slot-file.ts';
import type { StoreOptions } from './types.ts';

/** Of the origin, and the clone's too: who may log in to one may log in to the other. */
const INHERITED_DOCUMENTS = ['settings'];

/**
 * A new copy of a new volume whose frozen layers are those of another copy, up to one of them: the
 * same files under a second name, and no snapshots any more. The other copy may be in use
 * meanwhile. It marks a merge in its superblock before it looks whether the files are shared; here
 * the files are shared before the superblock is looked at; so at least one of the two sees the
 * other. A merge that began before goes on: it only fills holes of the upper layer's file, with
 * what the lower one, which is linked too, shows there anyway.
 */
export function cloneStore(disk: Disk, source: Disk, layer: number, options: StoreOptions): void {
  const { create } = options;
  if (create?.role !== 'data')
    throw new StoreError('NOT_A_STORE', 'A clone is a copy with data; a witness has nothing.');
  const { origin, chain } = linkChain(disk, source, layer);
  const { volumeId, replicaId, sizeBytes } = create;
  const least = dataBytes(disk, layerOf(origin.tree, layer));
  if (dataFileBytes(sizeBytes) < least)
    throw new StoreError(
      'WRONG_SIZE',
      `A clone has at least the ${least} bytes of its origin's snapshot; ${sizeBytes} were asked for.`,
    );
  const createdAt = new Date().toISOString();
  const head = newLayer({ id: layer + 1, parent: layer, createdAt }, storeTagOf(replicaId));
  createFile(disk, head.data, dataFileBytes(sizeBytes));
  createFile(disk, head.meta, metaFileBytes(sizeBytes));
  const log = encodeActivityLog({ applied: NO_VERSION, flushed: NO_VERSION, regions: [] });
  TwoSlotFile.create(disk, ACTIVITY_LOG, log);
  const superblock: Superblock = {
    ...origin,
    identity: { volumeId, replicaId, role: 'data', sizeBytes },
    createdAt,
    // The versions of the shared layers are of the origin's epochs: a target of the clone has to
    // begin above them, or two versions could be the same and mean different bytes.
    promised: { epoch: origin.promised.epoch, session: session(0) },
    record: null,
    tree: { layers: [...chain.map(inherited).reverse(), head], head: head.id },
    documents: inheritedDocuments(origin),
    clean: true,
    bootId: null,
    lastVersion: NO_VERSION,
  };
  const format = superblockFormat(superblock);
  TwoSlotFile.create(disk, SUPERBLOCK, encodeSuperblock(superblock), format);
}

/** The layer's chain as it was at the source when all its files had been linked. */
function linkChain(
  disk: Disk,
  source: Disk,
  layer: number,
): { readonly origin: Superblock; readonly chain: readonly StoredLayer[] } {
  for (let attempt = 1; attempt <= CLONE_ATTEMPTS; attempt += 1) {
    removeLeftovers(disk);
    const before = chainToClone(readSuperblock(source), layer);
    const linked = linkAll(disk, source, before);
    const origin = readSuperblock(source);
    const chain = chainToClone(origin, layer);
    if (linked && namesOf(chain) === namesOf(before)) return { origin, chain };
  }
  throw new StoreError(
    'LAYERS',
    `The layers of ${source.directory} changed each time that they were cloned; try again.`,
  );
}

/** False: a file is gone, because its layer was merged just now. */
function linkAll(disk: Disk, source: Disk, chain: readonly StoredLayer[]): boolean {
  try {
    for (const { data, meta } of chain) for (const name of [data, meta]) disk.link(source, name);
    return true;
  } catch (cause) {
    if (systemErrorCode(cause) === 'ENOENT') return false;
    throw cause;
  }
}

function namesOf(chain: readonly StoredLayer[]): string {
  return JSON.stringify(chain.map(({ id, data, meta, storeTag }) => [id, data, meta, storeTag]));
}

/**
 * The snapshots are the origin's. Nothing of the origin is merged into what the clone has on top of
 * the first layer.
 */
function inherited(layer: StoredLayer, index: number): StoredLayer {
  return { ...layer, name: null, merging: layer.merging && index > 0 };
}

function inheritedDocuments({ documents }: Superblock): Superblock['documents'] {
  return Object.fromEntries(
    Object.entries(documents).filter(([name]) => INHERITED_DOCUMENTS.includes(name)),
  );
}

function dataBytes(disk: Disk, { data }: StoredLayer): number {
  const file = disk.open(data);
  try {
    return file.size();
  } finally {
    file.close();
  }
}

/** What an attempt left that came to no end; the superblock is made last. */
function removeLeftovers(disk: Disk): void {
  for (const name of disk.list()) if (LAYER_FILE_PATTERN.test(name)) disk.remove(name);
}

function readSuperblock(source: Disk): Superblock {
  const { file, payload } = TwoSlotFile.open(source, SUPERBLOCK, () => new Uint8Array());
  file.close();
  return decodeSuperblock(payload);
}

/** The layer and what lies below it, nearest first. */
function chainToClone({ tree }: Superblock, layer: number): StoredLayer[] {
  const { head } = tree;
  layerOf(tree, layer);
  if (layer === head)
    throw new StoreError('LAYERS', `Layer ${layer} is the head; make a snapshot and clone that.`);
  const chain = chainOf(tree, layer);
  const busy = chain.find(({ complete }) => !complete);
  if (busy === undefined) return chain;
  throw new StoreError('LAYERS', `Layer ${busy.id} is being filled; clone it when that is over.`);
}
