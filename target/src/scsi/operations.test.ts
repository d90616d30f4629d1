import { expect } from 'chai';
import fc from 'fast-check';
import { Bench, hex } from './harness.test-support.ts';
import { findOperation, OPERATIONS } from './operations.ts';

/** CDB length by the operation code's group. SPC-4 4.2.5.1 */
const LENGTHS = [6, 10, 10, 0, 16, 12];
const SIZE = 1024 * 1024;

describe('the operation code table', () => {
  it('has each command once, with a usage map of the length of its CDB', () => {
    const seen = new Set<string>();
    for (const { name, opcode, serviceAction, usage } of OPERATIONS) {
      const key = `${opcode}/${serviceAction ?? '-'}`;
      expect(seen.has(key), name).to.be.false;
      seen.add(key);
      expect(usage[0], name).to.equal(opcode);
      expect(usage, name).to.have.length(LENGTHS[opcode >>> 5]!);
      if (serviceAction !== null) expect(usage[1]! & 0x1f, name).to.equal(serviceAction);
      expect(findOperation(usage)?.name).to.equal(name);
    }
  });

  it('holds a command that writes to every reservation and to write protection', () => {
    for (const { name, writes, reservation } of OPERATIONS) {
      if (writes) expect(reservation, name).to.equal('write');
      if (/^(WRITE|UNMAP|ORWRITE|COMPARE AND WRITE)/u.test(name)) expect(writes, name).to.be.true;
    }
  });

  it('refuses every bit outside of the usage map, pointing at it', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    for (const { name, usage, serviceAction } of OPERATIONS) {
      for (let at = 1; at < usage.length; at += 1) {
        for (let bit = 0; bit < 8; bit += 1) {
          if ((usage[at]! & (1 << bit)) !== 0) continue;
          // Another service action is another command, or none.
          if (at === 1 && bit < 5 && serviceAction !== null) continue;
          const cdb = new Uint8Array(16);
          cdb[0] = usage[0]!;
          cdb[1] = serviceAction ?? 0;
          cdb[at] = cdb[at]! | (1 << bit);
          const task = bench.run(nexus, cdb);
          expect(task.outcome, `${name}, byte ${at}, bit ${bit}`).to.equal('5/24/00');
          expect([...task.sense!.subarray(15, 18)]).to.deep.equal([0xc8 | bit, 0, at]);
        }
      }
    }
  });

  it('refuses unknown commands and service actions', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    expect(bench.run(nexus, 'c0 00 00 00 00 00').outcome).to.equal('5/20/00');
    const unknown = bench.run(nexus, '9e 1f 00 00 00 00 00 00 00 00 00 00 00 00 00 00');
    expect(unknown.outcome).to.equal('5/24/00');
    expect([...unknown.sense!.subarray(15, 18)]).to.deep.equal([0xc8 | 4, 0, 1]);
  });

  it('answers every CDB once, asks for bounded Data-Out, and frees every range', () => {
    const operation = fc.constantFrom(...OPERATIONS);
    const cdbs = fc.tuple(operation, fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.boolean());
    const anything = cdbs.map(([{ usage, serviceAction }, bytes, masked]) => {
      const cdb = bytes.slice();
      cdb[0] = usage[0]!;
      // Mostly small numbers, so that some ranges are on the medium.
      if (masked) for (let i = 1; i < 16; i += 1) cdb[i] = cdb[i]! & (usage[i] ?? 0);
      if (masked)
        for (let i = 2; i < usage.length - 3; i += 1) cdb[i] = i % 4 === 0 ? cdb[i]! & 3 : 0;
      if (serviceAction !== null) cdb[1] = (cdb[1]! & 0xe0) | serviceAction;
      return cdb;
    });
    const bench = new Bench(SIZE);
    const nexus = bench.nexus();
    fc.assert(
      fc.property(anything, fc.uint8Array({ maxLength: 64 }), fc.nat(3), (cdb, data, short) => {
        const wanted = bench.server.dataOutBytes(cdb);
        expect(wanted).to.be.within(0, 8 * 1024 * 1024);
        const length = short === 0 ? Math.floor(wanted / 2) : wanted;
        const payload = new Uint8Array(Math.min(length, SIZE));
        payload.set(data.subarray(0, payload.length));
        const task = bench.run(nexus, cdb, [payload]);
        // Only what waits for a document of the replicas may be answered later.
        if (task.outcome === 'none') {
          expect(cdb[0]).to.equal(0x5f);
          return;
        }
        const whole = bench.run(nexus, '2a 00 00 00 00 00 00 00 01 00', [new Uint8Array(512)]);
        // Stopped, protected, reserved, a pending condition: whatever it says, it says something.
        expect(whole.outcome).to.not.equal('none');
        bench.server.unit.reset();
        bench.volume.acquire({ offsetBytes: 0, lengthBytes: SIZE, mode: 'exclusive' }, (lock) => {
          bench.volume.release(lock);
        });
        expect(bench.volume.claims).to.equal(0);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('REPORT SUPPORTED OPERATION CODES', () => {
  it('lists the table, with and without timeouts', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    const plain = bench.run(nexus, 'a3 0c 00 00 00 00 00 00 ff ff 00 00').dataIn;
    expect(plain).to.have.length(4 + 8 * OPERATIONS.length);
    const timed = bench.run(nexus, 'a3 0c 80 00 00 00 00 00 ff ff 00 00').dataIn;
    expect(timed).to.have.length(4 + 20 * OPERATIONS.length);
    expect(timed[9]! & 0x02).to.equal(0x02);
    expect([...timed.subarray(12, 14)]).to.deep.equal([0, 10]);
  });

  it('describes one command, by the option that fits it', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    const ask = (fields: string): ReturnType<Bench['run']> =>
      bench.run(nexus, `a3 0c ${fields} 00 00 00 ff 00 00`);
    expect(ask('01 12 00 00').dataIn).to.deep.equal(hex('00 03 00 06 12 01 ff ff ff 00'));
    expect(ask('02 9e 00 10').dataIn.subarray(0, 6)).to.deep.equal(hex('00 03 00 10 9e 10'));
    expect(ask('03 12 00 00').dataIn[1]).to.equal(3);
    expect(ask('03 12 00 01').dataIn[1], 'no such service action').to.equal(1);
    expect(ask('01 c0 00 00').dataIn).to.deep.equal(hex('00 01 00 00'));
    expect(ask('01 9e 00 00').outcome).to.equal('5/24/00');
    expect(ask('02 12 00 00').outcome).to.equal('5/24/00');
    expect(ask('04 12 00 00').outcome).to.equal('5/24/00');
  });
});

describe('other reports', () => {
  it('tell task management functions, port groups, log pages and empty defect lists', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    const data = (cdb: string): Uint8Array => bench.run(nexus, cdb).dataIn;
    expect(data('a3 0d 00 00 00 00 00 00 00 ff 00 00')).to.deep.equal(hex('da 00 00 00'));
    expect(data('a3 0d 80 00 00 00 00 00 00 ff 00 00')).to.have.length(16);
    expect(data('a3 0a 00 00 00 00 00 00 00 ff 00 00')).to.deep.equal(
      hex('00 00 00 0c 00 01 00 01 00 00 00 01 00 00 00 01'),
    );
    expect(data('a3 2a 00 00 00 00 00 00 00 ff 00 00')[4]).to.equal(0x10);
    expect(data('4d 00 40 00 00 00 00 00 ff 00')).to.deep.equal(hex('80 00 00 02 00 2f'));
    expect(data('4d 00 6f 00 00 00 00 00 ff 00')[10]).to.equal(0xff);
    expect(bench.run(nexus, '4d 00 4d 00 00 00 00 00 ff 00').outcome).to.equal('5/24/00');
    expect(data('37 00 1d 00 00 00 00 00 ff 00')).to.deep.equal(hex('00 1d 00 00'));
    expect(data('b7 1d 00 00 00 00 00 00 00 ff 00 00')).to.deep.equal(
      hex('00 1d 00 00 00 00 00 00'),
    );
  });

  it('tell by CONDITION MET that a prefetched range is cached', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    expect(bench.run(nexus, '34 00 00 00 00 00 00 00 08 00').outcome).to.equal('conditionMet');
    expect(bench.run(nexus, '34 02 00 00 00 00 00 00 08 00').outcome).to.equal('good');
    expect(bench.run(nexus, '34 00 00 00 07 ff 00 00 02 00').outcome).to.equal('5/21/00');
  });

  it('answer SYNCHRONIZE CACHE when everything is stable', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    bench.volume.deferred = true;
    const task = bench.run(nexus, '35 02 00 00 00 00 00 00 00 00');
    expect(task.outcome).to.equal('none');
    bench.volume.settle();
    expect(task.outcome).to.equal('good');
    expect(bench.volume.flushes).to.equal(1);
  });
});
