import { expect } from 'chai';
import { readFileSync, writeFileSync } from 'node:fs';
import { temporaryDirectory } from '../support/daemons.ts';
import { countStruck, noFigures, readSummary, totalOf, writeSummary } from './figures.ts';

/**
 * Goal: the figures of a long run are those of its parts, also when it was interrupted. Method:
 * figures are counted, added up, written and read again.
 */
describe('the figures of a long crash run', () => {
  const summary = {
    seed: 7,
    kinds: { 'three replicas': 3 },
    total: noFigures(),
    processorSeconds: 4,
    wallSeconds: 5,
    violations: [],
    stints: [{ number: 0, kind: 'three replicas', seed: 7, ...noFigures(), rounds: 3 }],
  };
  let directory: ReturnType<typeof temporaryDirectory>;
  let path: string;

  beforeEach(() => {
    directory = temporaryDirectory();
    path = `${directory.path}/summary.json`;
  });
  afterEach(() => directory.remove());

  it('count a process as what it is', () => {
    const figures = noFigures();
    const shape = { replicas: 2, witnesses: 1 };
    for (const part of ['target', 0, 1, 2] as const) {
      countStruck(figures, 'killed', { part, shape });
    }
    countStruck(figures, 'stopped', { part: 2, shape });
    expect(figures.killed).to.deep.equal({ target: 1, replica: 2, witness: 1 });
    expect(figures.stopped).to.deep.equal({ target: 0, replica: 0, witness: 1 });
  });

  it('add up, and keep the longest stall', () => {
    const total = totalOf([
      { ...noFigures(), rounds: 2, answered: 10, longestMs: 900 },
      { ...noFigures(), rounds: 3, answered: 20, longestMs: 100 },
    ]);
    expect(total).to.deep.equal({ ...noFigures(), rounds: 5, answered: 30, longestMs: 900 });
  });

  it('are read as they were written, and there need be none', () => {
    expect(readSummary(path)).to.equal(null);
    writeSummary(path, summary);
    expect(readSummary(path)).to.deep.equal(summary);
  });

  it('are not gone on with where something was found, or the file is another', () => {
    writeSummary(path, { ...summary, violations: ['sector 1'] });
    expect(() => readSummary(path)).to.throw(/found something; give --out another name/);
    writeFileSync(path, '{}');
    expect(() => readSummary(path)).to.throw(/no summary of a crash run/);
    expect(readFileSync(path, 'utf8')).to.equal('{}');
  });
});
