import { expect } from 'chai';
import { VolumeError } from '../volume.ts';
import { ScsiDeviceServer } from './device-server.ts';
import { Bench, hex, type TestTask } from './harness.test-support.ts';
import type { Nexus } from './task.ts';
import { decodeTransportId, encodeTransportId } from './transport-id.ts';

const A = 'iqn.1994-05.com.example:a';
const B = 'iqn.1994-05.com.example:b';
const READ = '28 00 00 00 00 00 00 00 01 00';
const WRITE = '2a 00 00 00 00 00 00 00 01 00';
const Action = { register: 0, reserve: 1, clear: 3, preemptAndAbort: 5, ignoreExisting: 6 };

interface Out {
  readonly key?: number;
  readonly newKey?: number;
  readonly type?: number;
  readonly flags?: number;
}

function out(bench: Bench, nexus: Nexus, action: number, fields: Out = {}): TestTask {
  const list = new Uint8Array(24);
  list[7] = fields.key ?? 0;
  list[15] = fields.newKey ?? 0;
  list[20] = fields.flags ?? 0;
  const cdb = hex('5f 00 00 00 00 00 00 00 18 00');
  cdb[1] = action;
  cdb[2] = fields.type ?? 0;
  return bench.run(nexus, cdb, [list]);
}

function readIn(bench: Bench, nexus: Nexus, action: number): Uint8Array {
  const cdb = hex('5e 00 00 00 00 00 00 04 00 00');
  cdb[1] = action;
  const task = bench.run(nexus, cdb);
  expect(task.outcome).to.equal('good');
  return task.dataIn;
}

/** Lets promises of the documents run. */
async function turn(): Promise<void> {
  for (let i = 0; i < 5; i += 1) await Promise.resolve();
}

describe('PERSISTENT RESERVE', () => {
  for (const action of [0, 1, 2, 3])
    it(`IN, action ${action}, tells nothing before the volume has answered under its lease`, () => {
      const bench = new Bench();
      const nexus = bench.nexus(A);
      out(bench, nexus, Action.register, { newKey: 1 });
      const cdb = hex(`5e 0${action} 00 00 00 00 00 04 00 00`);
      bench.volume.deferred = true;
      const task = bench.run(nexus, cdb);
      expect(task.outcome).to.equal('none');
      bench.volume.settle();
      expect(task.outcome).to.equal('good');
      // As a target that was replaced: it never learns that it still serves.
      bench.volume.allocation = (_offset, _length, done) =>
        done(new VolumeError('FENCED', 'as told'), null);
      expect(bench.run(nexus, cdb).outcome).to.equal('none');
    });

  it('keeps others out, tells who holds what, and tells the preempted', () => {
    const bench = new Bench();
    const a = bench.nexus(A);
    const b = bench.nexus(B);
    expect(out(bench, a, Action.register, { newKey: 1 }).outcome).to.equal('good');
    expect(out(bench, a, Action.reserve, { key: 1, type: 3 }).outcome).to.equal('good');
    expect(bench.run(b, READ).outcome).to.equal('reservationConflict');
    expect(bench.run(b, '00 00 00 00 00 00').outcome).to.equal('good');
    expect(bench.run(b, '1b 00 00 00 01 00').outcome).to.equal('good');
    expect(bench.run(b, '1b 00 00 00 00 00').outcome).to.equal('reservationConflict');
    expect(readIn(bench, b, 0)).to.deep.equal(
      hex('00 00 00 01 00 00 00 08 00 00 00 00 00 00 00 01'),
    );
    expect(readIn(bench, b, 1)[21]).to.equal(3);
    out(bench, b, Action.ignoreExisting, { newKey: 2 });
    const status = readIn(bench, b, 3);
    expect(status.subarray(8, 24)).to.deep.equal(
      hex(`00 00 00 00 00 00 00 01 ${'00 '.repeat(4)} 01 03 00 00`),
    );
    bench.volume.deferred = true;
    const caught = bench.run(a, READ);
    expect(out(bench, b, Action.preemptAndAbort, { key: 2, newKey: 1, type: 1 }).outcome).to.equal(
      'none',
    );
    bench.volume.settle();
    expect(caught.outcome).to.equal('none');
    expect(bench.run(a, WRITE, [new Uint8Array(512)]).outcome).to.equal('reservationConflict');
    expect(bench.run(a, '00 00 00 00 00 00').outcome).to.equal('6/2a/05');
  });

  it('allows reading under Write Exclusive, and nothing that changes', () => {
    const bench = new Bench();
    const a = bench.nexus(A);
    const b = bench.nexus(B);
    out(bench, a, Action.register, { newKey: 1 });
    out(bench, a, Action.reserve, { key: 1, type: 1 });
    for (const cdb of [READ, '1a 00 3f 00 ff 00', '2f 00 00 00 00 00 00 00 01 00']) {
      expect(bench.run(b, cdb).outcome, cdb).to.equal('good');
    }
    const changes = [WRITE, '42 00 00 00 00 00 00 00 18 00', '35 00 00 00 00 00 00 00 00 00'];
    for (const cdb of changes)
      expect(bench.run(b, cdb).outcome, cdb).to.equal('reservationConflict');
  });

  it('restores what was registered with APTPL, and only that', async () => {
    for (const flags of [0x00, 0x01]) {
      const bench = new Bench();
      const a = bench.nexus(A);
      out(bench, a, Action.register, { newKey: 1, flags });
      await turn();
      out(bench, a, Action.reserve, { key: 1, type: 1 });
      await turn();
      const again = new ScsiDeviceServer({ ...bench.options });
      await again.unit.restore();
      const { registrations, reservation } = again.unit.reservations.state;
      expect(registrations.length).to.equal(flags);
      expect(reservation?.type).to.equal(flags === 1 ? 1 : undefined);
    }
  });

  it('refuses a change that cannot be made durable, and keeps what was', async () => {
    const bench = new Bench();
    const a = bench.nexus(A);
    bench.volume.failNext(new VolumeError('NOT_READY', 'below a majority'));
    const task = out(bench, a, Action.register, { newKey: 1, flags: 1 });
    expect(task.outcome).to.equal('none');
    await turn();
    expect(task.outcome).to.equal('2/04/00');
    expect(readIn(bench, a, 0)).to.deep.equal(new Uint8Array(8));
  });

  it('refuses lists and fields that there are not, pointing at them', () => {
    const bench = new Bench();
    const a = bench.nexus(A);
    expect(out(bench, a, Action.register, { newKey: 1, flags: 0x08 }).outcome).to.equal('5/26/00');
    expect(out(bench, a, Action.reserve, { key: 1, type: 2 }).outcome).to.equal('5/24/00');
    expect(out(bench, a, Action.reserve, { key: 1, type: 0x11 }).outcome).to.equal('5/24/00');
    const short = bench.run(a, '5f 00 00 00 00 00 00 00 10 00', [new Uint8Array(16)]);
    expect(short.outcome).to.equal('5/1a/00');
    expect(out(bench, a, 0x1f).outcome).to.equal('5/24/00');
  });

  it('excludes RESERVE (6) where there are registrations', () => {
    const bench = new Bench();
    const a = bench.nexus(A);
    out(bench, a, Action.register, { newKey: 1 });
    expect(bench.run(a, '16 00 00 00 00 00').outcome).to.equal('reservationConflict');
    expect(out(bench, a, Action.clear, { key: 1 }).outcome).to.equal('good');
    expect(bench.run(a, '16 00 00 00 00 00').outcome).to.equal('good');
  });

  it('moves the reservation to the port that a TransportID names', () => {
    const bench = new Bench();
    const a = bench.nexus(A);
    const b = bench.nexus(B);
    out(bench, a, Action.register, { newKey: 1 });
    out(bench, a, Action.reserve, { key: 1, type: 3 });
    const id = encodeTransportId(B, '400001370000');
    const list = new Uint8Array(24 + id.length);
    list[7] = 1;
    list[15] = 9;
    list[19] = 1;
    list[23] = id.length;
    list.set(id, 24);
    const cdb = hex('5f 07 00 00 00 00 00 00 00 00');
    cdb[8] = list.length;
    expect(bench.run(a, cdb, [list]).outcome).to.equal('good');
    expect(bench.run(b, READ).outcome).to.equal('good');
    expect(bench.run(a, READ).outcome).to.equal('reservationConflict');
  });
});

describe('a TransportID', () => {
  it('is read back as it was written, and refused when damaged', () => {
    const id = encodeTransportId(A, '80123f000001');
    expect(decodeTransportId(id)).to.deep.equal({
      id: { initiatorName: A, isid: '80123f000001' },
      lengthBytes: id.length,
    });
    expect(id.length % 4).to.equal(0);
    expect(decodeTransportId(id.subarray(0, id.length - 4))).to.be.null;
    expect(decodeTransportId(Uint8Array.of(0x06, ...id.subarray(1)))).to.be.null;
    const endless = id.slice().fill(0x61, 4);
    expect(decodeTransportId(endless)).to.be.null;
  });
});
