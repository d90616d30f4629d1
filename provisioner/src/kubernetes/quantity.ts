/**
 * resource.Quantity of Kubernetes: a decimal number with a binary suffix (Ki to Ei), a decimal one
 * (n, u, m, k to E) or an exponent (e3, E-2). Fractions of a byte are rounded up.
 */
const PATTERN = /^([+-]?)(\d+\.?\d*|\.\d+)(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?\d{1,3})?$/;

const BINARY: Readonly<Record<string, bigint>> = {
  Ki: 1n << 10n,
  Mi: 1n << 20n,
  Gi: 1n << 30n,
  Ti: 1n << 40n,
  Pi: 1n << 50n,
  Ei: 1n << 60n,
};

const DECIMAL: Readonly<Record<string, number>> = {
  n: -9,
  u: -6,
  m: -3,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
  E: 18,
};

export class QuantityError extends Error {
  override readonly name = 'QuantityError';
}

/** Whole units (bytes), rounded up; exact however large. Throws QuantityError. */
export const parseQuantity = (text: string): bigint => {
  const match = PATTERN.exec(text);
  if (match === null) {
    throw new QuantityError(`"${text}" is no quantity; write it as 10Gi, 500M or 1073741824.`);
  }
  const [, sign = '', number = '', suffix = ''] = match;
  const [whole = '', fraction = ''] = number.split('.');
  let digits = BigInt(`${whole}${fraction}` === '' ? '0' : `${whole}${fraction}`);
  let exponent = -fraction.length;
  const binary = BINARY[suffix];
  if (binary !== undefined) digits *= binary;
  else if (/^[eE][+-]?\d/.test(suffix)) exponent += Number(suffix.slice(1));
  else exponent += DECIMAL[suffix] ?? 0;
  const value =
    exponent >= 0 ? digits * 10n ** BigInt(exponent) : divideUp(digits, 10n ** BigInt(-exponent));
  return sign === '-' ? -value : value;
};

const divideUp = (value: bigint, by: bigint): bigint => (value + by - 1n) / by;

/** Shortest exact text with a binary suffix, as `kubectl` shows capacities. */
export const formatQuantity = (bytes: bigint): string => {
  for (const suffix of ['Ei', 'Pi', 'Ti', 'Gi', 'Mi', 'Ki']) {
    const unit = BINARY[suffix] as bigint;
    if (bytes !== 0n && bytes % unit === 0n) return `${bytes / unit}${suffix}`;
  }
  return String(bytes);
};

export const roundUp = (bytes: bigint, to: bigint): bigint => divideUp(bytes, to) * to;
