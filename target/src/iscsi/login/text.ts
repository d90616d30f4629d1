import { LIMITS } from '../../limits.ts';

/** One key=value pair as it came. */
export interface TextPair {
  readonly key: string;
  readonly value: string;
}

/** The text breaks RFC 7143 6.1; `reason` says how. */
export class TextFormatError extends Error {
  override readonly name = 'TextFormatError';
}

const KEY = /^[A-Za-z0-9.\-+@_#]+$/;
// A text value is UTF-8 without control characters; the RFC's stricter sets belong to single keys.
// eslint-disable-next-line no-control-regex
const CONTROL = /[\x00-\x1f\x7f]/;

/** Splits a data segment (or several joined) into pairs; each ends with a NUL. RFC 7143 6.1 */
export const parseText = (bytes: Uint8Array): TextPair[] => {
  const pairs: TextPair[] = [];
  let start = 0;
  while (start < bytes.length) {
    let end = bytes.indexOf(0, start);
    if (end === -1) end = bytes.length;
    if (end > start) pairs.push(parsePair(bytes.subarray(start, end)));
    start = end + 1;
  }
  return pairs;
};

const parsePair = (bytes: Uint8Array): TextPair => {
  const equals = bytes.indexOf(0x3d);
  if (equals <= 0) throw new TextFormatError('a text item has no key');
  if (equals > LIMITS.keyNameBytes) throw new TextFormatError('a key name is too long');
  if (bytes.length - equals - 1 > LIMITS.keyValueBytes) {
    throw new TextFormatError('a value is too long');
  }
  const text = new TextDecoder('utf-8', { fatal: false }).decode(bytes);
  const split = text.indexOf('=');
  const key = text.slice(0, split);
  const value = text.slice(split + 1);
  if (!KEY.test(key)) throw new TextFormatError('a key name has a character that is not allowed');
  if (CONTROL.test(value)) throw new TextFormatError('a value has a control character');
  return { key, value };
};

/** The reverse: each pair ended by a NUL. */
export const serializeText = (pairs: readonly TextPair[]): Uint8Array =>
  new TextEncoder().encode(pairs.map(({ key, value }) => `${key}=${value}\0`).join(''));

/**
 * A binary value: 0x with hexadecimal digits or 0b with base64. Null when it is neither. RFC 7143
 * 6.1
 */
export const parseBinaryValue = (value: string): Uint8Array | null => {
  const prefix = value.slice(0, 2).toLowerCase();
  const body = value.slice(2);
  if (prefix === '0x') {
    if (body.length === 0 || !/^[0-9a-fA-F]+$/.test(body)) return null;
    return Buffer.from(body.length % 2 === 0 ? body : `0${body}`, 'hex');
  }
  if (prefix === '0b') {
    if (!/^[A-Za-z0-9+/]+={0,2}$/.test(body)) return null;
    return Buffer.from(body, 'base64');
  }
  return null;
};

export const hexValue = (bytes: Uint8Array): string => `0x${Buffer.from(bytes).toString('hex')}`;

/**
 * A number: decimal, or hexadecimal with 0x. Null when it is neither or not a safe integer. RFC
 * 7143 6.1
 */
export const parseNumber = (value: string): number | null => {
  if (!/^(?:[0-9]+|0[xX][0-9a-fA-F]+)$/.test(value)) return null;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : null;
};
