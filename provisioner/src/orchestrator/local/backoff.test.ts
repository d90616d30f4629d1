import { expect } from 'chai';
import { RESTART_MAX_MS, RESTART_MIN_MS, STABLE_AFTER_MS } from '../../limits.ts';
import { Backoff } from './backoff.ts';

describe('restart backoff', () => {
  it('doubles from the shortest to the longest delay', () => {
    const backoff = new Backoff();
    const delays = Array.from({ length: 12 }, () => backoff.failed(10));
    expect(delays.slice(0, 4)).to.deep.equal([1, 2, 4, 8].map((n) => n * RESTART_MIN_MS));
    expect(delays.at(-1)).to.equal(RESTART_MAX_MS);
    expect(backoff.failures).to.equal(12);
  });

  it('starts from the shortest delay again after a stable run', () => {
    const backoff = new Backoff();
    for (let i = 0; i < 8; i += 1) backoff.failed(10);
    expect(backoff.failed(STABLE_AFTER_MS)).to.equal(RESTART_MIN_MS);
    expect(backoff.failures).to.equal(1);
  });
});
