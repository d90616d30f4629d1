import { expect } from 'chai';
import { Bench } from './harness.test-support.ts';

const BLOCK = 512;
const READ = '28 00 00 00 00 00 00 00 02 00';
const COMPARE = '89 00 00 00 00 00 00 00 00 00 00 00 00 02 00 00';
const fill = (value: number, blocks = 2): Uint8Array => new Uint8Array(blocks * BLOCK).fill(value);

describe('VERIFY', () => {
  it('compares every block, one block with all, or nothing, as BYTCHK says', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    bench.run(nexus, '2a 00 00 00 00 00 00 00 02 00', [fill(7)]);
    const verify = (check: string, data: Uint8Array[]): string =>
      bench.run(nexus, `2f ${check} 00 00 00 00 00 00 02 00`, data).outcome;
    expect(verify('00', [])).to.equal('good');
    expect(verify('02', [fill(7, 1), fill(7, 1)])).to.equal('good');
    expect(verify('02', [fill(7, 1), fill(8, 1)])).to.equal('e/1d/00');
    expect(verify('06', [fill(7, 1)])).to.equal('good');
    expect(verify('06', [fill(8, 1)])).to.equal('e/1d/00');
    expect(verify('04', [])).to.equal('5/24/00');
    expect(verify('02', [fill(7, 1)]), 'too little Data-Out').to.equal('5/0e/03');
  });
});

describe('WRITE AND VERIFY', () => {
  it('writes, makes stable and compares, in every length of CDB', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    for (const cdb of [
      '2e 02 00 00 00 00 00 00 02 00',
      'ae 02 00 00 00 00 00 00 00 02 00 00',
      '8e 02 00 00 00 00 00 00 00 00 00 00 00 02 00 00',
    ]) {
      const before = bench.volume.flushes;
      expect(bench.run(nexus, cdb, [fill(before + 1)]).outcome).to.equal('good');
      expect(bench.volume.flushes).to.equal(before + 1);
      expect(bench.run(nexus, READ).dataIn).to.deep.equal(fill(before + 1));
    }
    expect(bench.run(nexus, '2e 06 00 00 00 00 00 00 02 00', [fill(1)]).outcome).to.equal(
      '5/24/00',
    );
  });
});

describe('COMPARE AND WRITE', () => {
  it('writes where all is equal, and tells the offset where it is not', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    expect(bench.run(nexus, COMPARE, [fill(0), fill(5)]).outcome).to.equal('good');
    expect(bench.run(nexus, READ).dataIn).to.deep.equal(fill(5));
    const wrong = fill(5);
    wrong[700] = 6;
    const task = bench.run(nexus, COMPARE, [wrong, fill(9)]);
    expect(task.outcome).to.equal('e/1d/00');
    expect([...task.sense!.subarray(3, 7)]).to.deep.equal([0, 0, 700 >> 8, 700 & 0xff]);
    expect(bench.run(nexus, READ).dataIn).to.deep.equal(fill(5));
  });

  it('lets nothing come between its reading and its writing', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    bench.volume.deferred = true;
    const first = bench.run(nexus, COMPARE, [fill(0), fill(1)]);
    const second = bench.run(nexus, COMPARE, [fill(0), fill(2)]);
    const write = bench.run(nexus, '2a 00 00 00 00 01 00 00 01 00', [fill(3, 1)]);
    bench.volume.settle();
    expect([first.outcome, second.outcome, write.outcome]).to.deep.equal([
      'good',
      'e/1d/00',
      'good',
    ]);
    const read = bench.run(nexus, READ);
    bench.volume.settle();
    expect(read.dataIn).to.deep.equal(new Uint8Array([...fill(1, 1), ...fill(3, 1)]));
  });

  it('does not write and frees its range when it is aborted in between', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    bench.volume.deferred = true;
    const task = bench.run(nexus, COMPARE, [fill(0), fill(1)]);
    bench.server.abort(task);
    bench.volume.settle();
    const read = bench.run(nexus, READ);
    bench.volume.settle();
    expect(task.outcome).to.equal('none');
    expect(read.dataIn).to.deep.equal(fill(0));
  });

  it('refuses Data-Out of another length than twice its blocks', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    expect(bench.run(nexus, COMPARE, [fill(0, 3)]).outcome).to.equal('5/24/00');
    const more = bench.run(nexus, COMPARE, [fill(0, 4)], (task) => {
      task.expectedBytes = 6 * BLOCK;
    });
    expect(more.outcome).to.equal('5/24/00');
  });
});

describe('ORWRITE', () => {
  it('merges what it was given into what is there', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    const or = '8b 00 00 00 00 00 00 00 00 00 00 00 00 02 00 00';
    bench.run(nexus, '2a 00 00 00 00 00 00 00 02 00', [fill(0x50)]);
    const halves = [fill(0x0f).subarray(0, 100), fill(0x0f).subarray(100)];
    expect(bench.run(nexus, or, halves).outcome).to.equal('good');
    expect(bench.run(nexus, READ).dataIn).to.deep.equal(fill(0x5f));
  });
});
