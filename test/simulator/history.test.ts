import { expect } from 'chai';
import { History } from './history.ts';
import { Violation } from './world.ts';

/** One write of the sector, answered. Returns what it wrote. */
const write = (history: History, sector = 0): number => {
  const access = history.startWrite(sector, 1);
  history.finishWrite(access);
  return access.stamp;
};

const read = (history: History, stamp: number, sector = 0): void => {
  history.finishRead(history.startRead(sector, 1), [stamp]);
};

const flush = (history: History): void => history.finishFlush(history.startFlush());

describe('a history', () => {
  it('takes the value that was acknowledged last, and no older one', () => {
    const history = new History();
    const old = write(history);
    const latest = write(history);
    read(history, latest);
    expect(() => read(history, old)).to.throw(Violation, 'seen before and after');
  });

  it('takes either order of writes that overlap in time, but only one', () => {
    const history = new History();
    const one = history.startWrite(0, 1);
    const other = history.startWrite(0, 1);
    history.finishWrite(other);
    history.finishWrite(one);
    read(history, other.stamp);
    read(history, other.stamp);
    expect(() => read(history, one.stamp)).to.throw(Violation);
  });

  it('takes a write without an answer as done or not, and stably', () => {
    const history = new History();
    const first = write(history);
    const lost = history.startWrite(0, 1);
    history.abandon(lost, false);
    read(history, first);
    expect(() => {
      read(history, lost.stamp);
      read(history, first);
    }).to.throw(Violation);
  });

  it('finds a write that comes back after it was settled as not done', () => {
    const history = new History();
    const lost = history.startWrite(0, 1);
    history.abandon(lost, true);
    history.settle([lost]);
    const next = write(history);
    read(history, next);
    expect(() => read(history, lost.stamp)).to.throw(Violation);
  });

  it('lets what was not flushed go with the memory of all machines, and nothing else', () => {
    const history = new History();
    const gone = write(history);
    const flushed = write(history);
    flush(history);
    const unflushed = write(history);
    history.memoryLost();
    const other = structuredClone([gone, flushed, unflushed]);
    expect(() => read(history, other[0]!)).to.throw(Violation);
    read(history, flushed);
    read(history, flushed);
    expect(() => read(history, unflushed)).to.throw(Violation);
  });

  it('knows a value that was never written', () => {
    expect(() => read(new History(), 7)).to.throw(Violation, 'not written there');
  });
});
