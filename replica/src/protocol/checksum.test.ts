import { expect } from 'chai';
import fc from 'fast-check';
import { crc32 } from 'node:zlib';
import {
  computeSegmentChecksums,
  crc32Range,
  segmentCount,
  segmentTableBytes,
  verifySegments,
} from './checksum.ts';

/** The bytes cut at arbitrary places, empty pieces included. */
const cut = (bytes: Buffer, cuts: readonly number[]): Buffer[] => {
  const places = cuts.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b);
  const chunks: Buffer[] = [];
  let from = 0;
  for (const place of [...places, bytes.length]) {
    chunks.push(bytes.subarray(from, place));
    from = place;
  }
  return chunks;
};

const sectors = fc.integer({ min: 0, max: 64 });

describe('checksums', () => {
  it('are those of zlib, in JavaScript as well as in native code', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(50), (bytes, skip) => {
        const start = Math.min(skip, bytes.length);
        expect(crc32Range(bytes, start, bytes.length)).to.equal(crc32(bytes.subarray(start)));
      }),
    );
  });

  it('of a range are those of its pieces between multiples of 4 KiB', () => {
    const bytes = Buffer.from(Array.from({ length: 9216 }, (_, index) => index % 251));
    const table = Buffer.alloc(16);
    expect(computeSegmentChecksums(3584, [bytes], table)).to.equal(16);
    expect(segmentCount(3584, bytes.length)).to.equal(4);
    const expected = [
      [0, 512],
      [512, 4608],
      [4608, 8704],
      [8704, 9216],
    ].map(([start, end]) => crc32(bytes.subarray(start, end)));
    expect([0, 4, 8, 12].map((at) => table.readUInt32LE(at))).to.deep.equal(expected);
  });

  it('do not depend on how the bytes are cut into chunks, and verify', () => {
    fc.assert(
      fc.property(
        sectors,
        fc.integer({ min: 1, max: 64 }),
        fc.array(fc.nat(40_000), { maxLength: 6 }),
        (first, count, cuts) => {
          const offset = first * 512;
          const bytes = Buffer.from(Array.from({ length: count * 512 }, (_, index) => index * 7));
          const whole = Buffer.alloc(segmentTableBytes(offset, bytes.length));
          const pieces = Buffer.alloc(whole.length);
          computeSegmentChecksums(offset, [bytes], whole);
          computeSegmentChecksums(offset, cut(bytes, cuts), pieces);
          expect(pieces.equals(whole)).to.equal(true);
          expect(verifySegments(offset, cut(bytes, cuts), whole)).to.equal(-1);
        },
      ),
    );
  });

  it('find a damaged byte, and say in which segment it is', () => {
    fc.assert(
      fc.property(sectors, fc.integer({ min: 1, max: 40 }), fc.nat(), (first, count, at) => {
        const offset = first * 512;
        const bytes = Buffer.alloc(count * 512, 9);
        const table = Buffer.alloc(segmentTableBytes(offset, bytes.length));
        computeSegmentChecksums(offset, [bytes], table);
        const damaged = at % bytes.length;
        bytes[damaged] = 8;
        const found = verifySegments(offset, [bytes], table);
        const segmentStart = Math.max(0, Math.floor((offset + damaged) / 4096) * 4096 - offset);
        expect(found).to.equal(segmentStart);
      }),
    );
  });
});
