import { epoch, MAX_VOLUME_BYTES, SECTOR_BYTES, seq, session } from '../protocol/types.ts';
import type { Epoch, MembershipRecord, ReplicaRole, Session, Version } from '../protocol/types.ts';
import { zlib } from '../runtime/builtin.ts';
import { StoreError } from './errors.ts';
import { dataFileName, LAYER_FILE_PATTERN, metaFileName } from './layer-tree.ts';
import type { LayerTree, StoredLayer } from './layer-tree.ts';
import type { TwoSlotKind } from './two-slot-file.ts';
import type { StoreIdentity } from './types.ts';

/**
 * Format 1: the first. Format 2: a tree of layers; written only where there is more than the one
 * layer of format 1, so that an older release refuses what it would read wrongly. The payload is
 * JSON, each field checked when read.
 */
export const SUPERBLOCK: TwoSlotKind = {
  fileName: 'superblock',
  magic: 'OEBSUPER',
  format: 2,
  slotBytes: 128 * 1024,
};

/** id, createdAt, name. */
const FIRST_FORMAT_FIELDS = 3;

/** Everything durable about a replica besides its data. */
export interface Superblock {
  readonly identity: StoreIdentity;
  readonly createdAt: string;
  readonly promised: { readonly epoch: Epoch; readonly session: Session };
  readonly record: MembershipRecord | null;
  readonly tree: LayerTree;
  readonly documents: Readonly<Record<string, Uint8Array>>;
  /** The last stop was orderly. */
  readonly clean: boolean;
  /** The start of the machine under which the store was last opened. */
  readonly bootId: string | null;
  /** No loss of power has taken anything since the copy was last known to be whole. */
  readonly intact: boolean;
  readonly lastVersion: Version;
  /**
   * Provisional versions of these epochs up to these sequence numbers are as good as others. Newest
   * last.
   */
  readonly confirmed: readonly Version[];
}

export function encodeSuperblock(superblock: Superblock): Buffer {
  const documents: Record<string, string> = {};
  for (const [name, content] of Object.entries(superblock.documents))
    documents[name] = Buffer.from(content).toString('base64');
  const { tree, ...rest } = superblock;
  const layers = tree.layers.map((layer, index) => briefLayer(superblock, layer, index));
  return Buffer.from(JSON.stringify({ ...rest, layers, headLayer: tree.head, documents }));
}

/** The format of the slot that the superblock goes to. */
export function superblockFormat(superblock: Superblock): number {
  const first = ({ id }: StoredLayer, brief: object): boolean =>
    id === 1 && Object.keys(brief).length === FIRST_FORMAT_FIELDS;
  const { layers } = superblock.tree;
  return layers.every((layer, index) => first(layer, briefLayer(superblock, layer, index))) ? 1 : 2;
}

/** What a replica's own pages carry. */
export function storeTagOf(replicaId: string): number {
  return zlib.crc32(replicaId);
}

/** Without what goes without saying, because a slot has to hold hundreds. */
function briefLayer(superblock: Superblock, layer: StoredLayer, index: number): object {
  const { id, createdAt, name, parent, complete, data, meta, storeTag, merging } = layer;
  const before = superblock.tree.layers[index - 1]?.id ?? null;
  return {
    id,
    createdAt,
    name,
    ...(parent === before ? {} : { parent }),
    ...(complete ? {} : { complete }),
    ...(data === dataFileName(id) ? {} : { data }),
    ...(meta === metaFileName(id) ? {} : { meta }),
    ...(storeTag === storeTagOf(superblock.identity.replicaId) ? {} : { storeTag }),
    ...(merging ? { merging } : {}),
  };
}

/** Throws SUPERBLOCK_DAMAGED with the name of the first field that is not what it must be. */
export function decodeSuperblock(payload: Buffer): Superblock {
  let json: unknown;
  try {
    json = JSON.parse(payload.toString());
  } catch (cause) {
    throw damaged('the content', cause);
  }
  const top = object(json, 'the content');
  const identity = object(top['identity'], 'identity');
  const promised = object(top['promised'], 'promised');
  return {
    identity: {
      volumeId: text(identity['volumeId'], 'identity.volumeId'),
      replicaId: text(identity['replicaId'], 'identity.replicaId'),
      role: role(identity['role']),
      sizeBytes: volumeSize(identity['sizeBytes']),
    },
    createdAt: text(top['createdAt'], 'createdAt'),
    promised: {
      epoch: epoch(count(promised['epoch'], 'promised.epoch')),
      session: session(count(promised['session'], 'promised.session')),
    },
    record: top['record'] === null ? null : record(top['record']),
    tree: tree(top, text(identity['replicaId'], 'identity.replicaId')),
    documents: documents(top['documents']),
    clean: flag(top['clean'], 'clean'),
    bootId: top['bootId'] === null ? null : text(top['bootId'], 'bootId'),
    intact: flag(top['intact'], 'intact'),
    lastVersion: version(top['lastVersion'], 'lastVersion'),
    confirmed: list(top['confirmed'], 'confirmed').map((item) => version(item, 'confirmed')),
  };
}

function record(value: unknown): MembershipRecord {
  const fields = object(value, 'record');
  const ids = (name: string): string[] =>
    list(fields[name], `record.${name}`).map((id) => text(id, `record.${name}`));
  return {
    volumeId: text(fields['volumeId'], 'record.volumeId'),
    epoch: epoch(count(fields['epoch'], 'record.epoch')),
    configSeq: count(fields['configSeq'], 'record.configSeq'),
    inSync: ids('inSync'),
    voters: ids('voters'),
  };
}

/** The opposite of briefLayer. */
function tree(top: Record<string, unknown>, replicaId: string): LayerTree {
  const layers: StoredLayer[] = [];
  for (const each of list(top['layers'], 'layers')) {
    const fields = object(each, 'layers');
    const { parent = layers.at(-1)?.id ?? null, complete = true, merging = false } = fields;
    const id = count(fields['id'], 'layers.id');
    const { data = dataFileName(id), meta = metaFileName(id) } = fields;
    if (parent !== null && !layers.some((layer) => layer.id === parent)) throw damaged('a parent');
    layers.push({
      id,
      parent: parent === null ? null : count(parent, 'layers.parent'),
      name: fields['name'] === null ? null : text(fields['name'], 'layers.name'),
      createdAt: text(fields['createdAt'], 'layers.createdAt'),
      complete: flag(complete, 'layers.complete'),
      data: fileName(data, 'layers.data'),
      meta: fileName(meta, 'layers.meta'),
      storeTag: count(fields['storeTag'] ?? storeTagOf(replicaId), 'layers.storeTag'),
      merging: flag(merging, 'layers.merging'),
    });
  }
  const head = count(top['headLayer'] ?? layers.at(-1)?.id ?? 0, 'headLayer');
  if (layers.length > 0 && !layers.some(({ id }) => id === head)) throw damaged('headLayer');
  return { layers, head };
}

function fileName(value: unknown, what: string): string {
  const name = text(value, what);
  if (!LAYER_FILE_PATTERN.test(name)) throw damaged(what);
  return name;
}

function documents(value: unknown): Record<string, Uint8Array> {
  const result: Record<string, Uint8Array> = {};
  for (const [name, content] of Object.entries(object(value, 'documents')))
    result[name] = Buffer.from(text(content, `documents.${name}`, true), 'base64');
  return result;
}

function version(value: unknown, what: string): Version {
  const fields = object(value, what);
  return {
    epoch: epoch(count(fields['epoch'], `${what}.epoch`)),
    seq: seq(count(fields['seq'], `${what}.seq`)),
  };
}

function role(value: unknown): ReplicaRole {
  if (value === 'data' || value === 'witness') return value;
  throw damaged('identity.role');
}

function volumeSize(value: unknown): number {
  const size = count(value, 'identity.sizeBytes');
  if (size % SECTOR_BYTES !== 0 || size > MAX_VOLUME_BYTES) throw damaged('identity.sizeBytes');
  return size;
}

function object(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw damaged(what);
}

function list(value: unknown, what: string): unknown[] {
  if (Array.isArray(value)) return value;
  throw damaged(what);
}

function text(value: unknown, what: string, mayBeEmpty = false): string {
  if (typeof value === 'string' && (mayBeEmpty || value !== '')) return value;
  throw damaged(what);
}

function count(value: unknown, what: string): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw damaged(what);
}

function flag(value: unknown, what: string): boolean {
  if (typeof value === 'boolean') return value;
  throw damaged(what);
}

function damaged(what: string, cause?: unknown): StoreError {
  return new StoreError(
    'SUPERBLOCK_DAMAGED',
    `The superblock passes its checksum, but ${what} is not what it must be. It was not written ` +
      'by this program; restore it, or remove the directory and let the copy be rebuilt.',
    cause === undefined ? {} : { cause },
  );
}
