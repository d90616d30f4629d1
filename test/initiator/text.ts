import { ProtocolViolation } from './pdu.ts';

/** key=value pairs of login and text PDUs. RFC 7143 6.1. */
export function encodeText(pairs: readonly (readonly [string, string])[]): Buffer {
  return Buffer.from(pairs.map(([key, value]) => `${key}=${value}\0`).join(''), 'utf8');
}

export function decodeText(data: Buffer): [string, string][] {
  if (data.length > 0 && data[data.length - 1] !== 0) {
    throw new ProtocolViolation('text does not end with a zero byte');
  }
  return data
    .toString('utf8')
    .split('\0')
    .filter((pair) => pair !== '')
    .map((pair) => {
      const equals = pair.indexOf('=');
      if (equals < 1) throw new ProtocolViolation(`text without a key: ${pair}`);
      return [pair.slice(0, equals), pair.slice(equals + 1)];
    });
}

/** RFC 7143 6.1: hexadecimal with 0x, base64 with 0b. */
export function decodeBinary(value: string): Buffer {
  if (/^0[xX][0-9a-fA-F]+$/.test(value)) {
    const digits = value.slice(2);
    return Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex');
  }
  if (/^0[bB][0-9a-zA-Z+/]+=*$/.test(value)) return Buffer.from(value.slice(2), 'base64');
  throw new ProtocolViolation(`not a binary value: ${value}`);
}

export const encodeBinary = (bytes: Uint8Array): string =>
  `0x${Buffer.from(bytes).toString('hex')}`;
