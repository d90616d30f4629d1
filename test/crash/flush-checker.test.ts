import { expect } from 'chai';
import { FlushChecker } from './flush-checker.ts';
import type { Operation } from './register-checker.ts';
import { Violation } from './register-checker.ts';

const write = (stamp: number): Operation => ({
  kind: 'write',
  sector: 0,
  count: 1,
  stamp,
  start: 0,
});

describe('FlushChecker', () => {
  it('lets a change without a flush be there or not', () => {
    const checker = new FlushChecker([7]);
    checker.finishChange(checker.startChange(write(8)), false);
    checker.check([7]);
    checker.check([8]);
  });

  it('misses what was answered before a flush that was answered', () => {
    const checker = new FlushChecker([7]);
    checker.finishChange(checker.startChange(write(8)), false);
    checker.finishFlush(checker.startFlush());
    checker.check([8]);
    expect(() => checker.check([7])).to.throw(Violation);
  });

  it('misses nothing that was answered only after the flush began', () => {
    const checker = new FlushChecker([7]);
    const change = checker.startChange(write(8));
    const flush = checker.startFlush();
    checker.finishChange(change, false);
    checker.finishFlush(flush);
    checker.check([7]);
  });

  it('misses a write with FUA, and takes what began before it was answered', () => {
    const checker = new FlushChecker([7]);
    const early = checker.startChange(write(8));
    const late = checker.startChange(write(9));
    checker.finishChange(late, true);
    checker.finishChange(early, false);
    checker.check([8]);
    checker.check([9]);
    expect(() => checker.check([7])).to.throw(Violation);
  });

  it('takes no value that nobody wrote', () => {
    expect(() => new FlushChecker([7]).check([8])).to.throw(Violation);
  });
});
