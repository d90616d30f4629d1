import { expect } from 'chai';
import { Bench, hex, IQN } from './harness.test-support.ts';

const OTHER_LUN = Uint8Array.of(0, 1, 0, 0, 0, 0, 0, 0);
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

function page(bench: Bench, code: string): Uint8Array {
  const task = bench.run(bench.nexus(), `12 01 ${code} 04 00 00`);
  expect(task.outcome).to.equal('good');
  expect(task.dataIn[3]! + task.dataIn[2]! * 256 + 4).to.equal(task.dataIn.length);
  return task.dataIn;
}

describe('INQUIRY', () => {
  it('tells who it is and is cut at the allocation length', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    const whole = bench.run(nexus, '12 00 00 01 00 00').dataIn;
    expect(whole).to.have.length(96);
    expect(text(whole.subarray(8, 36))).to.equal('OpenEBS Volume          0.1 ');
    const cut = bench.run(nexus, '12 00 00 00 24 00');
    expect(cut.dataIn).to.deep.equal(whole.subarray(0, 36));
    expect(cut.requiredBytes).to.equal(36);
  });

  it('lists its pages, has each of them, and refuses others', () => {
    const bench = new Bench();
    const list = page(bench, '00').subarray(4);
    expect([...list]).to.deep.equal([0x00, 0x80, 0x83, 0x86, 0x8f, 0xb0, 0xb1, 0xb2]);
    for (const code of list) expect(page(bench, code.toString(16))[1]).to.equal(code);
    expect(bench.run(bench.nexus(), '12 01 c0 00 ff 00').outcome).to.equal('5/24/00');
    expect(bench.run(bench.nexus(), '12 00 80 00 ff 00').outcome).to.equal('5/24/00');
  });

  it('identifies the unit, its port and its device', () => {
    const bench = new Bench();
    const data = page(bench, '83');
    const kinds: string[] = [];
    for (let at = 4; at < data.length; at += 4 + data[at + 3]!) {
      kinds.push(`${(data[at + 1]! >>> 4) & 3}:${data[at + 1]! & 15}`);
    }
    expect(kinds).to.deep.equal(['0:3', '0:10', '0:1', '1:4', '1:5', '1:8', '2:8']);
    expect(text(data)).to.contain(`${IQN},t,0x0001`).and.contain(bench.volume.volumeId);
  });

  it('tells the limits that commands are held to', () => {
    const data = page(new Bench(), 'b0');
    expect([...data.subarray(8, 12)], 'maximum transfer').to.deep.equal([0, 0, 0x40, 0]);
    expect(data[5], 'compare and write').to.equal(255);
  });

  it('answers for an absent unit that there is none', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    const ask = (cdb: string): ReturnType<Bench['run']> =>
      bench.run(nexus, cdb, [], (task) => {
        task.lun = OTHER_LUN;
      });
    expect(ask('12 00 00 00 24 00').dataIn[0]).to.equal(0x7f);
    expect(ask('a0 00 00 00 00 00 00 00 00 10 00 00').outcome).to.equal('good');
    expect(ask('03 00 00 00 12 00').dataIn[12]).to.equal(0x25);
    expect(ask('00 00 00 00 00 00').outcome).to.equal('5/25/00');
    expect(ask('c0 00 00 00 00 00').outcome).to.equal('5/25/00');
  });
});

describe('REPORT LUNS', () => {
  it('reports LUN 0 where plain units are asked for and nothing elsewhere', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    const report = (select: string): ReturnType<Bench['run']> =>
      bench.run(nexus, `a0 00 ${select} 00 00 00 00 00 01 00 00 00`);
    expect(report('00').dataIn).to.deep.equal(hex(`00 00 00 08${' 00'.repeat(12)}`));
    expect(report('02').dataIn).to.have.length(16);
    for (const select of ['01', '10', '12']) expect(report(select).dataIn).to.have.length(8);
    expect(report('03').outcome).to.equal('5/24/00');
    expect(bench.run(nexus, 'a0 00 00 00 00 00 00 00 00 0f 00 00').outcome).to.equal('5/24/00');
  });
});

describe('READ CAPACITY', () => {
  it('tells 512 byte blocks, 4 KiB physical ones and thin provisioning', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    const ten = bench.run(nexus, '25 00 00 00 00 00 00 00 00 00');
    expect(ten.dataIn).to.deep.equal(hex('00 00 07 ff 00 00 02 00'));
    const sixteen = bench.run(nexus, '9e 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00');
    expect(sixteen.dataIn.subarray(0, 16)).to.deep.equal(
      hex('00 00 00 00 00 00 07 ff 00 00 02 00 00 03 c0 00'),
    );
    expect(sixteen.dataIn).to.have.length(32);
  });

  it('tells every nexus when the capacity has changed', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    bench.volume.resize(2 * 1024 * 1024);
    expect(bench.run(nexus, '00 00 00 00 00 00').outcome).to.equal('6/2a/09');
    const ten = bench.run(nexus, '25 00 00 00 00 00 00 00 00 00');
    expect(ten.dataIn.subarray(0, 4)).to.deep.equal(hex('00 00 0f ff'));
  });
});
