import { ProtocolError } from './errors.ts';
import { Fields } from './fields.ts';
import type { Frame } from './frame.ts';
import type { FrameEncoder } from './encoder.ts';
import { frameFields } from './encoder.ts';
import { readLayers, readLayersChange } from './layers.ts';
import type {
  AtomicWrites,
  Layer,
  LayersChange,
  MembershipRecord,
  ReplicaRole,
  Version,
} from './types.ts';
import { epoch, seq } from './types.ts';
import { UUID_PATTERN } from './uuid.ts';

/**
 * The frames whose payload is JSON. Who a replica is, and what it remembers: the same shapes as
 * StoreIdentity and StoreState.
 */
export interface WelcomeIdentity {
  readonly volumeId: string;
  readonly replicaId: string;
  readonly role: ReplicaRole;
  readonly sizeBytes: number;
}

export interface WelcomeState {
  readonly promisedEpoch: Version['epoch'];
  readonly record: MembershipRecord | null;
  readonly layers: readonly Layer[];
  /** The layer that is written; 0 for a witness. */
  readonly headLayer: number;
  readonly cleanStart: boolean;
  readonly sameBoot: boolean;
  readonly intact: boolean;
  /** Names of the documents that are kept. */
  readonly documents: readonly string[];
  readonly lastVersion: Version;
  /** How long a target that was served before may still answer reads. Milliseconds. */
  readonly leaseRemainingMs: number;
  /** Null for a witness, and for a replica of a release that had no atomic writes. */
  readonly atomic: AtomicWrites | null;
}

/**
 * `code` is one of ProtocolErrorCode, StoreErrorCode or RefusalCode; a peer of another release may
 * know more.
 */
export interface Refusal {
  readonly code: string;
  readonly message: string;
}

export type RefusalCode = 'WRONG_VOLUME' | 'NO_COMMON_VERSION' | 'BUSY' | 'STOPPING' | 'TIMEOUT';

export type Message =
  | {
      readonly kind: 'hello';
      readonly protocolVersions: readonly number[];
      readonly volumeId: string;
      readonly targetName: string;
    }
  | { readonly kind: 'record'; readonly record: MembershipRecord }
  /** The copy grows, durable when answered. */
  | { readonly kind: 'resize'; readonly sizeBytes: number }
  | { readonly kind: 'document-get'; readonly name: string }
  | { readonly kind: 'document-put'; readonly name: string; readonly content: Uint8Array }
  | ({ readonly kind: 'layers' } & LayersChange)
  | {
      readonly kind: 'welcome';
      readonly protocolVersion: number;
      readonly identity: WelcomeIdentity;
      readonly state: WelcomeState;
    }
  | ({ readonly kind: 'refused' } & Refusal)
  /**
   * The state after the promise: a record that an older target made durable after `welcome` is in
   * it.
   */
  | { readonly kind: 'promised'; readonly state: WelcomeState }
  | { readonly kind: 'document'; readonly name: string; readonly content: Uint8Array | null }
  | ({ readonly kind: 'failed-request'; readonly offsetBytes: number | null } & Refusal)
  | {
      readonly kind: 'status';
      readonly state: WelcomeState;
      readonly appliedSeq: number;
      readonly counters: Readonly<Record<string, number>>;
    }
  | { readonly kind: 'fenced'; readonly promisedEpoch: Version['epoch'] }
  /** `offsetBytes`: of the block that could not be written, where it was one. */
  | ({ readonly kind: 'failed'; readonly offsetBytes: number | null } & Refusal);

export type MessageKind = Message['kind'];

const MAX_NAME_LENGTH = 256;
const MAX_REASON_LENGTH = 4096;
const MAX_MEMBERS = 64;
const MAX_DOCUMENTS = 4096;
const CODE_PATTERN = /^[A-Z][A-Z0-9_]{0,47}$/;
const DOCUMENT_NAME_PATTERN = /^[a-z][a-z0-9-]{0,63}$/;
const BASE64_PATTERN = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const UUID_WORDS = 'a UUID in lower case';

/** One frame, header included. The session comes from the encoder. */
export const encodeMessage = (encoder: FrameEncoder, message: Message, requestId = 0): Buffer => {
  const { kind, ...body } = message;
  const fields = frameFields(kind);
  fields.requestId = requestId;
  return encoder.frame(fields, Buffer.from(JSON.stringify(body, base64)));
};

/**
 * Contents of documents travel as base64. A Buffer has gone through its own toJSON when this sees
 * it, so it looks at the holder.
 */
const base64 = function (this: unknown, key: string, value: unknown): unknown {
  const raw = (this as Record<string, unknown>)[key];
  return raw instanceof Uint8Array
    ? Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength).toString('base64')
    : value;
};

export const isMessage = (kind: Frame['kind']): kind is MessageKind => kind in READERS;

/**
 * The frame's JSON, checked field by field; throws MALFORMED_JSON. Keeps nothing of the receive
 * buffer.
 */
export const decodeMessage = (frame: Frame): Message => {
  const { kind } = frame;
  if (!isMessage(kind)) throw new ProtocolError('UNEXPECTED_KIND', `${kind} is no message`);
  return READERS[kind](Fields.parse(kind, frame.payload));
};

const refusal = (fields: Fields): Refusal => ({
  code: fields.matching('code', CODE_PATTERN, 'a code in capitals'),
  message: fields.text('message', MAX_REASON_LENGTH),
});

const READERS: { readonly [Kind in MessageKind]: (fields: Fields) => Message } = {
  hello: (fields) => ({
    kind: 'hello',
    protocolVersions: fields.counts('protocolVersions', 16),
    volumeId: fields.matching('volumeId', UUID_PATTERN, UUID_WORDS),
    targetName: fields.text('targetName', MAX_NAME_LENGTH),
  }),
  record: (fields) => ({ kind: 'record', record: readRecord(fields.object('record')) }),
  resize: (fields) => ({ kind: 'resize', sizeBytes: fields.count('sizeBytes') }),
  'document-get': (fields) => ({ kind: 'document-get', name: readDocumentName(fields) }),
  'document-put': (fields) => ({
    kind: 'document-put',
    name: readDocumentName(fields),
    content: readContent(fields),
  }),
  layers: (fields) => ({ kind: 'layers', ...readLayersChange(fields) }),
  welcome: (fields) => ({
    kind: 'welcome',
    protocolVersion: fields.count('protocolVersion'),
    identity: readIdentity(fields.object('identity')),
    state: readState(fields.object('state')),
  }),
  refused: (fields) => ({ kind: 'refused', ...refusal(fields) }),
  promised: (fields) => ({ kind: 'promised', state: readState(fields.object('state')) }),
  document: (fields) => ({
    kind: 'document',
    name: readDocumentName(fields),
    content: fields.nullableText('content', Infinity) === null ? null : readContent(fields),
  }),
  'failed-request': (fields) => ({
    kind: 'failed-request',
    ...refusal(fields),
    offsetBytes: fields.nullableCount('offsetBytes'),
  }),
  status: (fields) => ({
    kind: 'status',
    state: readState(fields.object('state')),
    appliedSeq: fields.count('appliedSeq'),
    counters: fields.numbers('counters'),
  }),
  fenced: (fields) => ({ kind: 'fenced', promisedEpoch: epoch(fields.count('promisedEpoch')) }),
  failed: (fields) => ({
    kind: 'failed',
    ...refusal(fields),
    offsetBytes: fields.has('offsetBytes') ? fields.nullableCount('offsetBytes') : null,
  }),
};

const readDocumentName = (fields: Fields): string =>
  fields.matching('name', DOCUMENT_NAME_PATTERN, 'a name of lower case letters, digits, hyphens');

const readContent = (fields: Fields): Uint8Array =>
  Buffer.from(fields.matching('content', BASE64_PATTERN, 'base64'), 'base64');

const readRecord = (fields: Fields): MembershipRecord => ({
  volumeId: fields.matching('volumeId', UUID_PATTERN, UUID_WORDS),
  epoch: epoch(fields.count('epoch')),
  configSeq: fields.count('configSeq'),
  inSync: fields.texts('inSync', MAX_MEMBERS, UUID_PATTERN, 'a list of UUIDs'),
  voters: fields.texts('voters', MAX_MEMBERS, UUID_PATTERN, 'a list of UUIDs'),
});

const readVersion = (fields: Fields): Version => ({
  epoch: epoch(fields.count('epoch')),
  seq: seq(fields.count('seq')),
});

const readState = (fields: Fields): WelcomeState => {
  const record = fields.nullableObject('record');
  const layers = readLayers(fields);
  return {
    promisedEpoch: epoch(fields.count('promisedEpoch')),
    record: record === null ? null : readRecord(record),
    layers,
    headLayer: fields.has('headLayer') ? fields.count('headLayer') : (layers.at(-1)?.id ?? 0),
    cleanStart: fields.flag('cleanStart'),
    sameBoot: fields.flag('sameBoot'),
    intact: fields.flag('intact'),
    documents: fields.texts('documents', MAX_DOCUMENTS, DOCUMENT_NAME_PATTERN, 'a list of names'),
    lastVersion: readVersion(fields.object('lastVersion')),
    leaseRemainingMs: fields.count('leaseRemainingMs'),
    atomic: fields.has('atomic') ? readAtomic(fields.nullableObject('atomic')) : null,
  };
};

const readAtomic = (fields: Fields | null): AtomicWrites | null => {
  if (fields === null) return null;
  const last = fields.nullableObject('last');
  return {
    maxBytes: fields.count('maxBytes'),
    last:
      last === null
        ? null
        : { offsetBytes: last.count('offsetBytes'), lengthBytes: last.count('lengthBytes') },
  };
};

const readIdentity = (fields: Fields): WelcomeIdentity => ({
  volumeId: fields.matching('volumeId', UUID_PATTERN, UUID_WORDS),
  replicaId: fields.matching('replicaId', UUID_PATTERN, UUID_WORDS),
  role: fields.matching('role', /^(?:data|witness)$/, '"data" or "witness"') as ReplicaRole,
  sizeBytes: fields.count('sizeBytes'),
});
