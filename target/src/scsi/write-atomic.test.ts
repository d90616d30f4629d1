import { expect } from 'chai';
import { Bench } from './harness.test-support.ts';

const BLOCK = 512;
const PAGE_B0 = '12 01 b0 00 ff 00';

/** WRITE ATOMIC (16): byte 1, LBA below 2^32, ATOMIC BOUNDARY below 256, TRANSFER LENGTH. */
const cdbOf = (lba: number, blocks: number, { flags = '00', boundary = '00' } = {}): string => {
  const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');
  const spaced = (text: string): string => text.replaceAll(/../g, '$& ').trim();
  const place = `00 00 00 00 ${spaced(hex(lba, 8))}`;
  return `9c ${flags} ${place} 00 ${boundary} ${spaced(hex(blocks, 4))} 00 00`;
};

const payloadOf = (blocks: number, value = 0x5a): Uint8Array[] => [
  new Uint8Array(blocks * BLOCK).fill(value),
];

const LIMITS_AT = 44;

describe('WRITE ATOMIC', () => {
  it('writes what came, of the largest length that page B0h tells', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    const page = Buffer.from(bench.run(nexus, PAGE_B0).dataIn);
    const fields = [0, 4, 8, 12, 16].map((at) => page.readUInt32BE(LIMITS_AT + at));
    expect(fields).to.deep.equal([256, 8, 8, 0, 0]);
    const task = bench.run(nexus, cdbOf(8, 256), payloadOf(256));
    expect(task.outcome).to.equal('good');
    expect(bench.server.dataOutBytes(task.cdb)).to.equal(256 * BLOCK);
    const { dataIn } = bench.run(nexus, '28 00 00 00 00 08 00 01 00 00');
    expect(dataIn).to.deep.equal(payloadOf(256)[0]);
  });

  it('writes nothing when it is told to write nothing', () => {
    const bench = new Bench();
    expect(bench.run(bench.nexus(), cdbOf(0, 0)).outcome).to.equal('good');
  });

  it('is stable before it answers with FUA', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    bench.run(nexus, cdbOf(0, 8), payloadOf(8));
    expect(bench.volume.flushes).to.equal(0);
    expect(bench.run(nexus, cdbOf(0, 8, { flags: '18' }), payloadOf(8)).outcome).to.equal('good');
    expect(bench.volume.flushes).to.equal(1);
  });

  it('is refused with a pointer at what is wrong, and has written nothing', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    const wrong = [
      ['more than the maximum', cdbOf(0, 264), 12],
      ['a length that is no multiple of the granularity', cdbOf(0, 9), 12],
      ['an LBA that is not aligned', cdbOf(1, 8), 2],
      ['a boundary', cdbOf(0, 8, { boundary: '08' }), 11],
      ['protection information', cdbOf(0, 8, { flags: '20' }), 1],
    ] as const;
    for (const [what, cdb, at] of wrong) {
      const task = bench.run(nexus, cdb, payloadOf(264));
      expect(task.outcome, what).to.equal('5/24/00');
      expect(task.sense![15]! & 0xc0, what).to.equal(0xc0);
      expect([task.sense![16], task.sense![17]], what).to.deep.equal([0, at]);
    }
    const { dataIn } = bench.run(nexus, '28 00 00 00 00 00 00 01 08 00');
    expect(dataIn.every((byte) => byte === 0)).to.equal(true);
  });

  it('is refused beyond the end before its length is looked at', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    const blocks = bench.volume.sizeBytes / BLOCK;
    expect(bench.run(nexus, cdbOf(blocks - 8, 512), payloadOf(512)).outcome).to.equal('5/21/00');
    expect(bench.run(nexus, cdbOf(blocks + 8, 0)).outcome).to.equal('5/21/00');
  });

  it('writes no part of what the initiator did not send wholly', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    expect(bench.run(nexus, cdbOf(0, 16), payloadOf(8)).outcome).to.equal('5/0e/03');
    const { dataIn } = bench.run(nexus, '28 00 00 00 00 00 00 00 08 00');
    expect(dataIn.every((byte) => byte === 0)).to.equal(true);
  });

  it('is offered nowhere when a replica cannot do it', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    const one = 'a3 0c 01 9c 00 00 00 00 00 ff 00 00';
    const all = 'a3 0c 00 00 00 00 00 00 ff ff 00 00';
    const listed = bench.run(nexus, all).dataIn.length;
    expect(bench.run(nexus, one).dataIn[1]).to.equal(0x03);
    bench.volume.atomicBytes = 0;
    expect(bench.run(nexus, cdbOf(0, 8), payloadOf(8)).outcome).to.equal('5/20/00');
    expect(bench.run(nexus, one).dataIn[1]).to.equal(0x01);
    expect(bench.run(nexus, all).dataIn.length).to.equal(listed - 8);
    const page = bench.run(nexus, PAGE_B0).dataIn.subarray(LIMITS_AT);
    expect(page.every((byte) => byte === 0)).to.equal(true);
  });
});
