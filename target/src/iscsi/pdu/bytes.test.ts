import { expect } from 'chai';
import fc from 'fast-check';
import { digest, getDigest, setDigest } from './digest.ts';
import * as bytes from './bytes.ts';

describe('big-endian fields', () => {
  it('come back as they were set, and equal Node.js', () => {
    fc.assert(
      fc.property(fc.nat(0xffffffff), (value) => {
        const buffer = Buffer.alloc(8);
        bytes.setUint32(buffer, 1, value);
        expect(bytes.getUint32(buffer, 1)).to.equal(value);
        expect(buffer.readUInt32BE(1)).to.equal(value);
        bytes.setUint24(buffer, 2, value & 0xffffff);
        expect(bytes.getUint24(buffer, 2)).to.equal(value & 0xffffff);
        bytes.setUint16(buffer, 3, value & 0xffff);
        expect(bytes.getUint16(buffer, 3)).to.equal(value & 0xffff);
        setDigest(buffer, 4, value);
        expect(getDigest(buffer, 4)).to.equal(value);
      }),
    );
  });
});

describe('serial numbers', () => {
  it('are compared across the wrap', () => {
    expect(bytes.serialBefore(0xffffffff, 0)).to.equal(true);
    expect(bytes.serialBefore(0, 0xffffffff)).to.equal(false);
    expect(bytes.serialBefore(5, 5)).to.equal(false);
    expect(bytes.serialNext(0xffffffff)).to.equal(0);
  });
});

describe('CRC32C', () => {
  it('gives the values of RFC 7143 appendix A.4', () => {
    const ascending = Uint8Array.from({ length: 32 }, (_, index) => index);
    const cases: [Uint8Array, string][] = [
      [new Uint8Array(32), 'aa36918a'],
      [new Uint8Array(32).fill(0xff), '43aba862'],
      [ascending, '4e79dd46'],
      [ascending.toReversed(), '5cdb3f11'],
    ];
    for (const [data, wire] of cases) {
      const out = Buffer.alloc(4);
      setDigest(out, 0, digest(data));
      expect(out.toString('hex')).to.equal(wire);
      expect(digest(data.subarray(7), digest(data.subarray(0, 7)))).to.equal(digest(data));
    }
  });
});
