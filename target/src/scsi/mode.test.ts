import { expect } from 'chai';
import { Bench, hex, type TestTask } from './harness.test-support.ts';
import type { Nexus } from './task.ts';

const TUR = '00 00 00 00 00 00';
const CONTROL = '0a 0a 02 10 00 00 00 00 00 00 00 00';

/** MODE SELECT (6) of one page without block descriptor. */
function select(bench: Bench, nexus: Nexus, page: string): TestTask {
  const list = hex(`00 00 00 00 ${page}`);
  const cdb = hex('15 10 00 00 00 00');
  cdb[4] = list.length;
  return bench.run(nexus, cdb, [list.subarray(0, 3), list.subarray(3)]);
}

describe('mode pages', () => {
  it('are sensed one by one and all together, by (6) and (10)', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    const six = bench.run(nexus, '1a 00 3f 00 ff 00').dataIn;
    expect(six[0]).to.equal(six.length - 1);
    expect([...six.subarray(2, 4)], 'DPOFUA, descriptor').to.deep.equal([0x10, 8]);
    const ten = bench.run(nexus, '5a 10 3f ff 00 00 00 01 00 00').dataIn;
    expect(ten.subarray(0, 8)).to.deep.equal(
      hex(`00 ${(ten.length - 2).toString(16)} 00 10 01 00 00 10`),
    );
    expect(ten.subarray(24), 'the same pages').to.deep.equal(six.subarray(12));
    const codes: number[] = [];
    for (let at = 12; at < six.length; at += 2 + six[at + 1]!) codes.push(six[at]!);
    expect(codes).to.deep.equal([0x01, 0x02, 0x08, 0x0a, 0x1c]);
    for (const code of codes) {
      const cdb = hex('1a 08 00 00 ff 00');
      cdb[2] = code;
      expect(bench.run(nexus, cdb).dataIn[4]).to.equal(code);
    }
  });

  it('tell which bits may be changed, and refuse pages and values that there are not', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    const changeable = bench.run(nexus, '1a 08 4a 00 ff 00').dataIn.subarray(4);
    expect(changeable).to.deep.equal(hex('0a 0a 04 00 08 00 00 00 00 00 00 00'));
    expect(bench.run(nexus, '1a 08 ca 00 ff 00').outcome).to.equal('5/39/00');
    expect(bench.run(nexus, '1a 08 0b 00 ff 00').outcome).to.equal('5/24/00');
    expect(bench.run(nexus, '1a 08 0a 01 ff 00').outcome).to.equal('5/24/00');
  });

  it('give sense data in the format of D_SENSE, and tell the others of the change', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    const other = bench.nexus('iqn.1994-05.com.example:b');
    expect(select(bench, nexus, CONTROL.replace('0a 0a 02', '0a 0a 06')).outcome).to.equal('good');
    const refused = bench.run(nexus, '12 00 01 00 ff 00');
    expect(refused.sense![0]).to.equal(0x72);
    expect(bench.run(nexus, TUR).outcome).to.equal('good');
    expect(bench.run(other, TUR).outcome).to.equal('6/2a/01');
    expect(bench.run(other, TUR).outcome).to.equal('good');
  });

  it('protect from writes while SWP is set, and from nothing else', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    expect(select(bench, nexus, CONTROL.replace('10 00', '10 08')).outcome).to.equal('good');
    expect(bench.run(nexus, '1a 08 3f 00 ff 00').dataIn[2]).to.equal(0x90);
    const block = [new Uint8Array(512)];
    expect(bench.run(nexus, '2a 00 00 00 00 00 00 00 01 00', block).outcome).to.equal('7/27/02');
    expect(bench.run(nexus, '41 00 00 00 00 00 00 00 01 00', block).outcome).to.equal('7/27/02');
    expect(bench.run(nexus, '28 00 00 00 00 00 00 00 01 00').outcome).to.equal('good');
  });

  it('make every write stable while the write cache is off', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    const caching = `08 12 ${'00 '.repeat(18)}`;
    expect(select(bench, nexus, caching).outcome).to.equal('good');
    expect(bench.volume.flushes, 'what was written before').to.equal(1);
    bench.run(nexus, '2a 00 00 00 00 00 00 00 01 00', [new Uint8Array(512)]);
    expect(bench.volume.flushes).to.equal(2);
  });

  it('refuse a list that is cut, a field that is fixed, and then change nothing', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    const fixed = select(bench, nexus, CONTROL.replace('02 10', '06 20'));
    expect(fixed.outcome).to.equal('5/26/00');
    expect([...fixed.sense!.subarray(15, 18)], 'byte 7, bit 5').to.deep.equal([0x88 | 5, 0, 7]);
    expect(select(bench, nexus, '0a 0a 06 10').outcome).to.equal('5/1a/00');
    expect(select(bench, nexus, '0a 0b 06 10').outcome).to.equal('5/26/00');
    expect(select(bench, nexus, '3e 00').outcome).to.equal('5/26/00');
    expect(bench.run(nexus, '15 10 00 00 00 00').outcome).to.equal('good');
    expect(bench.run(nexus, '1a 08 0a 00 ff 00').dataIn[6]).to.equal(0x02);
  });

  it('take the block descriptor that was sensed, and no other', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    const sensed = bench.run(nexus, '5a 00 08 00 00 00 00 00 ff 00').dataIn.slice();
    sensed[0] = 0;
    sensed[1] = 0;
    const cdb = hex('55 10 00 00 00 00 00 00 00 00');
    cdb[8] = sensed.length;
    expect(bench.run(nexus, cdb, [sensed]).outcome).to.equal('good');
    sensed[14] = 0x10;
    expect(bench.run(nexus, cdb, [sensed]).outcome).to.equal('5/26/00');
  });
});

describe('START STOP UNIT', () => {
  it('makes the medium not ready until it is started, after a flush', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    expect(bench.run(nexus, '1b 00 00 00 00 00').outcome).to.equal('good');
    expect(bench.volume.flushes).to.equal(1);
    expect(bench.run(nexus, TUR).outcome).to.equal('2/04/02');
    expect(bench.run(nexus, '28 00 00 00 00 00 00 00 01 00').outcome).to.equal('2/04/02');
    expect(bench.run(nexus, '03 00 00 00 12 00').dataIn[2]).to.equal(0x02);
    expect(bench.run(nexus, '1b 00 00 00 01 00').outcome).to.equal('good');
    expect(bench.run(nexus, TUR).outcome).to.equal('good');
    expect(bench.run(nexus, '1b 00 00 00 02 00').outcome, 'eject').to.equal('5/24/00');
    expect(bench.run(nexus, '1b 00 00 00 30 00').outcome, 'standby').to.equal('5/24/00');
  });
});

describe('a unit attention', () => {
  it('is told once, by the first command that tells, or by REQUEST SENSE', () => {
    const bench = new Bench();
    const nexus = bench.freshNexus();
    expect(bench.run(nexus, '12 00 00 00 24 00').outcome).to.equal('good');
    expect(bench.run(nexus, 'a0 00 00 00 00 00 00 00 00 10 00 00').outcome).to.equal('good');
    expect(bench.run(nexus, TUR).outcome).to.equal('6/29/00');
    expect(bench.run(nexus, TUR).outcome).to.equal('good');
    const asked = bench.freshNexus();
    const sense = bench.run(asked, '03 01 00 00 ff 00').dataIn;
    expect([...sense.subarray(0, 4)]).to.deep.equal([0x72, 0x06, 0x29, 0x00]);
    expect(bench.run(asked, TUR).outcome).to.equal('good');
  });

  it('waits behind a reservation conflict', () => {
    const bench = new Bench();
    bench.run(bench.nexus(), '16 00 00 00 00 00');
    const other = bench.freshNexus('iqn.1994-05.com.example:b');
    expect(bench.run(other, TUR).outcome).to.equal('reservationConflict');
    expect([...bench.run(other, '03 00 00 00 12 00').dataIn.subarray(12, 14)]).to.deep.equal([
      0x29, 0,
    ]);
  });

  it('says that the volume is not ready', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    bench.volume.ready = false;
    expect(bench.run(nexus, TUR).outcome).to.equal('2/04/00');
  });
});
