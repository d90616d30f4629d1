import { expect } from 'chai';
import fc from 'fast-check';
import {
  copyOf,
  gather,
  isLunZero,
  readU16,
  readU24,
  readU32,
  readU64,
  takeChunks,
  writeU16,
  writeU24,
  writeU32,
  writeU64,
} from './cdb.ts';
import { firstDifference } from './compare.ts';

/** Bytes, and the same bytes cut into slices anywhere. */
const cutBytes = fc
  .tuple(fc.uint8Array({ maxLength: 64 }), fc.array(fc.nat(64), { maxLength: 6 }))
  .map(([bytes, cuts]) => {
    const at = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)), bytes.length];
    at.sort((a, b) => a - b);
    const chunks = at.slice(1).map((end, i) => bytes.subarray(at[i], end));
    return { bytes, chunks: chunks.filter((chunk) => chunk.length > 0) };
  });

describe('fields of CDBs and parameter lists', () => {
  it('read what was written, big-endian', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.nat(8), (value, at) => {
        const bytes = new Uint8Array(16);
        writeU64(bytes, at, value);
        expect(readU64(bytes, at)).to.equal(value);
        writeU32(bytes, at, value % 2 ** 32);
        expect(readU32(bytes, at)).to.equal(value % 2 ** 32);
        writeU24(bytes, at, value % 2 ** 24);
        expect(readU24(bytes, at)).to.equal(value % 2 ** 24);
        writeU16(bytes, at, value % 2 ** 16);
        expect(readU16(bytes, at)).to.equal(value % 2 ** 16);
        expect(bytes[at]).to.equal(Math.floor(value / 256) % 256);
      }),
    );
  });

  it('give an address beyond 2^53 a value beyond every volume', () => {
    expect(readU64(new Uint8Array(8).fill(0xff), 0)).to.be.above(Number.MAX_SAFE_INTEGER);
  });

  it('take LUN 0 in both address formats and no other LUN', () => {
    expect(isLunZero(new Uint8Array(8))).to.be.true;
    expect(isLunZero(Uint8Array.of(0x40, 0, 0, 0, 0, 0, 0, 0))).to.be.true;
    expect(isLunZero(Uint8Array.of(0, 1, 0, 0, 0, 0, 0, 0))).to.be.false;
    expect(isLunZero(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 1))).to.be.false;
    expect(isLunZero(Uint8Array.of(0xc1, 1, 0, 0, 0, 0, 0, 0))).to.be.false;
  });
});

describe('lists of slices', () => {
  it('give the same bytes wherever they are cut', () => {
    fc.assert(
      fc.property(cutBytes, fc.nat(64), fc.nat(64), ({ bytes, chunks }, from, length) => {
        const start = Math.min(from, bytes.length);
        const end = Math.min(start + length, bytes.length);
        const taken = takeChunks(chunks, start, end - start);
        expect(copyOf(taken, end - start)).to.deep.equal(bytes.slice(start, end));
        expect(gather(chunks, end)).to.deep.equal(bytes.slice(0, end));
      }),
    );
  });

  it('are copied where a copy is asked for', () => {
    const lent = new Uint8Array(4).fill(1);
    const kept = copyOf([lent], 4);
    lent.fill(2);
    expect(kept).to.deep.equal(new Uint8Array(4).fill(1));
  });

  it('differ at the first byte that differs, wherever they are cut', () => {
    fc.assert(
      fc.property(cutBytes, fc.nat(63), fc.nat(8), ({ bytes, chunks }, at, step) => {
        const other = bytes.slice();
        expect(firstDifference(chunks, [other], bytes.length)).to.equal(-1);
        if (at >= bytes.length) return;
        other[at] = (other[at]! + 1) & 0xff;
        const cut = Math.min(step, other.length);
        const halves = [other.subarray(0, cut), other.subarray(cut)];
        expect(firstDifference(chunks, halves, bytes.length)).to.equal(at);
        expect(firstDifference(chunks, halves, at)).to.equal(-1);
      }),
    );
  });
});
