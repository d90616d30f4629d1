import { expect } from 'chai';
import type { IntegrityView } from '../orchestrator.ts';
import { damageText, parseReplicaDamage } from './replica-damage.ts';
import { integrityEvents, integrityOf } from './volume-integrity.ts';

const sound: IntegrityView = {
  checksumErrors: 0,
  repairedBlocks: 0,
  divergentBlocks: 0,
  lostBlocks: 0,
  lastProblem: null,
  scrub: null,
};

const messages = (before: IntegrityView | null, now: IntegrityView | null): string[] =>
  integrityEvents(before, now).map(({ message }) => message);

describe('the integrity of a volume', () => {
  it('is read from what the target tells, and unknown where it tells nothing', () => {
    expect(integrityOf(undefined)).to.equal(null);
    const scrub = { state: 'running', percent: 12, nextAt: '2026-01-01T00:00:00.000Z' };
    const view = integrityOf({ ...sound, checksumErrors: 3, scrub });
    expect(view).to.deep.include({ checksumErrors: 3, lastProblem: null });
    expect(view?.scrub).to.deep.include({ state: 'running', percent: 12, lastCompletedAt: null });
  });

  it('is told as events: each find, repair, divergence and loss once', () => {
    expect(messages(null, sound)).to.deep.equal([]);
    const found = { ...sound, checksumErrors: 2, lastProblem: 'replica-2: bad block' };
    expect(messages(sound, found).join()).to.match(/bad copies of blocks: 2.*replica-2: bad block/);
    expect(messages(found, found)).to.deep.equal([]);
    const later = { ...found, repairedBlocks: 2, divergentBlocks: 1, lostBlocks: 4 };
    const told = messages(found, later);
    expect(told).to.have.length(3);
    expect(told.join()).to.match(/repaired.*: 2.*differed in 1 .*no replica has a good copy: 4/);
  });

  it('counts from zero again with a target that was started anew', () => {
    const before = { ...sound, checksumErrors: 5 };
    expect(messages(before, { ...sound, checksumErrors: 1 }).join()).to.match(/blocks: 1;/);
    expect(messages(before, null)).to.deep.equal([]);
  });
});

describe('the damage of a replica', () => {
  it('is told when there is more of it, with what to do', () => {
    const body = (slots: number, pages: number): string =>
      JSON.stringify({ counters: { damagedSlots: slots, damagedPages: pages } });
    expect(parseReplicaDamage('no JSON')).to.equal(null);
    expect(parseReplicaDamage('{}')).to.equal(null);
    const none = parseReplicaDamage(body(0, 0))!;
    expect(damageText(null, none)).to.equal(null);
    const some = parseReplicaDamage(body(1, 2))!;
    expect(damageText(none, some)).to.match(/1 of the slots.*2 of its pages.*check its disk/);
    expect(damageText(some, some)).to.equal(null);
  });
});
