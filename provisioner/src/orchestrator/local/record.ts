import { randomUUID } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  MAX_RECORD_BYTES,
  MAX_REPLICAS,
  MAX_VOLUME_BYTES,
  MIN_VOLUME_BYTES,
} from '../../limits.ts';
import type { ChapView, SourceView, VolumeSpec } from '../orchestrator.ts';
import { replaceFile } from './atomic-file.ts';

/**
 * Version 1: the first. A reader refuses what it does not know, so that a downgrade cannot misread
 * a volume.
 */
export const RECORD_FORMAT = 1;
export const RECORD_FILE = 'volume.json';
/** The record's name until everything else of the volume is there: before that there is none. */
export const CREATING_RECORD_FILE = 'volume.json.creating';
/**
 * The record's name from the moment of deletion: a rename needs no space, so that a full disk can
 * be emptied.
 */
export const DELETED_RECORD_FILE = 'volume.json.deleted';

export interface MemberRecord {
  readonly id: string;
  readonly index: number;
  readonly role: 'data' | 'witness';
  /** It shall be a member no more, and goes when the target does without it. */
  readonly leaving?: boolean;
}

/** The state of record of one volume: `volumes/<name>/volume.json`, replaced atomically. */
export interface VolumeRecord {
  readonly formatVersion: typeof RECORD_FORMAT;
  readonly name: string;
  readonly id: string;
  readonly sizeBytes: number;
  readonly members: readonly MemberRecord[];
  /** Stays the same over restarts, because initiators remember it. */
  readonly portalPort: number;
  readonly generation: number;
  readonly createdAt: string;
  readonly idempotencyKey: string | null;
  /** Until the replicas keep the CHAP settings that it was created with; null from then on. */
  readonly firstChap: ChapView | null;
  /** Null where it is no clone. */
  readonly source: SourceView | null;
}

export class RecordError extends Error {
  override readonly name = 'RecordError';
}

export function newRecord(
  spec: VolumeSpec,
  options: {
    portalPort: number;
    idempotencyKey: string | null;
    createdAt: Date;
    source?: SourceView;
  },
): VolumeRecord {
  const data = Array.from({ length: spec.replicas }, (_, i) => member(i + 1, 'data'));
  // An even number of voters cannot outvote the loss of half of them: a witness votes besides.
  const witness = spec.replicas % 2 === 0 ? [member(spec.replicas + 1, 'witness')] : [];
  return {
    formatVersion: RECORD_FORMAT,
    name: spec.name,
    id: randomUUID(),
    sizeBytes: spec.sizeBytes,
    members: [...data, ...witness],
    portalPort: options.portalPort,
    generation: 1,
    createdAt: options.createdAt.toISOString(),
    idempotencyKey: options.idempotencyKey,
    firstChap: chapView(spec.chap ?? null),
    source: options.source ?? null,
  };
}

export function memberName(member: Pick<MemberRecord, 'role' | 'index'>): string {
  return member.role === 'witness' ? 'witness' : `replica-${member.index}`;
}

function member(index: number, role: MemberRecord['role']): MemberRecord {
  return { id: randomUUID(), index, role };
}

export async function writeRecord(
  directory: string,
  record: VolumeRecord,
  file = RECORD_FILE,
): Promise<void> {
  await replaceFile(join(directory, file), `${JSON.stringify(record, null, 2)}\n`);
}

/** Throws RecordError in words where the file is not a record of `name`. */
export async function readRecord(directory: string, name: string): Promise<VolumeRecord> {
  const path = join(directory, RECORD_FILE);
  if ((await stat(path)).size > MAX_RECORD_BYTES) throw new RecordError('it is far too large');
  let parsed: unknown;
  try {
    parsed = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) {
      throw new RecordError(`it is not JSON (${error.message})`, { cause: error });
    }
    throw error;
  }
  return checkRecord(parsed, name);
}

/** Those that leave keep theirs until they are gone. */
const MAX_MEMBER_INDEX = 2 * (MAX_REPLICAS + 1);
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function checkRecord(value: unknown, name: string): VolumeRecord {
  const fields = fieldsOf(value, 'it');
  const format = fields['formatVersion'];
  if (format !== RECORD_FORMAT) {
    throw new RecordError(
      typeof format === 'number' && format > RECORD_FORMAT
        ? `a newer version of OpenEBS wrote it (format ${format}, this one reads ${RECORD_FORMAT})`
        : 'its formatVersion is not 1',
    );
  }
  if (fields['name'] !== name) throw new RecordError('it belongs to another volume');
  const key = fields['idempotencyKey'];
  const createdAt = text(fields, 'createdAt');
  if (Number.isNaN(Date.parse(createdAt))) throw new RecordError('its createdAt is no date');
  return {
    formatVersion: RECORD_FORMAT,
    name,
    id: uuid(fields, 'id'),
    sizeBytes: integer(fields, 'sizeBytes', MIN_VOLUME_BYTES, MAX_VOLUME_BYTES),
    members: membersOf(fields['members']),
    portalPort: integer(fields, 'portalPort', 1, 65_535),
    generation: integer(fields, 'generation', 1, Number.MAX_SAFE_INTEGER),
    createdAt,
    idempotencyKey: typeof key === 'string' ? key : null,
    firstChap: firstChapOf(fields['firstChap']),
    source: sourceOf(fields['source']),
  };
}

function chapView(chap: ChapView | null): ChapView | null {
  return chap === null ? null : { user: chap.user, mutualUser: chap.mutualUser };
}

function firstChapOf(value: unknown): ChapView | null {
  if (value === undefined || value === null) return null;
  const fields = fieldsOf(value, 'its firstChap');
  const hasMutual = fields['mutualUser'] !== null;
  return {
    user: text(fields, 'user'),
    mutualUser: hasMutual ? text(fields, 'mutualUser') : null,
  };
}

function sourceOf(value: unknown): SourceView | null {
  if (value === undefined || value === null) return null;
  const fields = fieldsOf(value, 'its source');
  return {
    volume: text(fields, 'volume'),
    volumeId: uuid(fields, 'volumeId'),
    snapshot: text(fields, 'snapshot'),
  };
}

function membersOf(value: unknown): MemberRecord[] {
  if (!Array.isArray(value)) throw new RecordError('its members are no list');
  const members = value.map((item: unknown): MemberRecord => {
    const fields = fieldsOf(item, 'a member');
    const role = fields['role'];
    if (role !== 'data' && role !== 'witness') throw new RecordError("a member's role is unknown");
    const index = integer(fields, 'index', 1, MAX_MEMBER_INDEX);
    const leaving = fields['leaving'] === true ? { leaving: true } : {};
    return { id: uuid(fields, 'id'), index, role, ...leaving };
  });
  const copies = members.filter(({ role, leaving }) => role === 'data' && leaving !== true).length;
  const distinct = new Set(members.map(({ index }) => index)).size;
  if (copies < 1 || copies > MAX_REPLICAS || distinct !== members.length) {
    throw new RecordError('its members do not make a volume');
  }
  return members;
}

function fieldsOf(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new RecordError(`${what} is no JSON object`);
  }
  return value as Record<string, unknown>;
}

function text(fields: Record<string, unknown>, name: string): string {
  const value = fields[name];
  if (typeof value !== 'string') throw new RecordError(`its ${name} is missing`);
  return value;
}

function uuid(fields: Record<string, unknown>, name: string): string {
  const value = text(fields, name);
  if (!UUID.test(value)) throw new RecordError(`its ${name} is no UUID`);
  return value;
}

function integer(
  fields: Record<string, unknown>,
  name: string,
  minimum: number,
  maximum: number,
): number {
  const value = fields[name];
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) {
    throw new RecordError(`its ${name} is no whole number`);
  }
  if (value < minimum || value > maximum) throw new RecordError(`its ${name} is out of range`);
  return value;
}
