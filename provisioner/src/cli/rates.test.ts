import { expect } from 'chai';
import type { VolumeStats } from '../orchestrator/orchestrator.ts';
import { RATE_COLUMNS, rateCells, ratesOf, WIDE_RATE_COLUMNS } from './rates.ts';

const before: VolumeStats = {
  volume: 'db',
  at: '2026-01-01T00:00:00.000Z',
  uptimeSeconds: 10,
  reads: 100,
  readBytes: 0,
  readSeconds: 1,
  writes: 50,
  writeBytes: 0,
  writeSeconds: 1,
  unmaps: 0,
  flushes: 0,
  errors: 0,
  size: 2 ** 30,
  logicalBytes: 2 ** 29,
  usedBytes: 2 ** 30,
};
const after: VolumeStats = {
  ...before,
  uptimeSeconds: 12,
  reads: 300,
  readBytes: 4 * 2 ** 20,
  readSeconds: 1.5,
  flushes: 8,
};

describe('rates of a volume', () => {
  it('are differences over the time of the target, not of whoever asks', () => {
    expect(ratesOf(before, after)).to.include({
      seconds: 2,
      readsPerSecond: 100,
      readBytesPerSecond: 2 * 2 ** 20,
      readLatencyMs: 2.5,
      writesPerSecond: 0,
      writeLatencyMs: null,
      flushesPerSecond: 4,
    });
  });

  it('are none over a restart of the target, which counts from zero', () => {
    expect(ratesOf(after, before)).to.equal(null);
    expect(ratesOf(after, { ...before, uptimeSeconds: 20 })).to.equal(null);
    expect(ratesOf(after, after)).to.equal(null);
  });

  it("fill the original's columns, a dash where nothing was counted", () => {
    const rates = ratesOf(before, after)!;
    const cells = rateCells(rates, { wide: false });
    expect(cells).to.deep.equal(['100', '0', '2.000', '0.000', '2.500', '-', '0.500', '1.000']);
    expect(cells).to.have.length(RATE_COLUMNS.length);
    expect(rateCells(rates, { wide: true })).to.have.length(
      RATE_COLUMNS.length + WIDE_RATE_COLUMNS.length,
    );
  });
});
