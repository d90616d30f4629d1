import { MAX_REPLICAS } from '../limits.ts';
import { dnsLabel } from './schemas.ts';

const text = { type: 'string' } as const;

/** Schemas of what a volume is created with, and changed to. */
const chapSchema = {
  type: 'object',
  description:
    'Initiators have to know the secret (12 to 255 bytes). Secrets are never told again.',
  required: ['user', 'secret'],
  additionalProperties: false,
  properties: { user: text, secret: text, mutualUser: text, mutualSecret: text },
} as const;

const aSize = { anyOf: [{ required: ['size'] }, { required: ['sizeBytes'] }] } as const;

export const createVolumeBody = {
  type: 'object',
  required: ['name'],
  additionalProperties: false,
  // A clone is as large as its snapshot where nothing else is asked for.
  oneOf: [
    { required: ['size'] },
    { required: ['sizeBytes'] },
    { required: ['source'], not: aSize },
  ],
  properties: {
    name: dnsLabel,
    size: { type: 'string', maxLength: 32, description: '`1GiB`, `500M`; rounded up to 4 KiB' },
    sizeBytes: { type: 'integer', minimum: 1 },
    replicas: {
      type: 'integer',
      minimum: 1,
      maximum: MAX_REPLICAS,
      description: '3 where nothing is said; of a clone as many as its origin has',
    },
    chap: chapSchema,
    source: {
      type: 'object',
      description:
        'The volume begins as a clone: it shares the blocks of this snapshot until it writes its own. ' +
        'Without `snapshot` one is taken first.',
      required: ['volume'],
      additionalProperties: false,
      properties: { volume: dnsLabel, snapshot: dnsLabel },
    },
  },
} as const;

export const changeVolumeBody = {
  type: 'object',
  additionalProperties: false,
  minProperties: 1,
  not: { required: ['size', 'sizeBytes'] },
  properties: {
    size: { type: 'string', maxLength: 32, description: '`2GiB`; it can only grow' },
    sizeBytes: { type: 'integer', minimum: 1 },
    replicas: { type: 'integer', minimum: 1, maximum: MAX_REPLICAS },
    chap: {
      anyOf: [chapSchema, { type: 'null' }],
      description: 'for logins to come; null: whoever reaches the portal may log in',
    },
    rebuildBytesPerSecond: {
      type: ['integer', 'null'],
      minimum: 1,
      maximum: Number.MAX_SAFE_INTEGER,
      description: 'copied to replicas that come back, at most; null: no limit',
    },
  },
} as const;
