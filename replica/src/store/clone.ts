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
import { TwoSlotFile } from './two-slot-file.ts';
import type { StoreOptions } from './types.ts';

/**
 * A new copy of a new volume whose frozen layers are those of another copy, up to one of them: the
 * same files under a second name. The other copy may be in use meanwhile. It marks a merge in its
 * superblock before it looks whether the files are shared; here the files are shared before the
 * superblock is looked at; so at least one of the two sees the other.
 */
export function cloneStore(disk: Disk, source: Disk, layer: number, options: StoreOptions): void {
  const { create } = options;
  if (create?.role !== 'data')
    throw new StoreError('NOT_A_STORE', 'A clone is a copy with data; a witness has nothing.');
  removeLeftovers(disk);
  const first = readSuperblock(source);
  const chain = chainToClone(first, layer);
  for (const { data, meta } of chain) for (const name of [data, meta]) disk.link(source, name);
  const origin = readSuperblock(source);
  if (JSON.stringify(chainToClone(origin, layer)) !== JSON.stringify(chain))
    throw new StoreError(
      'LAYERS',
      `The layers of ${source.directory} were merged while they were cloned; begin anew.`,
    );
  const { volumeId, replicaId, sizeBytes } = create;
  if (sizeBytes < origin.identity.sizeBytes)
    throw new StoreError(
      'WRONG_SIZE',
      `A clone has at least the ${origin.identity.sizeBytes} bytes of its origin; ${sizeBytes} ` +
        'were asked for.',
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
    tree: { layers: [...[...chain].reverse(), head], head: head.id },
    documents: {},
    clean: true,
    bootId: null,
    lastVersion: NO_VERSION,
  };
  const format = superblockFormat(superblock);
  TwoSlotFile.create(disk, SUPERBLOCK, encodeSuperblock(superblock), format);
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
  const busy = chain.find(({ complete, merging }) => !complete || merging);
  if (busy === undefined) return chain;
  throw new StoreError(
    'LAYERS',
    `Layer ${busy.id} is being ${busy.complete ? 'merged' : 'filled'}; clone it when that is over.`,
  );
}
