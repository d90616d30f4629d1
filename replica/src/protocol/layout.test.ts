import { expect } from 'chai';
import fc from 'fast-check';
import { HEADER_BYTES, HEADER_FIELDS, putUint64, takeUint64 } from './layout.ts';
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
    const buffer = Buffer.alloc(16);
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => {
        putUint64(buffer, value, 4);
        expect(takeUint64(buffer, 4)).to.equal(value);
        expect(buffer.readBigUInt64LE(4)).to.equal(BigInt(value));
      }),
    );
  });

  it('gives each kind a byte of its own, and one that fits', () => {
    const codes = Object.values(KIND_CODES);
    expect(new Set(codes).size).to.equal(codes.length);
    for (const [kind, code] of Object.entries(KIND_CODES)) expect(KINDS[code]).to.equal(kind);
  });
});
