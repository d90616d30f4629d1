import { expect } from 'chai';
import { VolumeError } from '../volume.ts';
import { Bench } from './harness.test-support.ts';

const BLOCK = 512;

describe('READ and WRITE', () => {
  it('read back what every length of CDB wrote', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    const pairs = [
      ['0a 00 00 08 02 00', '08 00 00 08 02 00'],
      ['2a 00 00 00 00 10 00 00 02 00', '28 00 00 00 00 10 00 00 02 00'],
      ['aa 00 00 00 00 20 00 00 00 02 00 00', 'a8 00 00 00 00 20 00 00 00 02 00 00'],
      [
        '8a 00 00 00 00 00 00 00 00 30 00 00 00 02 00 00',
        '88 00 00 00 00 00 00 00 00 30 00 00 00 02 00 00',
      ],
    ] as const;
    for (const [i, [write, read]] of pairs.entries()) {
      const payload = new Uint8Array(2 * BLOCK).fill(0xa0 + i);
      const halves = [payload.subarray(0, 700), payload.subarray(700)];
      const written = bench.run(nexus, write, halves);
      expect(written.outcome).to.equal('good');
      expect(bench.server.dataOutBytes(written.cdb)).to.equal(payload.length);
      const answer = bench.run(nexus, read);
      expect(answer.outcome).to.equal('good');
      expect(answer.dataIn).to.deep.equal(payload);
      expect(answer.requiredBytes).to.equal(payload.length);
    }
  });

  it('refuse a range that goes past the end, also one of no blocks', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    for (const opcode of ['28', '2a']) {
      for (const tail of [
        '00 00 00 08 00 00 00 01 00',
        '00 00 00 07 ff 00 00 02 00',
        '00 ff ff ff ff 00 00 00 00',
      ]) {
        const task = bench.run(nexus, `${opcode} ${tail}`, [new Uint8Array(2 * BLOCK)]);
        expect(task.outcome, `${opcode} ${tail}`).to.equal('5/21/00');
      }
    }
    expect(bench.run(nexus, '28 00 00 00 07 ff 00 00 00 00').outcome).to.equal('good');
  });

  it('refuse more than the maximum transfer length, pointing at it', () => {
    const bench = new Bench(16 * 1024 * 1024);
    const nexus = bench.nexus();
    const task = bench.run(nexus, '88 00 00 00 00 00 00 00 00 00 00 00 40 01 00 00');
    expect(task.outcome).to.equal('5/24/00');
    expect([...task.sense!.subarray(15, 18)]).to.deep.equal([0xc0, 0, 10]);
  });

  it('refuse protection information, which the unit has none of, pointing at the field', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    const task = bench.run(nexus, '28 20 00 00 00 00 00 00 01 00');
    expect(task.outcome).to.equal('5/24/00');
    expect([...task.sense!.subarray(15, 18)]).to.deep.equal([0xc8 | 5, 0, 1]);
  });

  it('write the whole blocks that came when fewer came than the CDB says', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    const two = '2a 00 00 00 00 00 00 00 02 00';
    const half = bench.run(nexus, two, [new Uint8Array(BLOCK).fill(1)]);
    expect([half.outcome, half.requiredBytes]).to.deep.equal(['good', 2 * BLOCK]);
    const odd = bench.run(nexus, two, [new Uint8Array(200).fill(2)]);
    expect([odd.outcome, odd.requiredBytes]).to.deep.equal(['5/0e/03', 2 * BLOCK]);
    const none = bench.run(nexus, two);
    expect([none.outcome, none.requiredBytes]).to.deep.equal(['good', 2 * BLOCK]);
    const { dataIn } = bench.run(nexus, '28 00 00 00 00 00 00 00 02 00');
    expect(dataIn).to.deep.equal(new Uint8Array(2 * BLOCK).fill(1, 0, BLOCK));
  });

  it('make a write with FUA stable before they answer', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    bench.run(nexus, '2a 00 00 00 00 00 00 00 01 00', [new Uint8Array(BLOCK)]);
    expect(bench.volume.flushes).to.equal(0);
    bench.run(nexus, '2a 08 00 00 00 00 00 00 01 00', [new Uint8Array(BLOCK)]);
    expect(bench.volume.flushes).to.equal(1);
  });

  it('tell the LBA of a medium error and nothing else of other errors', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    const cases = [
      ['MEDIUM_ERROR', '3/11/00'],
      ['WRITE_MEDIUM_ERROR', '3/0c/00'],
      ['NO_SPACE', '7/27/07'],
      ['NOT_READY', '2/04/00'],
    ] as const;
    for (const [code, outcome] of cases) {
      bench.volume.failNext(new VolumeError(code, 'as told', { offsetBytes: 5 * BLOCK }));
      const task = bench.run(nexus, '28 00 00 00 00 04 00 00 04 00');
      expect(task.outcome).to.equal(outcome);
      const valid = (task.sense![0]! & 0x80) !== 0;
      expect(valid).to.equal(code.endsWith('MEDIUM_ERROR'));
      expect(task.sense![6]).to.equal(valid ? 5 : 0);
    }
    bench.volume.failNext(new VolumeError('FENCED', 'as told'));
    expect(bench.run(nexus, '28 00 00 00 00 04 00 00 04 00').outcome).to.equal('none');
  });
});
