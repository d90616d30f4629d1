import { expect } from 'chai';
import { plot } from './plot.ts';
import { report } from './report.ts';
import type { Measurement, Results } from './results.ts';
import { ratio, spread } from './results.ts';

const measurement = (system: string, round: number, iops: number): Measurement => ({
  workload: 'w',
  system,
  round,
  iops,
  operations: iops,
  seconds: 1,
  bytesPerSecond: iops * 4096,
  p50: 10,
  p99: 20,
  p999: 30,
  max: 40,
  cpuPerOperation: 50,
});

const results: Results = {
  date: '2026-01-01',
  machine: {
    processor: 'a processor',
    cores: 2,
    memoryGib: 4,
    kernel: '6.1',
    node: 'v26.0.0',
    tgt: '1.0',
    fileSystem: 'ext4',
  },
  settings: { rounds: 3 },
  workloads: [{ id: 'w', title: 'a workload' }],
  systems: [
    { name: 'tgt', description: 'the other' },
    { name: 'ours', description: 'this' },
  ],
  measurements: [
    ...[100, 1000, 200].map((iops, round) => measurement('tgt', round, iops)),
    ...[200, 1000, 600].map((iops, round) => measurement('ours', round, iops)),
  ],
};

describe('the results of the benchmark', () => {
  it('have median and range', () => {
    expect(spread([])).to.equal(null);
    expect(spread([3, 1, 2])).to.deep.equal({ median: 2, min: 1, max: 3 });
    expect(spread([4, 1, 2, 3])).to.deep.equal({ median: 2.5, min: 1, max: 4 });
  });

  it('are compared within a round', () => {
    expect(ratio(results, 'w', 'ours')).to.deep.equal({ median: 2, min: 1, max: 3 });
  });

  it('are told in tables and drawn as a picture', async () => {
    expect(report(results)).to.match(/a workload +\| +200 +\| +600 · 2\.00x \(1\.00–3\.00\)/);
    expect(await plot(results)).to.match(/^<svg.*a workload.*2\.00/s);
  });
});
