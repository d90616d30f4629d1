import { MAX_REPLICAS } from '../limits.ts';
import { Problem } from '../problem.ts';
import { parseSize } from '../size.ts';
import type { CreateBody } from './volume-creation.ts';

/** What the original made a volume of when its spec named neither size nor replicas. */
const DEFAULT_SIZE = '5G';

const SIZE_KEYS = [
  'volumeprovisioner.mapi.openebs.io/storage-size',
  'openebs.io/capacity',
  'openebs.io/volume-size',
];
const COUNT_KEYS = [
  'volumeprovisioner.mapi.openebs.io/replica-count',
  'openebs.io/jiva-replica-count',
  'openebs.io/replica-count',
];

/** YAML where the header says so, JSON anywhere else: as the original took it. */
export async function parseSpec(body: unknown, contentType: string): Promise<Fields> {
  const text = typeof body === 'string' ? body : '';
  let value: unknown;
  try {
    if (contentType.includes('yaml')) {
      const { parse } = await import('yaml');
      value = parse(text, { maxAliasCount: 10 });
    } else {
      value = JSON.parse(text);
    }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Problem('bad-request', `the spec cannot be read: ${why}`, { cause: error });
  }
  return fieldsOf(value);
}

export type Fields = Readonly<Record<string, unknown>>;

/**
 * Of a PersistentVolumeClaim or Volume with labels and annotations: its name, size, number of
 * replicas, and what it is a clone of. Everything else spoke of things that are not here.
 */
export function volumeOf(spec: Fields): CreateBody {
  const metadata = fieldsOf(spec['metadata']);
  const name = textOf(metadata['name']);
  if (name === null) throw new Problem('bad-request', 'Volume name missing in the spec');
  const notes = { ...fieldsOf(metadata['annotations']), ...fieldsOf(metadata['labels']) };
  const clone = fieldsOf(spec['volumeClone']);
  const isClone = clone['clone'] === true;
  const size =
    textOf(spec['capacity']) ??
    textOf(fieldsOf(spec['spec'])['capacity']) ??
    firstOf(notes, SIZE_KEYS) ??
    (isClone ? null : DEFAULT_SIZE);
  if (size !== null && parseSize(size) === null) {
    throw new Problem('size-invalid', `"${size}" is no size`);
  }
  const count = replicasOf(spec) ?? firstOf(notes, COUNT_KEYS);
  const replicas = count === null ? null : Number(count);
  if (
    replicas !== null &&
    !(Number.isInteger(replicas) && replicas >= 1 && replicas <= MAX_REPLICAS)
  ) {
    throw new Problem(
      'bad-request',
      `a volume has 1 to ${MAX_REPLICAS} replicas, not "${count ?? ''}"`,
    );
  }
  return {
    name,
    ...(size === null ? {} : { size }),
    ...(replicas === null ? {} : { replicas }),
    ...(isClone ? { source: sourceOf(clone) } : {}),
  };
}

export function snapshotOf(spec: Fields): { readonly name: string; readonly volume: string } {
  const name = textOf(fieldsOf(spec['metadata'])['name']);
  const volume = textOf(fieldsOf(spec['spec'])['volumeName']);
  if (name === null) throw new Problem('bad-request', 'Error: snapshot name missing in the spec');
  if (volume === null) throw new Problem('bad-request', 'Error: volume name missing in the spec');
  return { name, volume };
}

function sourceOf(clone: Fields): { readonly volume: string; readonly snapshot?: string } {
  const volume = textOf(clone['sourceVolume']);
  const snapshot = textOf(clone['snapshotName']);
  if (volume === null) throw new Problem('bad-request', 'volumeClone names no sourceVolume');
  return { volume, ...(snapshot === null ? {} : { snapshot }) };
}

/** `specs: [{context: replica, replicas: 3}]`, or `spec.replicas` of 0.7. */
function replicasOf(spec: Fields): string | null {
  const specs: unknown[] = Array.isArray(spec['specs']) ? spec['specs'] : [];
  const replica = specs.map(fieldsOf).find(({ context = 'replica' }) => context === 'replica');
  return textOf(replica?.['replicas']) ?? textOf(fieldsOf(spec['spec'])['replicas']);
}

function firstOf(fields: Fields, keys: readonly string[]): string | null {
  for (const key of keys) {
    const text = textOf(fields[key]);
    if (text !== null) return text;
  }
  return null;
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}

/** YAML makes numbers of what the original kept as text. */
function textOf(value: unknown): string | null {
  if (typeof value === 'number') return String(value);
  return typeof value === 'string' && value !== '' ? value : null;
}
