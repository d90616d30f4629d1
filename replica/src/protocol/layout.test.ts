import { expect } from 'chai';
import fc from 'fast-check';
import { HeaderWords } from './header-words.ts';
import { HEADER_BYTES, HEADER_FIELDS } from './layout.ts';
import { KIND_CODES, KINDS } from './kinds.ts';

describe('the frame header', () => {
  it('has fields that follow each other without a gap and add up to its length', () => {
    let at = 0;
    for (const field of HEADER_FIELDS) {
      expect(field.at, field.name).to.equal(at);
      at += field.bytes;
    }
    expect(at).to.equal(HEADER_BYTES);
  });

  it('keeps every whole number below 2^53 in a u64', () => {
    const buffer = Buffer.alloc(HEADER_BYTES + 4);
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => {
        const words = new HeaderWords();
        words.putUint64(value, 40);
        words.copyTo(buffer, 4);
        expect(buffer.readBigUInt64LE(44)).to.equal(BigInt(value));
        const copied = new HeaderWords();
        copied.copyFrom(buffer, 4);
        expect(copied.takeUint64(40)).to.equal(value);
      }),
    );
  });

  it('gives each kind a byte of its own, and one that fits', () => {
    const codes = Object.values(KIND_CODES);
    expect(new Set(codes).size).to.equal(codes.length);
    for (const [kind, code] of Object.entries(KIND_CODES)) expect(KINDS[code]).to.equal(kind);
  });
});
