import { expect } from 'chai';
import { writeU16, writeU32, writeU64 } from './cdb.ts';
import { Bench, hex, type TestTask } from './harness.test-support.ts';
import type { Nexus } from './task.ts';

const BLOCK = 512;
const fill = (value: number, blocks: number): Uint8Array =>
  new Uint8Array(blocks * BLOCK).fill(value);

function unmap(bench: Bench, nexus: Nexus, runs: readonly (readonly [number, number])[]): TestTask {
  const list = new Uint8Array(8 + 16 * runs.length);
  writeU16(list, 0, list.length - 2);
  writeU16(list, 2, 16 * runs.length);
  runs.forEach(([lba, blocks], i) => {
    writeU64(list, 8 + 16 * i, lba);
    writeU32(list, 16 + 16 * i, blocks);
  });
  const cdb = hex('42 00 00 00 00 00 00 00 00 00');
  writeU16(cdb, 7, list.length);
  return bench.run(nexus, cdb, [list]);
}

/** Descriptors as lba:blocks:status. */
function status(bench: Bench, nexus: Nexus, lba: number, allocation = 0x400): string[] {
  const cdb = hex('9e 12 00 00 00 00 00 00 00 00 00 00 00 00 00 00');
  writeU64(cdb, 2, lba);
  writeU32(cdb, 10, allocation);
  const { dataIn } = bench.run(nexus, cdb);
  const found: string[] = [];
  for (let at = 8; at + 16 <= dataIn.length; at += 16) {
    const view = new DataView(dataIn.buffer, at);
    found.push(`${view.getBigUint64(0)}:${view.getUint32(8)}:${view.getUint8(12)}`);
  }
  return found;
}

function full(bench: Bench, nexus: Nexus): void {
  bench.run(nexus, '2a 00 00 00 00 00 00 00 40 00', [fill(0xff, 64)]);
}

function read(bench: Bench, nexus: Nexus): Uint8Array {
  return bench.run(nexus, '28 00 00 00 00 00 00 00 40 00').dataIn;
}

describe('UNMAP', () => {
  it('makes its runs read zero, overlapping or not, and nothing besides', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    full(bench, nexus);
    expect(
      unmap(bench, nexus, [
        [8, 8],
        [12, 8],
        [40, 1],
        [2048, 0],
      ]).outcome,
    ).to.equal('good');
    const expected = fill(0xff, 64);
    expected.fill(0, 8 * BLOCK, 20 * BLOCK).fill(0, 40 * BLOCK, 41 * BLOCK);
    expect(read(bench, nexus)).to.deep.equal(expected);
  });

  it('does nothing at all when one of its descriptors is refused', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    full(bench, nexus);
    expect(
      unmap(bench, nexus, [
        [0, 8],
        [2048, 1],
      ]).outcome,
    ).to.equal('5/21/00');
    expect(
      unmap(bench, nexus, [
        [0, 8],
        [0, 1024 * 1024],
      ]).outcome,
    ).to.equal('5/26/00');
    const many = Array.from({ length: 257 }, () => [0, 1] as const);
    expect(unmap(bench, nexus, many).outcome).to.equal('5/26/00');
    expect(unmap(bench, nexus, many.slice(1)).outcome).to.equal('good');
    expect(read(bench, nexus).subarray(BLOCK)).to.deep.equal(fill(0xff, 63));
  });

  it('takes an empty list, and refuses one that is cut', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    expect(bench.run(nexus, '42 00 00 00 00 00 00 00 00 00').outcome).to.equal('good');
    expect(bench.run(nexus, '42 00 00 00 00 00 00 00 04 00', [new Uint8Array(4)]).outcome).to.equal(
      '5/1a/00',
    );
    const header = hex('00 16 00 10 00 00 00 00');
    expect(bench.run(nexus, '42 00 00 00 00 00 00 00 08 00', [header]).outcome).to.equal('5/1a/00');
    expect(bench.run(nexus, '42 01 00 00 00 00 00 00 00 00').outcome, 'ANCHOR').to.equal('5/24/00');
  });
});

describe('WRITE SAME', () => {
  it('repeats its block, and deallocates for zeros', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    expect(bench.run(nexus, '41 00 00 00 00 00 00 00 40 00', [fill(9, 1)]).outcome).to.equal(
      'good',
    );
    expect(read(bench, nexus)).to.deep.equal(fill(9, 64));
    const sixteen = '93 08 00 00 00 00 00 00 00 08 00 00 00 08 00 00';
    expect(bench.run(nexus, sixteen, [fill(0, 1)]).outcome).to.equal('good');
    expect(status(bench, nexus, 0).slice(0, 2)).to.deep.equal(['0:8:0', '8:8:1']);
    const noBuffer = '93 01 00 00 00 00 00 00 00 10 00 00 00 08 00 00';
    expect(bench.run(nexus, noBuffer).outcome).to.equal('good');
    expect(status(bench, nexus, 0)[1]).to.equal('8:16:1');
  });

  it('writes a block that is not zero also where it may deallocate', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    bench.run(nexus, '41 08 00 00 00 00 00 00 40 00', [fill(0xff, 1)]);
    expect(read(bench, nexus)).to.deep.equal(fill(0xff, 64));
  });

  it('refuses ANCHOR, no blocks, more than its limit, and Data-Out of another length', () => {
    const bench = new Bench(64 * 1024 * 1024);
    const nexus = bench.nexus();
    const block = [fill(0, 1)];
    expect(bench.run(nexus, '41 18 00 00 00 00 00 00 01 00', block).outcome).to.equal('5/24/00');
    expect(bench.run(nexus, '41 08 00 00 00 00 00 00 00 00', block).outcome).to.equal('5/24/00');
    expect(bench.run(nexus, '41 08 00 00 00 00 00 ff ff 00', block).outcome).to.equal('5/24/00');
    expect(bench.run(nexus, '41 08 00 00 00 00 00 ff f8 00', block).outcome).to.equal('good');
    const one = '41 08 00 00 00 00 00 00 01 00';
    expect(bench.run(nexus, one, [new Uint8Array(256)]).outcome).to.equal('5/0e/03');
    const larger = bench.run(nexus, one, block, (task) => {
      task.expectedBytes = 1024;
    });
    expect(larger.outcome).to.equal('5/0e/03');
  });
});

describe('GET LBA STATUS', () => {
  it('tells runs from the asked block on, also from within a physical block', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    expect(status(bench, nexus, 0)).to.deep.equal(['0:2048:1']);
    bench.run(nexus, '2a 00 00 00 00 10 00 00 09 00', [fill(1, 9)]);
    expect(status(bench, nexus, 0)).to.deep.equal(['0:16:1', '16:16:0', '32:2016:1']);
    expect(status(bench, nexus, 19)).to.deep.equal(['19:13:0', '32:2016:1']);
    expect(status(bench, nexus, 19, 24)).to.deep.equal(['19:13:0']);
    expect(status(bench, nexus, 2047)).to.deep.equal(['2047:1:1']);
  });

  it('refuses a block beyond the end', () => {
    const bench = new Bench();
    const cdb = '9e 12 00 00 00 00 00 00 08 00 00 00 00 18 00 00';
    expect(bench.run(bench.nexus(), cdb).outcome).to.equal('5/21/00');
  });
});
