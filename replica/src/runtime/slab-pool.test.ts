import { expect } from 'chai';
import fc from 'fast-check';
import type { Slab } from './slab-pool.ts';
import { SlabPool } from './slab-pool.ts';

const KIB = 1024;

describe('SlabPool', () => {
  it('gives a slab again when the last holder has released it, and not before', () => {
    const pool = new SlabPool(1024 * KIB);
    const slab = pool.take(7500);
    expect(slab.buffer.length).to.equal(8 * KIB);
    slab.hold();
    slab.release();
    expect(pool.take(8 * KIB)).not.to.equal(slab);
    slab.release();
    expect(pool.take(7200)).to.equal(slab);
    expect(pool.idleBytes).to.equal(0);
  });

  it('refuses a release too many', () => {
    const slab = new SlabPool(1024 * KIB).take(1);
    slab.release();
    expect(slab.release).to.throw('once by each holder');
  });

  it('keeps no more than its capacity', () => {
    const pool = new SlabPool(16 * KIB);
    const slabs = Array.from({ length: 5 }, () => pool.take(8 * KIB));
    for (const slab of slabs) slab.release();
    expect(pool.idleBytes).to.equal(16 * KIB);
  });

  it('lets go of sizes that are not asked for any more in favour of those that are', () => {
    const pool = new SlabPool(16 * KIB);
    const large = [pool.take(8 * KIB), pool.take(8 * KIB)];
    for (const slab of large) slab.release();
    const small = pool.take(4 * KIB);
    small.release();
    expect(pool.take(4 * KIB)).to.equal(small);
    expect(pool.idleBytes).to.equal(8 * KIB);
  });

  it('gives back, half of it at each trim, what was not needed since the one before', () => {
    const pool = new SlabPool(1024 * KIB);
    const takeAll = (count: number): void => {
      for (const slab of Array.from({ length: count }, () => pool.take(4 * KIB))) slab.release();
    };
    takeAll(8);
    pool.trim();
    expect(pool.idleBytes, 'all were needed').to.equal(32 * KIB);
    takeAll(2);
    pool.trim();
    expect(pool.idleBytes, '6 were not').to.equal(20 * KIB);
    for (let count = 0; count < 4; count++) pool.trim();
    expect(pool.idleBytes).to.equal(0);
  });

  it('gives at most a quarter more than was asked for', () => {
    fc.assert(
      fc.property(fc.integer({ min: 4 * KIB, max: 20 * 1024 * KIB }), (bytes) => {
        const { length } = new SlabPool(1).take(bytes).buffer;
        expect(length).to.be.within(bytes, bytes * 1.25 + 1);
        expect(new SlabPool(1).take(length).buffer.length).to.equal(length);
      }),
      { numRuns: 50 },
    );
  });

  it('never gives out what is held, whatever is taken, held and released', () => {
    const step = fc.record({
      what: fc.constantFrom('take', 'hold', 'release', 'trim'),
      which: fc.nat(),
      bytes: fc.integer({ min: 1, max: 40 * KIB }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const pool = new SlabPool(64 * KIB);
        const holders = new Map<Slab, number>();
        for (const { what, which, bytes } of steps) {
          const held = [...holders.keys()];
          const slab = held[which % held.length];
          if (what === 'take') {
            const taken = pool.take(bytes);
            expect(holders.has(taken)).to.equal(false);
            expect(taken.buffer.length).to.be.at.least(bytes);
            holders.set(taken, 1);
          } else if (what === 'trim') pool.trim();
          else if (slab !== undefined) {
            const count = (holders.get(slab) ?? 0) + (what === 'hold' ? 1 : -1);
            if (what === 'hold') slab.hold();
            else slab.release();
            if (count === 0) holders.delete(slab);
            else holders.set(slab, count);
          }
          expect(pool.idleBytes).to.be.at.most(64 * KIB);
        }
      }),
    );
  });
});
