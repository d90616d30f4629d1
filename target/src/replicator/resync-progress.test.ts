import { expect } from 'chai';
import { ResyncProgress } from './resync-progress.ts';

const EXTENT = 1024 * 1024;

describe('the progress of a resynchronisation', () => {
  it('is 100 % only when nothing is left, and at once where nothing is to be done', () => {
    const progress = new ResyncProgress(0);
    expect(progress.percent).to.equal(0);
    expect(progress.etaSeconds(0)).to.equal(null);
    progress.expect(1000, 0);
    for (let extent = 0; extent < 999; extent++) progress.extentDone(EXTENT, extent);
    expect(progress.percent).to.equal(99);
    progress.extentDone(EXTENT, 1000);
    expect(progress.percent).to.equal(100);
    expect(progress.etaSeconds(1000)).to.equal(0);
    const nothing = new ResyncProgress(0);
    nothing.expect(0, 0);
    expect(nothing.percent).to.equal(100);
  });

  it('counts the layers of snapshots that are filled first', () => {
    const progress = new ResyncProgress(0);
    const seen: number[] = [];
    for (const done of [0, 0.5, 1, 1.5, 2, 3]) {
      progress.layersFilled(done, 3);
      seen.push(progress.percent);
    }
    progress.expect(10, 0);
    for (let extent = 0; extent < 10; extent++) progress.extentDone(EXTENT, extent);
    expect([...seen, progress.percent]).to.deep.equal([0, 12, 25, 37, 50, 75, 100]);
  });

  it('tells the rate of the last ten seconds, and from it when the end will be', () => {
    const progress = new ResyncProgress(0);
    progress.expect(1000, 0);
    let now = 0;
    for (; now < 20_000; now += 100) progress.extentDone(EXTENT, now);
    expect(progress.bytesPerSecond(now)).to.be.within(9.5 * EXTENT, 10.5 * EXTENT);
    expect(progress.etaSeconds(now)).to.be.within(78, 82);
    for (; now < 40_000; now += 1000) progress.extentDone(EXTENT, now);
    expect(progress.bytesPerSecond(now)).to.be.within(0.85 * EXTENT, 1.1 * EXTENT);
    expect(progress.etaSeconds(now)).to.be.within(700, 880);
  });

  it('does not tell an old rate while nothing moves', () => {
    const progress = new ResyncProgress(0);
    progress.expect(1000, 0);
    for (let now = 0; now < 5000; now += 100) progress.extentDone(EXTENT, now);
    expect(progress.bytesPerSecond(60_000)).to.be.lessThan(EXTENT);
    expect(progress.etaSeconds(600_000)).to.satisfy(
      (eta: number | null) => eta === null || eta > 1000,
    );
  });
});
