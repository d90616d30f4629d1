import { expect } from 'chai';
import { BufferPool } from './buffer-pool.ts';

describe('BufferPool', () => {
  it('gives a buffer again only after it came back', () => {
    const pool = new BufferPool(1024 * 1024);
    const first = pool.take(5000);
    expect(first.length).to.equal(8192);
    expect(pool.take(8192)).to.not.equal(first);
    pool.give(first);
    expect(pool.take(6000)).to.equal(first);
    expect(pool.freeBytes).to.equal(0);
  });

  it('keeps no more than its capacity', () => {
    const pool = new BufferPool(16_384);
    const buffers = Array.from({ length: 5 }, () => pool.take(8192));
    for (const buffer of buffers) pool.give(buffer);
    expect(pool.freeBytes).to.equal(16_384);
  });

  it('lets go of what nobody needs', () => {
    const pool = new BufferPool(1024 * 1024);
    pool.give(pool.take(4096));
    pool.trim();
    expect(pool.freeBytes).to.equal(4096);
    pool.trim();
    expect(pool.freeBytes).to.equal(0);
  });
});
