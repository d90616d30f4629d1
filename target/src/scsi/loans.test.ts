/**
 * What the volume lends with a read comes back exactly once, however the command ends. The memory
 * volume overwrites what it gets back, so that all other tests of this folder would read nonsense
 * if it came back too early.
 */
import { expect } from 'chai';
import { VolumeError } from '../volume.ts';
import { Bench } from './harness.test-support.ts';

const BLOCK = 512;
const data = (blocks: number, fill: number): Uint8Array =>
  new Uint8Array(blocks * BLOCK).fill(fill);

/** Each reads blocks 8 to 11 at least once. */
const COMMANDS: readonly { name: string; cdb: string; dataOut?: Uint8Array[] }[] = [
  { name: 'READ', cdb: '28 00 00 00 00 08 00 00 04 00' },
  { name: 'READ with FUA', cdb: '28 08 00 00 00 08 00 00 04 00' },
  { name: 'PRE-FETCH', cdb: '34 00 00 00 00 08 00 00 04 00' },
  { name: 'VERIFY', cdb: '2f 02 00 00 00 08 00 00 04 00', dataOut: [data(4, 7)] },
  { name: 'VERIFY that differs', cdb: '2f 02 00 00 00 08 00 00 04 00', dataOut: [data(4, 8)] },
  { name: 'VERIFY of one block', cdb: '2f 06 00 00 00 08 00 00 04 00', dataOut: [data(1, 7)] },
  { name: 'WRITE AND VERIFY', cdb: '2e 02 00 00 00 08 00 00 04 00', dataOut: [data(4, 9)] },
  {
    name: 'COMPARE AND WRITE',
    cdb: '89 00 00 00 00 00 00 00 00 08 00 00 00 04 00 00',
    dataOut: [data(4, 7), data(4, 9)],
  },
  {
    name: 'COMPARE AND WRITE that differs',
    cdb: '89 00 00 00 00 00 00 00 00 08 00 00 00 04 00 00',
    dataOut: [data(4, 1), data(4, 9)],
  },
  {
    name: 'ORWRITE',
    cdb: '8b 00 00 00 00 00 00 00 00 08 00 00 00 04 00 00',
    dataOut: [data(4, 9)],
  },
];

const filled = (): Bench => {
  const bench = new Bench();
  bench.run(bench.nexus(), '2a 00 00 00 00 08 00 00 04 00', [data(4, 7)]);
  return bench;
};

describe('what a read lends', () => {
  for (const { name, cdb, dataOut = [] } of COMMANDS) {
    it(`comes back when ${name} ends`, () => {
      const bench = filled();
      const task = bench.run(bench.nexus(), cdb, dataOut);
      expect(task.status).to.not.equal(null);
      expect(bench.volume.lent).to.equal(0);
    });

    it(`comes back when ${name} is aborted at any step, or its next step fails`, () => {
      for (let steps = 0; steps < 6; steps += 1) {
        for (const end of ['abort', 'fail', 'nexus lost'] as const) {
          const bench = filled();
          const nexus = bench.nexus();
          bench.volume.deferred = true;
          const task = bench.run(nexus, cdb, dataOut);
          for (let step = 0; step < steps; step += 1) bench.volume.step();
          if (end === 'abort') bench.server.abort(task);
          else if (end === 'nexus lost') bench.server.nexusLost(nexus);
          else bench.volume.failNext(new VolumeError('NOT_READY', 'a fault of the test'));
          bench.volume.settle();
          expect(bench.volume.lent).to.equal(0);
        }
      }
    });
  }
});
