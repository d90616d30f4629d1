import { expect } from 'chai';
import { settle, VirtualClock } from './virtual-clock.test-support.ts';
import { runWorkers, WorkQueue } from './work-queue.ts';

describe('the work queue', () => {
  let clock: VirtualClock;
  let queue: WorkQueue;

  beforeEach(() => {
    clock = new VirtualClock();
    queue = new WorkQueue({ clock, retryMinMs: 10, retryMaxMs: 1000 });
  });

  it('holds a key once however often it is added', async () => {
    queue.add('a');
    queue.add('a');
    queue.add('b');
    expect(queue.length).to.equal(2);
    expect(await queue.next()).to.equal('a');
    expect(await queue.next()).to.equal('b');
  });

  it('never gives a key that is worked on, and gives it again when it was added meanwhile', async () => {
    queue.add('a');
    const key = await queue.next();
    queue.add('a');
    expect(queue.length).to.equal(0);
    queue.done(key ?? '');
    expect(queue.length).to.equal(1);
    expect(await queue.next()).to.equal('a');
  });

  it('gives a waiting worker the key that comes', async () => {
    const waiting = queue.next();
    queue.add('a');
    expect(await waiting).to.equal('a');
  });

  it('doubles the delay of a key that fails again, up to the maximum, until it is forgotten', () => {
    expect([1, 2, 3].map(() => queue.retry('a'))).to.deep.equal([10, 20, 40]);
    for (let n = 0; n < 60; n++) queue.retry('a');
    expect(queue.retry('a')).to.equal(1000);
    queue.forget('a');
    expect(queue.retry('a')).to.equal(10);
  });

  it('adds a delayed key once, at the earlier of two times', async () => {
    queue.addAfter('a', 100);
    queue.addAfter('a', 50);
    queue.addAfter('a', 200);
    await clock.pass(49);
    expect(queue.length).to.equal(0);
    await clock.pass(1);
    expect(queue.length).to.equal(1);
    await clock.pass(1000);
    expect(queue.length).to.equal(1);
  });

  it('lets workers end when it is closed, and takes nothing more', async () => {
    const waiting = queue.next();
    queue.addAfter('a', 10);
    queue.close();
    queue.add('b');
    await clock.pass(100);
    expect(await waiting).to.equal(null);
    expect(queue.length).to.equal(0);
  });

  it('tries work that fails again, and says when', async () => {
    const failures: [string, number][] = [];
    let attempts = 0;
    const ended = runWorkers(
      queue,
      2,
      () => (++attempts < 3 ? Promise.reject(new Error('not yet')) : Promise.resolve()),
      (key, _error, retryMs) => failures.push([key, retryMs]),
    );
    queue.add('a');
    await clock.pass(1000);
    expect(attempts).to.equal(3);
    expect(failures).to.deep.equal([
      ['a', 10],
      ['a', 20],
    ]);
    expect(queue.failures('a')).to.equal(0);
    queue.close();
    await ended;
    await settle();
  });
});
