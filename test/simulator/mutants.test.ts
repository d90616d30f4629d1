import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { hunt } from './hunt.ts';
import { MUTANTS } from './mutants.ts';
import { planOf } from './plan.ts';
import { runPlan } from './run.ts';

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

  // By name, a seed of its profile in which it shows itself: one or more for each invariant.
  const KNOWN: readonly (readonly [string, number])[] = [
    ['answers a flush without one', 1],
    ['acknowledges before the record that removes a member is in force', 3],
    ['does not end older sessions at a promise', 1],
    ['stamps an extent before it is copied', 2],
    ['copies an extent without its lock', 1],
    ['applies what an older session has left waiting', 1],
    ['shows what an older layer holds where a block was unmapped', 5],
    ['reads members that are not in sync', 38],
    ['does not check its lease before it answers', 2],
    ['serves although the target before may still answer', 2],
    ['does not make certain at an activation what was decided about the layers', 2],
    ['goes on as long as anybody is there', 99],
    ['clears marks without writing the pages', 27],
    ['chooses an epoch that was promised already', 1],
    ['lives on when its superblock cannot be written', 1],
    ['believes a record of its own that never came into force', 1],
    ['takes one that was emptied for whole because it has a record again', 5],
    ['keeps nothing in the data file of an extent that only hides', 6],
  ];

  for (const [name, seed] of KNOWN) {
    it(`that ${name} is found, and nothing without it`, async function () {
      this.timeout(120_000);
      const mutant = MUTANTS.find((each) => each.name === name);
      if (mutant === undefined) throw new RangeError(`no mutant is called ${name}`);
      const found = await hunt(mutant, { first: seed, seeds: 1, failures: 1 });
      expect(found.seed, 'the seed that fails').to.equal(seed);
      const { failure } = await runPlan(planOf(seed, mutant.profile));
      expect(failure).to.equal(null);
    });
  }
});
