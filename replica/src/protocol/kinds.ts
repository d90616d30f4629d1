/** The byte of the header for each kind. Below 128 the target speaks, from 128 on the replica. */
export const KIND_CODES = {
  hello: 1,
  promise: 2,
  record: 3,
  'document-get': 4,
  'document-put': 5,
  layers: 6,
  resize: 7,
  write: 16,
  unmap: 17,
  stamp: 18,
  'write-atomic': 19,
  read: 32,
  flush: 33,
  allocation: 34,
  'extent-checksums': 35,
  'extent-versions': 36,
  'status-get': 37,
  ping: 38,
  scrub: 39,
  release: 40,
  'read-unchecked': 41,
  'layer-write': 48,
  'layer-zero': 49,
  'layer-clear': 50,
  'layer-reset': 51,
  'layer-seal': 52,
  welcome: 129,
  refused: 130,
  promised: 131,
  done: 132,
  document: 133,
  ack: 144,
  data: 160,
  'failed-request': 161,
  bitmap: 162,
  checksums: 163,
  versions: 164,
  status: 165,
  pong: 166,
  fenced: 192,
  failed: 193,
  bye: 194,
} as const;

export type FrameKind = keyof typeof KIND_CODES;

/**
 * What follows the header:
 * - `nothing`: no table, no payload
 * - `segments`: table of crc32, one for each segment of [offset, offset + length) cut at multiples
 * of 4 KiB; payload of `length` bytes
 * - `json`, `bytes`: table of one crc32 of the payload
 */
export type BodyShape = 'nothing' | 'segments' | 'json' | 'bytes';

const BODY: Readonly<Partial<Record<FrameKind, BodyShape>>> = {
  hello: 'json',
  record: 'json',
  'document-get': 'json',
  'document-put': 'json',
  layers: 'json',
  resize: 'json',
  write: 'segments',
  'write-atomic': 'segments',
  'layer-write': 'segments',
  welcome: 'json',
  refused: 'json',
  promised: 'json',
  document: 'json',
  data: 'segments',
  'failed-request': 'json',
  bitmap: 'bytes',
  checksums: 'bytes',
  versions: 'bytes',
  status: 'json',
  fenced: 'json',
  failed: 'json',
};

/** By the header's byte; undefined where no kind has it. */
export const KINDS: readonly (FrameKind | undefined)[] = (() => {
  const kinds: (FrameKind | undefined)[] = new Array<FrameKind | undefined>(256).fill(undefined);
  for (const kind of Object.keys(KIND_CODES) as FrameKind[]) kinds[KIND_CODES[kind]] = kind;
  return kinds;
})();

export const BODIES: readonly BodyShape[] = KINDS.map((kind) =>
  kind === undefined ? 'nothing' : (BODY[kind] ?? 'nothing'),
);
