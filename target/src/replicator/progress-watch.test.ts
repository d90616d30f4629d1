import { expect } from 'chai';
import { STALL_TICKS } from './member-state.ts';
import { ProgressWatch, type Work } from './progress-watch.ts';

const NOTHING: Readonly<Record<Work, boolean>> = { stream: false, reads: false, requests: false };

/** Ticks until it complains; null: it never does. */
const ticks = (
  busy: Partial<Record<Work, boolean>>,
  moving: readonly Work[],
  pingUnanswered = false,
): number | null => {
  const watch = new ProgressWatch();
  for (let tick = 1; tick <= 3 * STALL_TICKS; tick++) {
    for (const kind of moving) watch.moved(kind);
    if (watch.step({ ...NOTHING, ...busy }, pingUnanswered) !== null) return tick;
  }
  return null;
};

describe('the watch over a member', () => {
  it('takes a flush that hangs for a failure although writes and reads go on', () => {
    const busy = { stream: true, reads: true, requests: true };
    expect(ticks(busy, ['stream', 'reads'])).to.be.within(STALL_TICKS, STALL_TICKS + 1);
  });

  it('takes reads that hang for a failure although writes go on, and the other way round', () => {
    const busy = { stream: true, reads: true };
    expect(ticks(busy, ['stream'])).to.be.within(STALL_TICKS, STALL_TICKS + 1);
    expect(ticks(busy, ['reads'])).to.be.within(STALL_TICKS, STALL_TICKS + 1);
  });

  it('lets a member be slow as long as everything moves, and one be idle that has nothing to do', () => {
    const busy = { stream: true, reads: true, requests: true };
    expect(ticks(busy, ['stream', 'reads', 'requests'])).to.equal(null);
    expect(ticks({}, [])).to.equal(null);
    expect(ticks({}, [], true)).to.equal(STALL_TICKS);
  });

  it('begins anew when it is reset', () => {
    const watch = new ProgressWatch();
    const busy = { ...NOTHING, reads: true };
    for (let tick = 1; tick < STALL_TICKS; tick++) expect(watch.step(busy, false)).to.equal(null);
    watch.reset();
    for (let tick = 1; tick < STALL_TICKS; tick++) expect(watch.step(busy, false)).to.equal(null);
  });
});
