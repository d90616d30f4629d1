import { expect } from 'chai';
import { Bench, type TestTask } from './harness.test-support.ts';
import type { Nexus, TaskAttribute } from './task.ts';

const READ = '28 00 00 00 00 00 00 00 01 00';
const WRITE = '2a 00 00 00 00 00 00 00 01 00';
const RESET_TOLD = '6/29/03';

function slowBench(): { bench: Bench; nexus: Nexus } {
  const bench = new Bench();
  const nexus = bench.nexus();
  bench.volume.deferred = true;
  return { bench, nexus };
}

function start(bench: Bench, nexus: Nexus, attribute: TaskAttribute, cdb = READ): TestTask {
  return bench.run(nexus, cdb, [], (task) => {
    task.attribute = attribute;
  });
}

describe('the task set', () => {
  it('runs simple tasks together', () => {
    const { bench, nexus } = slowBench();
    start(bench, nexus, 'simple');
    start(bench, nexus, 'untagged');
    expect(bench.volume.pending).to.equal(2);
  });

  it('lets an ordered task wait for older ones, and younger ones for it', () => {
    const { bench, nexus } = slowBench();
    start(bench, nexus, 'simple');
    const ordered = start(bench, nexus, 'ordered');
    const younger = start(bench, nexus, 'simple');
    expect(bench.volume.pending).to.equal(1);
    bench.volume.step();
    expect(ordered.outcome).to.equal('none');
    expect(bench.volume.pending).to.equal(1);
    bench.volume.step();
    expect(ordered.outcome).to.equal('good');
    expect(younger.outcome).to.equal('none');
    bench.volume.settle();
    expect(younger.outcome).to.equal('good');
  });

  it('runs a head of queue task at once, before those that wait', () => {
    const { bench, nexus } = slowBench();
    start(bench, nexus, 'ordered');
    const waiting = start(bench, nexus, 'simple');
    start(bench, nexus, 'head-of-queue');
    expect(bench.volume.pending).to.equal(2);
    bench.volume.step();
    expect(bench.volume.pending).to.equal(1);
    bench.volume.settle();
    expect(waiting.outcome).to.equal('good');
  });

  it('refuses the ACA attribute and NACA', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    expect(start(bench, nexus, 'aca').outcome).to.equal('b/49/00');
    expect(bench.run(nexus, '00 00 00 00 00 04').outcome).to.equal('5/24/00');
  });

  it('writes what a waiting task was given, although the front end only lent it', () => {
    const { bench, nexus } = slowBench();
    start(bench, nexus, 'ordered');
    const payload = new Uint8Array(512).fill(0x5a);
    bench.run(nexus, WRITE, [payload]);
    bench.volume.settle();
    const read = start(bench, nexus, 'simple');
    bench.volume.settle();
    expect(read.dataIn).to.deep.equal(payload);
  });
});

describe('task management', () => {
  it('aborts a task: it sends no status; what waits goes on when its operation ends', () => {
    const { bench, nexus } = slowBench();
    const task = start(bench, nexus, 'simple');
    const ordered = start(bench, nexus, 'ordered');
    expect(bench.server.abort(task)).to.be.true;
    bench.volume.settle();
    expect(task.outcome).to.equal('none');
    expect(ordered.outcome).to.equal('good');
    expect(bench.server.abort(ordered)).to.be.false;
  });

  it('takes a waiting task out at once', () => {
    const { bench, nexus } = slowBench();
    start(bench, nexus, 'simple');
    const waiting = start(bench, nexus, 'ordered');
    expect(bench.server.abort(waiting)).to.be.true;
    const younger = start(bench, nexus, 'simple');
    bench.volume.settle();
    expect(waiting.outcome).to.equal('none');
    expect(younger.outcome).to.equal('good');
  });

  it('aborts the tasks of one nexus, and says so when they have ended', () => {
    const { bench, nexus } = slowBench();
    bench.volume.deferred = false;
    const other = bench.nexus('iqn.1994-05.com.example:b');
    bench.volume.deferred = true;
    const own = start(bench, nexus, 'simple');
    const foreign = start(bench, other, 'simple');
    const outcomes: string[] = [];
    bench.server.manage('abort-task-set', nexus, new Uint8Array(8), (outcome, aborted) => {
      outcomes.push(outcome);
      expect(aborted).to.deep.equal([own]);
    });
    expect(outcomes).to.be.empty;
    bench.volume.settle();
    expect(outcomes).to.deep.equal(['complete']);
    expect(own.outcome).to.equal('none');
    expect(foreign.outcome).to.equal('good');
  });

  it('clears the tasks of all and tells the others of it', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    const other = bench.nexus('iqn.1994-05.com.example:b');
    bench.volume.deferred = true;
    const foreign = start(bench, other, 'simple');
    bench.server.manage('clear-task-set', nexus, new Uint8Array(8), () => undefined);
    bench.volume.settle();
    expect(foreign.outcome).to.equal('none');
    expect(bench.run(other, '00 00 00 00 00 00').outcome).to.equal('6/2f/00');
    expect(bench.run(nexus, '00 00 00 00 00 00').outcome).to.equal('good');
  });

  it('resets the unit: mode pages, reservation, and every nexus is told', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    const other = bench.nexus('iqn.1994-05.com.example:b');
    bench.run(nexus, '16 00 00 00 00 00');
    bench.run(nexus, '1b 00 00 00 00 00');
    bench.server.manage('logical-unit-reset', nexus, new Uint8Array(8), () => undefined);
    expect(bench.run(nexus, '00 00 00 00 00 00').outcome).to.equal(RESET_TOLD);
    expect(bench.run(other, '00 00 00 00 00 00').outcome).to.equal(RESET_TOLD);
    expect(bench.run(other, '16 00 00 00 00 00').outcome).to.equal('good');
    expect(bench.run(nexus, '00 00 00 00 00 00').outcome).to.equal('reservationConflict');
  });

  it('knows no unit at another LUN', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    const outcomes: string[] = [];
    const lun = Uint8Array.of(0, 1, 0, 0, 0, 0, 0, 0);
    bench.server.manage('logical-unit-reset', nexus, lun, (outcome) => outcomes.push(outcome));
    expect(outcomes).to.deep.equal(['lun-does-not-exist']);
  });

  it('ends the tasks and the RESERVE (6) of a nexus that is lost', () => {
    const bench = new Bench();
    const nexus = bench.nexus();
    const other = bench.nexus('iqn.1994-05.com.example:b');
    bench.run(nexus, '16 00 00 00 00 00');
    expect(bench.run(other, READ).outcome).to.equal('reservationConflict');
    bench.volume.deferred = true;
    const task = start(bench, nexus, 'simple');
    bench.server.nexusLost(nexus);
    bench.volume.settle();
    expect(task.outcome).to.equal('none');
    const read = bench.run(other, READ);
    bench.volume.settle();
    expect(read.outcome).to.equal('good');
  });
});
