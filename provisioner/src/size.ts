import { MAX_VOLUME_BYTES, MIN_VOLUME_BYTES, SIZE_STEP_BYTES } from './limits.ts';

const IEC = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;
const UNIT_BYTES: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 1e3,
  kb: 1e3,
  ki: 1024,
  kib: 1024,
  m: 1e6,
  mb: 1e6,
  mi: 1024 ** 2,
  mib: 1024 ** 2,
  g: 1e9,
  gb: 1e9,
  gi: 1024 ** 3,
  gib: 1024 ** 3,
  t: 1e12,
  tb: 1e12,
  ti: 1024 ** 4,
  tib: 1024 ** 4,
};

/**
 * `1GiB`, `500M`, `1.5TiB`, `1073741824`: bytes, or null where it is no size. Units as in
 * Kubernetes: G is 10^9, Gi and GiB are 2^30.
 */
export function parseSize(text: string): number | null {
  const match = /^\s*(\d{1,16}(?:\.\d{1,6})?)\s*([a-z]{0,3})\s*$/i.exec(text);
  if (match === null) return null;
  const unit = UNIT_BYTES[(match[2] ?? '').toLowerCase()];
  if (unit === undefined) return null;
  const bytes = Math.ceil(Number(match[1]) * unit);
  return Number.isSafeInteger(bytes) ? bytes : null;
}

/** IEC units with at most two decimals; exact sizes look exact (`1 GiB`). */
export function formatSize(bytes: number): string {
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < IEC.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${String(Math.round(value * 100) / 100)} ${IEC[unit] ?? 'B'}`;
}

/** The size that a volume gets: rounded up to whole blocks; or why not. */
export function volumeSize(
  requestedBytes: number,
): { readonly bytes: number; readonly rounded: boolean } | { readonly reason: string } {
  const bytes = Math.ceil(requestedBytes / SIZE_STEP_BYTES) * SIZE_STEP_BYTES;
  if (!Number.isSafeInteger(bytes) || bytes > MAX_VOLUME_BYTES) {
    return { reason: `a volume has at most ${formatSize(MAX_VOLUME_BYTES)}` };
  }
  if (requestedBytes < MIN_VOLUME_BYTES) {
    return { reason: `a volume has at least ${formatSize(MIN_VOLUME_BYTES)}` };
  }
  return { bytes, rounded: bytes !== requestedBytes };
}
