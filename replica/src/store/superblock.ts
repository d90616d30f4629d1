import { epoch, MAX_VOLUME_BYTES, SECTOR_BYTES, seq, session } from '../protocol/types.ts';
import type {
  Epoch,
  Layer,
  MembershipRecord,
  ReplicaRole,
  Session,
  Version,
} from '../protocol/types.ts';
import { StoreError } from './errors.ts';
import type { TwoSlotKind } from './two-slot-file.ts';
import type { StoreIdentity } from './types.ts';

/** Format 1: the first. The payload is JSON, each field checked when read. */
export const SUPERBLOCK: TwoSlotKind = {
  fileName: 'superblock',
  magic: 'OEBSUPER',
  format: 1,
  slotBytes: 128 * 1024,
};

/** Everything durable about a replica besides its data. */
export interface Superblock {
  readonly identity: StoreIdentity;
  readonly createdAt: string;
  readonly promised: { readonly epoch: Epoch; readonly session: Session };
  readonly record: MembershipRecord | null;
  readonly layers: readonly Layer[];
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
  return Buffer.from(JSON.stringify({ ...superblock, documents }));
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
    layers: layers(top['layers']),
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

/** The first format did not write the parent, the layer before, nor that a layer is complete. */
function layers(value: unknown): Layer[] {
  const result: Layer[] = [];
  for (const each of list(value, 'layers')) {
    const fields = object(each, 'layers');
    const { parent = result.at(-1)?.id ?? null, complete = true } = fields;
    result.push({
      id: count(fields['id'], 'layers.id'),
      parent: parent === null ? null : count(parent, 'layers.parent'),
      name: fields['name'] === null ? null : text(fields['name'], 'layers.name'),
      createdAt: text(fields['createdAt'], 'layers.createdAt'),
      complete: flag(complete, 'layers.complete'),
    });
  }
  return result;
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
