import { expect } from 'chai';
import fc from 'fast-check';
import { LockEntry, RangeLocks } from './range-lock.ts';

const MIB = 1024 * 1024;

class Entry extends LockEntry {
  readonly name: number;
  readonly log: number[];

  constructor(name: number, log: number[], range: readonly [number, number], shared: boolean) {
    super(range[0], range[1], shared ? 'shared' : 'exclusive');
    this.name = name;
    this.log = log;
  }

  override granted(): void {
    this.log.push(this.name);
  }
}

/**
 * The obvious way: one list in order of arrival; an entry is held when no older conflicting one is
 * in the list.
 */
class Model {
  readonly list: Entry[] = [];
  readonly held = new Set<Entry>();

  acquire(entry: Entry): void {
    this.list.push(entry);
  }

  release(entry: Entry): void {
    this.held.delete(entry);
    this.list.splice(this.list.indexOf(entry), 1);
  }

  grant(): number[] {
    const granted: number[] = [];
    this.list.forEach((entry, index) => {
      if (this.held.has(entry)) return;
      const blocked = this.list
        .slice(0, index)
        .some(
          (older) =>
            (older.mode === 'exclusive' || entry.mode === 'exclusive') &&
            older.offsetBytes < entry.offsetBytes + entry.lengthBytes &&
            entry.offsetBytes < older.offsetBytes + older.lengthBytes,
        );
      if (blocked) return;
      this.held.add(entry);
      granted.push(entry.name);
    });
    return granted;
  }
}

describe('RangeLocks', () => {
  it('grants exactly what a plain first-come-first-served list grants', () => {
    const range = fc
      .tuple(fc.nat(40), fc.constantFrom(1, 2, 5, 70, 200), fc.boolean())
      .map(([at, length, small]): [number, number] =>
        small ? [at * 512, length * 512] : [at * 3 * 512 * 1024, length * 512 * 1024],
      );
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.record({ range, shared: fc.boolean() }) },
      { weight: 2, arbitrary: fc.record({ release: fc.nat() }) },
      { weight: 1, arbitrary: fc.record({ withdraw: fc.nat() }) },
    );
    fc.assert(
      fc.property(fc.array(step, { minLength: 5, maxLength: 120 }), (steps) => {
        const locks = new RangeLocks();
        const model = new Model();
        const log: number[] = [];
        steps.forEach((each, name) => {
          log.length = 0;
          if ('range' in each) {
            const entry = new Entry(name, log, each.range, each.shared);
            model.acquire(entry);
            if (locks.acquire(entry)) log.push(name);
          } else if ('withdraw' in each) {
            const waiting = model.list.filter((entry) => !model.held.has(entry));
            const entry = waiting[each.withdraw % Math.max(1, waiting.length)];
            if (entry !== undefined) {
              model.release(entry);
              locks.withdraw(entry);
            }
          } else if (model.held.size > 0) {
            const entry = [...model.held][each.release % model.held.size]!;
            model.release(entry);
            locks.release(entry);
          }
          expect([...log].sort((a, b) => a - b)).to.deep.equal(model.grant());
          expect(locks.held).to.equal(model.held.size);
          expect(locks.waiting).to.equal(model.list.length - model.held.size);
        });
      }),
      { numRuns: 200 },
    );
  });

  it('does not let a shared range overtake an exclusive one that waits', () => {
    const locks = new RangeLocks();
    const log: number[] = [];
    const reader = new Entry(1, log, [0, 4096], true);
    expect(locks.acquire(reader)).to.equal(true);
    expect(locks.acquire(new Entry(2, log, [0, 4096], false))).to.equal(false);
    expect(locks.acquire(new Entry(3, log, [0, 4096], true))).to.equal(false);
    locks.release(reader);
    expect(log).to.deep.equal([2]);
  });

  it('grants a queue of any length without recursion', () => {
    const locks = new RangeLocks();
    let done = 0;
    class Chained extends LockEntry {
      override granted(): void {
        done++;
        locks.release(this);
      }
    }
    const head = new Entry(0, [], [0, 8 * MIB], false);
    locks.acquire(head);
    for (let count = 0; count < 1_000; count++) locks.acquire(new Chained(count % 7, 1, 'shared'));
    for (let count = 0; count < 500; count++) locks.acquire(new Chained(0, 4096, 'exclusive'));
    locks.release(head);
    expect(done).to.equal(1_500);
    expect(locks.held + locks.waiting).to.equal(0);
  });
});
