import { expect } from 'chai';
import { EMPTY } from '../crash/register-checker.ts';
import { checkPoint, History } from './history.ts';
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

  it('takes a snapshot only for what the sectors held at one moment', () => {
    const history = new History();
    const [a, b] = [history.startWrite(0, 1), history.startWrite(1, 1)];
    history.finishWrite(a);
    history.finishWrite(b);
    const start = history.moment();
    const c = history.startWrite(0, 1);
    history.finishWrite(c);
    const d = history.startWrite(1, 1);
    history.finishWrite(d);
    const point = history.capture(start);
    const holds = (zero: number, one: number): void =>
      checkPoint(
        'it',
        point,
        new Map([
          [0, zero],
          [1, one],
        ]),
      );
    holds(a.stamp, b.stamp);
    holds(c.stamp, b.stamp);
    holds(c.stamp, d.stamp);
    // d began when c was done, so no moment has d and not c.
    expect(() => holds(a.stamp, d.stamp)).to.throw(Violation, 'no moment');
    expect(() => holds(EMPTY, b.stamp)).to.throw(Violation, 'no moment');
    expect(() => holds(99, b.stamp)).to.throw(Violation, 'no time before');
  });

  it('knows what a volume holds that was reverted, or perhaps was', () => {
    const history = new History();
    const first = write(history);
    const point = history.capture(history.moment());
    const second = write(history);
    history.perhapsRevert(point);
    read(history, second);
    expect(() => read(history, first)).to.throw(Violation);
    const third = write(history);
    history.revert(point);
    read(history, first);
    expect(() => read(history, third)).to.throw(Violation);
  });

  it('tells what a flush promised from what an answer promised, and both from a wrong order', () => {
    const lost = (blow: boolean, flushed: boolean): string => {
      const history = new History();
      const old = write(history);
      write(history);
      if (flushed) flush(history);
      if (blow) history.blow();
      try {
        read(history, old);
      } catch (error) {
        return (error as Violation).invariant;
      }
      return 'none';
    };
    expect([lost(false, false), lost(true, false), lost(true, true)]).to.deep.equal([
      'I6',
      'I2',
      'I1',
    ]);
  });

  it('lets nobody unmap a zero that was read and not replaced: it could not be told from it', () => {
    const history = new History();
    read(history, EMPTY);
    expect(history.startUnmap(0, 1)).to.equal(null);
    write(history);
    flush(history);
    expect(history.startUnmap(0, 1)).to.not.equal(null);
  });
});
