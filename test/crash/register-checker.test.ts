import { expect } from 'chai';
import { EMPTY, RegisterChecker, Violation } from './register-checker.ts';
import { fillSectors, readStamps, SECTOR_BYTES } from './sector.ts';

describe('the register checker', () => {
  it('takes the new value after the write was answered, and refuses the old one', () => {
    const checker = new RegisterChecker(1);
    const write = checker.startWrite(0, 1);
    checker.finishWrite(write);
    checker.finishRead(checker.startRead(0, 1), [write.stamp]);
    expect(() => checker.finishRead(checker.startRead(0, 1), [EMPTY])).to.throw(Violation);
  });

  it('tells what all sectors may have held at a moment, and nothing from before or after it', () => {
    const checker = new RegisterChecker(1);
    const done = (): number => {
      const write = checker.startWrite(0, 1);
      checker.finishWrite(write);
      return write.stamp;
    };
    done();
    const before = done();
    const moment = checker.startMoment();
    const during = done();
    const late = checker.startWrite(0, 1);
    expect(checker.finishMoment(moment)).to.deep.equal([[before, during, late.stamp]]);
    checker.finishWrite(late);
    expect(checker.finishMoment(checker.startMoment())).to.deep.equal([[late.stamp]]);
  });

  it('refuses a lost write that was never read', () => {
    const checker = new RegisterChecker(1);
    checker.finishWrite(checker.startWrite(0, 1));
    expect(() => checker.finishRead(checker.startRead(0, 1), [EMPTY])).to.throw(Violation);
  });

  it('takes either value during the write, but not the old one after the new one', () => {
    const checker = new RegisterChecker(1);
    const write = checker.startWrite(0, 1);
    checker.finishRead(checker.startRead(0, 1), [EMPTY]);
    checker.finishRead(checker.startRead(0, 1), [write.stamp]);
    expect(() => checker.finishRead(checker.startRead(0, 1), [EMPTY])).to.throw(Violation);
  });

  it('takes the old value from a read that began before the write was answered', () => {
    const checker = new RegisterChecker(1);
    const write = checker.startWrite(0, 1);
    const read = checker.startRead(0, 1);
    checker.finishWrite(write);
    checker.finishRead(read, [EMPTY]);
    checker.finishRead(checker.startRead(0, 1), [write.stamp]);
  });

  it('lets two writes at once end in either order, and then stay', () => {
    for (const last of [0, 1]) {
      const checker = new RegisterChecker(1);
      const writes = [checker.startWrite(0, 1), checker.startWrite(0, 1)];
      for (const write of writes) checker.finishWrite(write);
      checker.finishRead(checker.startRead(0, 1), [writes[last]!.stamp]);
      expect(() => checker.finishRead(checker.startRead(0, 1), [writes[1 - last]!.stamp])).to.throw(
        Violation,
      );
    }
  });

  it('lets an unanswered write have happened or not, stable once read', () => {
    for (const happened of [true, false]) {
      const checker = new RegisterChecker(1);
      const write = checker.startWrite(0, 1);
      checker.abandon(write);
      checker.settle();
      const [shown, other] = happened ? [write.stamp, EMPTY] : [EMPTY, write.stamp];
      expect(checker.candidates(0)).to.have.members([EMPTY, write.stamp]);
      checker.finishRead(checker.startRead(0, 1), [shown]);
      checker.finishRead(checker.startRead(0, 1), [shown]);
      expect(checker.candidates(0)).to.deep.equal([shown]);
      expect(() => checker.finishRead(checker.startRead(0, 1), [other])).to.throw(Violation);
    }
  });

  it('keeps the old value, though read during a write that is never answered', () => {
    const checker = new RegisterChecker(1);
    const old = checker.startWrite(0, 1);
    checker.finishWrite(old);
    const lost = checker.startWrite(0, 1);
    checker.finishRead(checker.startRead(0, 1), [old.stamp]);
    checker.abandon(lost);
    checker.settle();
    const read = checker.startRead(0, 1);
    const next = checker.startWrite(0, 1);
    expect(checker.candidates(0)).to.have.members([old.stamp, lost.stamp, next.stamp]);
    checker.finishRead(read, [old.stamp]);
  });

  it('refuses an unanswered write that appears after a later acknowledged one', () => {
    const checker = new RegisterChecker(1);
    const lost = checker.startWrite(0, 1);
    checker.abandon(lost);
    checker.settle();
    checker.finishWrite(checker.startWrite(0, 1));
    expect(() => checker.finishRead(checker.startRead(0, 1), [lost.stamp])).to.throw(Violation);
  });

  it('refuses a third value', () => {
    const checker = new RegisterChecker(2);
    const elsewhere = checker.startWrite(1, 1);
    checker.finishWrite(elsewhere);
    expect(() => checker.finishRead(checker.startRead(0, 1), [elsewhere.stamp])).to.throw(
      Violation,
    );
    expect(() => checker.finishRead(checker.startRead(0, 1), [99])).to.throw('never written');
  });

  it('counts zeroes after an unmap as its value, and unmaps only where that is clear', () => {
    const checker = new RegisterChecker(1);
    expect(checker.startUnmap(0, 1)).to.equal(null);
    checker.finishWrite(checker.startWrite(0, 1));
    const unmap = checker.startUnmap(0, 1);
    expect(unmap).not.to.equal(null);
    checker.finishWrite(unmap!);
    checker.finishRead(checker.startRead(0, 1), [EMPTY]);
    expect(checker.candidates(0)).to.deep.equal([EMPTY]);
  });

  it('remembers no more than what is possible', () => {
    const checker = new RegisterChecker(1);
    for (let turn = 0; turn < 1000; turn++) checker.finishWrite(checker.startWrite(0, 1));
    expect(checker.candidates(0)).to.deep.equal([1000]);
  });
});

describe('the sectors of the checking load', () => {
  it('come back as their stamps', () => {
    const bytes = Buffer.alloc(4 * SECTOR_BYTES);
    fillSectors(bytes.subarray(SECTOR_BYTES, 3 * SECTOR_BYTES), 8, 77);
    expect(readStamps(bytes, 7)).to.deep.equal([EMPTY, 77, 77, EMPTY]);
  });

  it('are refused where torn, moved, or damaged in one bit', () => {
    const bytes = Buffer.alloc(SECTOR_BYTES);
    fillSectors(bytes, 8, 77);
    expect(() => readStamps(bytes, 9)).to.throw(Violation);
    const torn = Buffer.from(bytes);
    fillSectors(torn.subarray(0, 256), 8, 78);
    expect(() => readStamps(torn, 8)).to.throw(Violation);
    for (let bit = 64; bit < SECTOR_BYTES * 8; bit += 61) {
      const damaged = Buffer.from(bytes);
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => readStamps(damaged, 8)).to.throw(Violation);
    }
  });
});
