import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { MUTANTS } from './mutants.ts';

const ROOT = join(import.meta.dirname, '..', '..');

describe('a planted bug', () => {
  it('still has its place in the sources, exactly one, and a name of its own', () => {
    for (const { name, edits } of MUTANTS) {
      expect(edits.length, name).to.be.greaterThan(0);
      for (const { file, find, replace } of edits) {
        const places = readFileSync(join(ROOT, file), 'utf8').split(find).length - 1;
        expect(places, `${name}: places in ${file}`).to.equal(1);
        expect(replace).to.not.equal(find);
      }
    }
    expect(new Set(MUTANTS.map(({ name }) => name)).size).to.equal(MUTANTS.length);
    expect(MUTANTS.length).to.be.greaterThan(29);
  });
});
