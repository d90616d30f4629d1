const KIBI = 1024n;

/** Units as in Kubernetes: G and GB are 10^9, Gi and GiB are 2^30. */
const UNITS: Readonly<Record<string, bigint>> = {
  '': 1n,
  b: 1n,
  k: 1000n,
  kb: 1000n,
  ki: KIBI,
  kib: KIBI,
  m: 1000n ** 2n,
  mb: 1000n ** 2n,
  mi: KIBI ** 2n,
  mib: KIBI ** 2n,
  g: 1000n ** 3n,
  gb: 1000n ** 3n,
  gi: KIBI ** 3n,
  gib: KIBI ** 3n,
  t: 1000n ** 4n,
  tb: 1000n ** 4n,
  ti: KIBI ** 4n,
  tib: KIBI ** 4n,
};

const IEC_NAMES = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** What was typed is no size; the message says what is allowed. */
export class SizeError extends Error {
  override readonly name = 'SizeError';
}

/** `1GiB`, `1.5Ti`, `10G`, `1073741824`: bytes, exact. Throws SizeError. */
export const parseSize = (text: string): number => {
  const match = /^\s*(\d{1,16})(?:\.(\d{1,12}))?\s*([a-z]{0,3})\s*$/i.exec(text);
  const unit = UNITS[(match?.[3] ?? '').toLowerCase()];
  if (match === null || unit === undefined) {
    throw new SizeError(
      `"${text}" is no size; write bytes or a number with a unit, as 1GiB, 512Mi, 1.5TiB or ` +
        '10G (G is 10^9, Gi and GiB are 2^30)',
    );
  }
  const fraction = match[2] ?? '';
  const scale = 10n ** BigInt(fraction.length);
  const scaled = BigInt((match[1] ?? '0') + fraction) * unit;
  if (scaled % scale !== 0n) throw new SizeError(`"${text}" is no whole number of bytes`);
  const bytes = scaled / scale;
  if (bytes > BigInt(Number.MAX_SAFE_INTEGER)) throw new SizeError(`"${text}" is too large`);
  return Number(bytes);
};

/** IEC units with at most two decimals; whole sizes look whole: `1 GiB`. */
export const formatSize = (bytes: number): string => {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < IEC_NAMES.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Math.round(value * 100) / 100} ${IEC_NAMES[unit] ?? 'B'}`;
};
