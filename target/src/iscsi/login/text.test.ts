import { expect } from 'chai';
import fc from 'fast-check';
import {
  parseBinaryValue,
  parseNumber,
  parseText,
  serializeText,
  TextFormatError,
} from './text.ts';

describe('login text', () => {
  it('comes back as it was written', () => {
    const key = fc.stringMatching(/^[A-Za-z][A-Za-z0-9.\-+@_#]{0,60}$/);
    const value = fc.stringMatching(/^[ -~]{0,200}$/);
    fc.assert(
      fc.property(fc.array(fc.record({ key, value }), { maxLength: 20 }), (pairs) => {
        expect(parseText(serializeText(pairs))).to.deep.equal(pairs);
      }),
    );
  });

  it('is refused or read, but never anything else, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
        try {
          parseText(bytes);
        } catch (error) {
          expect(error).to.be.instanceOf(TextFormatError);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('may lack the last NUL and may have empty items', () => {
    expect(parseText(Buffer.from('\0a=1\0\0b=2'))).to.deep.equal([
      { key: 'a', value: '1' },
      { key: 'b', value: '2' },
    ]);
  });

  for (const [what, text] of [
    ['an item without =', 'novalue\0'],
    ['an item without key', '=x\0'],
    ['a key of 64 bytes', `${'k'.repeat(64)}=x\0`],
    ['a key with a blank', 'a b=x\0'],
    ['a control character', 'a=\x01\0'],
    ['a value above 8192 bytes', `a=${'v'.repeat(8193)}\0`],
  ] as const) {
    it(`refuses ${what}`, () => {
      expect(() => parseText(Buffer.from(text))).to.throw(TextFormatError);
    });
  }
});

describe('values', () => {
  it('binary: hexadecimal in either case, odd lengths, base64', () => {
    expect(parseBinaryValue('0xAbC')).to.deep.equal(Buffer.from([0x0a, 0xbc]));
    expect(parseBinaryValue('0X00ff')).to.deep.equal(Buffer.from([0, 255]));
    expect(parseBinaryValue('0bAQID')).to.deep.equal(Buffer.from([1, 2, 3]));
    expect(parseBinaryValue('0Bqg==')).to.deep.equal(Buffer.from([0xaa]));
    for (const bad of ['', '12', '0x', '0xgg', '0b', '0b!!']) {
      expect(parseBinaryValue(bad), bad).to.equal(null);
    }
  });

  it('numbers: decimal and hexadecimal, nothing else', () => {
    expect(parseNumber('262144')).to.equal(262_144);
    expect(parseNumber('0x40000')).to.equal(262_144);
    for (const bad of ['', '-1', '1.5', '1e3', ' 1', '0x', '99999999999999999999']) {
      expect(parseNumber(bad), bad).to.equal(null);
    }
  });
});
