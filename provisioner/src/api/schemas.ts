import { MAX_NAME_CHARACTERS, MAX_PAGE_ITEMS } from '../limits.ts';

/** JSON schemas: they validate requests, serialise answers, and are the OpenAPI document. */
export const NAME_PATTERN = '^[a-z0-9]([a-z0-9-]*[a-z0-9])?$';

const text = { type: 'string' } as const;
const nullableText = { type: ['string', 'null'] } as const;
const count = { type: 'integer', minimum: 0 } as const;
const date = { type: 'string', format: 'date-time' } as const;

export const problemSchema = {
  $id: 'Problem',
  type: 'object',
  description: 'RFC 9457. `code` is stable, for programs; `next` is what a person can do.',
  required: ['type', 'title', 'status', 'detail', 'code'],
  properties: {
    type: text,
    title: text,
    status: { type: 'integer' },
    detail: text,
    code: text,
    next: text,
    instance: text,
  },
} as const;

const resyncSchema = {
  type: ['object', 'null'],
  required: ['percent', 'bytesPerSecond', 'etaSeconds'],
  properties: {
    percent: { type: 'number' },
    bytesPerSecond: { type: ['number', 'null'] },
    etaSeconds: { type: ['number', 'null'] },
  },
} as const;

const processStatus = {
  type: 'string',
  enum: ['running', 'starting', 'restarting', 'stopped'],
} as const;

export const replicaSchema = {
  $id: 'Replica',
  type: 'object',
  required: ['id', 'index', 'role', 'mode', 'status', 'node', 'address', 'directory'],
  properties: {
    id: { type: 'string', format: 'uuid' },
    index: count,
    role: { type: 'string', enum: ['data', 'witness'] },
    leaving: { type: 'boolean', description: 'It goes when the volume does without it.' },
    mode: {
      type: 'string',
      enum: ['in-sync', 'syncing', 'offline'],
      description: 'Whether it holds every acknowledged write.',
    },
    since: { ...nullableText, description: 'when the mode became what it is' },
    status: { ...processStatus, description: 'What its process does.' },
    node: text,
    address: text,
    directory: text,
    lastError: nullableText,
    resync: resyncSchema,
  },
} as const;

const nullableNumber = { type: ['number', 'null'] } as const;

const scrubSchema = {
  type: ['object', 'null'],
  description: 'How far the scrub is, and what it or the last one found.',
  required: ['state', 'percent', 'badBlocks', 'divergentBlocks', 'lastCompletedAt', 'nextAt'],
  properties: {
    state: { type: 'string', enum: ['idle', 'running', 'waiting'] },
    percent: { type: 'number' },
    bytesPerSecond: { type: 'number' },
    etaSeconds: nullableNumber,
    startedAt: nullableText,
    badBlocks: count,
    divergentBlocks: count,
    lastCompletedAt: nullableText,
    nextAt: nullableText,
  },
} as const;

const integritySchema = {
  type: ['object', 'null'],
  description: 'Counts are since the target was started.',
  required: ['checksumErrors', 'repairedBlocks', 'divergentBlocks', 'lostBlocks', 'scrub'],
  properties: {
    checksumErrors: { ...count, description: 'copies of blocks without their checksum' },
    repairedBlocks: count,
    divergentBlocks: { ...count, description: 'replicas differed, each with its checksum' },
    lostBlocks: { ...count, description: 'blocks of which no replica has a good copy' },
    lastProblem: nullableText,
    scrub: scrubSchema,
  },
} as const;

export const volumeSchema = {
  $id: 'Volume',
  type: 'object',
  required: ['name', 'id', 'iqn', 'portal', 'lun', 'size', 'sizeText', 'status', 'replicas'],
  properties: {
    name: text,
    id: { type: 'string', format: 'uuid' },
    iqn: text,
    portal: { ...text, description: 'host:port for initiators' },
    lun: count,
    size: { ...count, description: 'bytes' },
    sizeText: text,
    servedSize: {
      type: ['integer', 'null'],
      description: 'what initiators see, while it differs from the size',
    },
    refusal: {
      ...nullableText,
      description: 'why it is not yet what was asked for; null while nothing is refused',
    },
    status: {
      type: 'string',
      enum: ['healthy', 'degraded', 'unavailable', 'starting', 'deleting'],
    },
    access: {
      type: 'string',
      enum: ['read-write', 'read-only', 'waiting', 'none'],
      description: 'what initiators get: everything, reads only, an answer later, or nothing',
    },
    since: { ...date, description: 'when status and access became what they are' },
    reason: { ...nullableText, description: 'why it is not healthy' },
    next: {
      ...nullableText,
      description: 'what happens next by itself, or what somebody has to do',
    },
    controller: {
      type: 'object',
      required: ['status', 'node'],
      properties: { status: processStatus, node: text },
    },
    replicaCount: count,
    inSyncCount: count,
    replicas: { type: 'array', items: { $ref: 'Replica#' } },
    sessions: {
      type: 'array',
      items: {
        type: 'object',
        required: ['initiator', 'address'],
        properties: { initiator: text, address: nullableText },
      },
    },
    integrity: integritySchema,
    chap: {
      type: ['object', 'null'],
      description:
        'what initiators have to prove, without secrets; null: nothing, or not known now',
      required: ['user', 'mutualUser'],
      properties: { user: text, mutualUser: nullableText },
    },
    rebuildBytesPerSecond: {
      type: ['number', 'null'],
      description: 'copied to replicas that come back, at most; null: no limit, or not known now',
    },
    source: {
      type: ['object', 'null'],
      description: 'what it is a clone of; null where it is none',
      required: ['volume', 'volumeId', 'snapshot'],
      properties: { volume: text, volumeId: { type: 'string', format: 'uuid' }, snapshot: text },
    },
    claim: {
      type: ['object', 'null'],
      description: 'in a cluster, the claim that it was made for; null where there is none',
      required: ['namespace', 'name', 'storageClass'],
      properties: { namespace: text, name: text, storageClass: nullableText },
    },
    createdAt: date,
    generation: { ...count, description: 'counts changes of what was asked for; the ETag' },
  },
} as const;

export const statsSchema = {
  $id: 'VolumeStats',
  type: 'object',
  description:
    'Counted since the target was started; a rate is the difference of two answers over that of uptimeSeconds.',
  required: ['volume', 'at', 'uptimeSeconds', 'reads', 'writes', 'size'],
  properties: {
    volume: text,
    at: date,
    uptimeSeconds: { type: 'number', description: 'smaller than before: it counts from zero' },
    reads: count,
    readBytes: count,
    readSeconds: { type: 'number', description: 'sum of the times to the answers' },
    writes: count,
    writeBytes: count,
    writeSeconds: { type: 'number' },
    unmaps: count,
    flushes: count,
    errors: count,
    size: { ...count, description: 'bytes of the volume' },
    logicalBytes: {
      type: ['integer', 'null'],
      description: 'bytes with data as initiators see it, at most; null while no replica tells',
    },
    usedBytes: {
      type: ['integer', 'null'],
      description: 'what one replica takes for data and snapshots',
    },
  },
} as const;

export const damagedSchema = {
  $id: 'DamagedVolume',
  type: 'object',
  description: 'A volume whose record cannot be read: not served, never touched.',
  required: ['name', 'file', 'reason', 'next'],
  properties: { name: text, file: text, reason: text, next: text },
} as const;

export const operationSchema = {
  $id: 'Operation',
  type: 'object',
  required: ['id', 'kind', 'volume', 'status', 'percent', 'message', 'createdAt'],
  properties: {
    id: { type: 'string', format: 'uuid' },
    kind: {
      type: 'string',
      enum: [
        'volume-create',
        'volume-delete',
        'volume-scrub',
        'volume-change',
        'replica-add',
        'replica-remove',
      ],
    },
    volume: text,
    status: { type: 'string', enum: ['running', 'succeeded', 'failed'] },
    percent: { type: 'number', minimum: 0, maximum: 100 },
    message: text,
    error: { anyOf: [{ $ref: 'Problem#' }, { type: 'null' }] },
    createdAt: date,
    finishedAt: { anyOf: [date, { type: 'null' }] },
  },
} as const;

export const eventSchema = {
  $id: 'Event',
  type: 'object',
  required: ['id', 'at', 'kind', 'severity', 'volume', 'message'],
  properties: {
    id: count,
    at: date,
    kind: text,
    severity: { type: 'string', enum: ['info', 'warning'] },
    volume: text,
    message: text,
    status: nullableText,
  },
} as const;

const poolSchema = {
  type: 'object',
  required: ['name', 'node', 'path', 'capacityBytes', 'freeBytes'],
  properties: {
    name: text,
    node: text,
    path: text,
    capacityBytes: nullableNumber,
    freeBytes: nullableNumber,
  },
} as const;

const nodeSchema = {
  type: 'object',
  required: ['name', 'status'],
  properties: { name: text, status: text },
} as const;

export const systemSchema = {
  $id: 'System',
  type: 'object',
  required: ['version', 'status', 'volumes', 'nodes', 'pools', 'damaged'],
  properties: {
    version: text,
    orchestrator: text,
    status: { type: 'string', enum: ['healthy', 'degraded', 'unavailable'] },
    startedAt: date,
    pid: count,
    runtime: text,
    dataDirectory: text,
    volumes: {
      type: 'object',
      required: ['total', 'healthy', 'degraded', 'unavailable', 'starting', 'deleting'],
      properties: {
        total: count,
        healthy: count,
        degraded: count,
        unavailable: count,
        starting: count,
        deleting: count,
      },
    },
    volumeBytes: { ...count, description: 'sum of the sizes' },
    nodes: { type: 'array', items: nodeSchema },
    pools: { type: 'array', items: poolSchema },
    damaged: { type: 'array', items: { $ref: 'DamagedVolume#' } },
  },
} as const;

export const snapshotSchema = {
  $id: 'Snapshot',
  type: 'object',
  required: ['name', 'volume', 'createdAt', 'freedBytes'],
  properties: {
    name: text,
    volume: text,
    createdAt: date,
    sizeBytes: {
      type: ['integer', 'null'],
      description: 'of the volume at that time; a clone has at least this',
    },
    freedBytes: {
      type: ['integer', 'null'],
      description: 'what deleting it would give back on all replicas; null while not known',
    },
    heldMs: { type: 'number', description: 'how long I/O waited while it was made; told once' },
  },
} as const;

export const revertSchema = {
  $id: 'Revert',
  type: 'object',
  required: ['volume', 'snapshot', 'keptAs'],
  properties: {
    volume: text,
    snapshot: text,
    keptAs: { ...text, description: 'the snapshot of what the volume was before' },
  },
} as const;

export const sharedSchemas = [
  problemSchema,
  replicaSchema,
  volumeSchema,
  statsSchema,
  damagedSchema,
  operationSchema,
  eventSchema,
  systemSchema,
  snapshotSchema,
  revertSchema,
];

export const dnsLabel = {
  type: 'string',
  minLength: 1,
  maxLength: MAX_NAME_CHARACTERS,
  pattern: NAME_PATTERN,
  description: 'a DNS label',
} as const;

export const snapshotBody = {
  type: 'object',
  required: ['name'],
  additionalProperties: false,
  properties: { name: dnsLabel },
} as const;

export const snapshotParams = {
  type: 'object',
  required: ['name', 'snapshot'],
  properties: {
    name: { type: 'string', minLength: 1, maxLength: 253 },
    snapshot: { type: 'string', minLength: 1, maxLength: 253 },
  },
} as const;

export const replicaParams = {
  type: 'object',
  required: ['name', 'replica'],
  properties: {
    name: { type: 'string', minLength: 1, maxLength: 253 },
    replica: {
      type: 'string',
      minLength: 1,
      maxLength: 64,
      description: 'its index, its name (`replica-2`) or its id',
    },
  },
} as const;

export const nameParams = {
  type: 'object',
  required: ['name'],
  properties: { name: { type: 'string', minLength: 1, maxLength: 253 } },
} as const;

export const pageQuery = {
  type: 'object',
  additionalProperties: false,
  properties: {
    limit: { type: 'integer', minimum: 1, maximum: MAX_PAGE_ITEMS },
    cursor: { type: 'string', maxLength: 512, description: '`nextCursor` of the page before' },
  },
} as const;

export const problems = {
  '4xx': {
    description: 'refused',
    content: { 'application/problem+json': { schema: { $ref: 'Problem#' } } },
  },
  '5xx': {
    description: 'failed',
    content: { 'application/problem+json': { schema: { $ref: 'Problem#' } } },
  },
} as const;

export const accepted = {
  description: 'begun; `Location` is the operation',
  $ref: 'Operation#',
} as const;
