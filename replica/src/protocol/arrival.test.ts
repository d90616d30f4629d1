import { expect } from 'chai';
import fc from 'fast-check';
import { crc32 } from 'node:zlib';
import { sumOfBlocks, verifyArrival } from './arrival.ts';
import { computeSegmentChecksums, segmentTableBytes, verifySegments } from './checksum.ts';

const BLOCK = 4096;

const filled = (lengthBytes: number, seed: number): Buffer =>
  Buffer.from(Array.from({ length: lengthBytes }, (_, index) => (index * seed) >>> 3));

const tableOf = (offsetBytes: number, bytes: Buffer): Buffer => {
  const table = Buffer.alloc(segmentTableBytes(offsetBytes, bytes.length));
  computeSegmentChecksums(offsetBytes, [bytes], table);
  return table;
};

describe('what arrives', () => {
  it('has the sum that follows from those of its blocks', () => {
    for (let blocks = 1; blocks <= 20; blocks++) {
      const bytes = filled(blocks * BLOCK, 7919 + blocks);
      expect(sumOfBlocks(tableOf(0, bytes))).to.equal(crc32(bytes));
    }
  });

  it('is taken where it is whole, and else told as it is told segment by segment', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 16 }),
        fc.integer({ min: 1, max: 80 }),
        fc.array(fc.nat(), { maxLength: 3 }),
        fc.nat(),
        (first, sectors, damages, cut) => {
          const offsetBytes = first * 512;
          const bytes = filled(sectors * 512, 31);
          const table = tableOf(offsetBytes, bytes);
          for (const at of damages)
            bytes.writeUInt8(bytes.readUInt8(at % bytes.length) ^ 4, at % bytes.length);
          const place = cut % (bytes.length + 1);
          for (const chunks of [[bytes], [bytes.subarray(0, place), bytes.subarray(place)]]) {
            const wanted = verifySegments(offsetBytes, chunks, table);
            expect(verifyArrival(offsetBytes, chunks, table)).to.equal(wanted);
          }
        },
      ),
    );
  });

  it('is found damaged by every single bit of a block, in each of the blocks', () => {
    const bytes = filled(4 * BLOCK, 977);
    const table = tableOf(0, bytes);
    for (let at = 0; at < bytes.length; at += 37) {
      const before = bytes.readUInt8(at);
      bytes.writeUInt8(before ^ (1 << (at % 8)), at);
      expect(verifyArrival(0, [bytes], table)).to.equal(Math.floor(at / BLOCK) * BLOCK);
      bytes.writeUInt8(before, at);
    }
    expect(verifyArrival(0, [bytes], table)).to.equal(-1);
  });
});
