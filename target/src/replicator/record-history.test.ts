import { expect } from 'chai';
import fc from 'fast-check';
import { epoch, type MembershipRecord } from '@openebs/replica/protocol';
import { isMajority } from './membership.ts';
import { nextMembers, RecordHistory, type Presence } from './record-history.ts';

const record = (inSync: string[], voters = ['a', 'b', 'c']): MembershipRecord => ({
  volumeId: 'volume',
  epoch: epoch(3),
  configSeq: 5,
  inSync,
  voters,
});

const presence = (
  serving: string[],
  options: Partial<Omit<Presence, 'voting' | 'serving'>> & { voting?: string[] } = {},
): Presence => ({
  serving,
  voting: new Set(options.voting ?? serving),
  forgetful: options.forgetful ?? new Set(),
  joining: options.joining ?? [],
  leaving: options.leaving ?? [],
});

const VOTERS = ['a', 'b', 'c'];

describe('RecordHistory', () => {
  const history = (): RecordHistory => new RecordHistory(record(['a', 'b', 'c']));
  const propose = (records: RecordHistory, inSync: string[], voters = VOTERS): MembershipRecord =>
    records.propose({ inSync, voters });

  it('requires the members of the record in force until another one is durable', () => {
    const records = history();
    const shrunk = propose(records, ['a']);
    expect(records.isRequired('c')).to.equal(true);
    records.commit(shrunk);
    expect(records.isRequired('c')).to.equal(false);
    expect(records.inForce).to.equal(shrunk);
  });

  it('requires a joining member from the moment its record is sent', () => {
    const records = new RecordHistory(record(['a']));
    propose(records, ['a', 'b']);
    expect(records.isRequired('b')).to.equal(true);
    // It failed again: the record that named it may still be in force after a crash.
    const without = propose(records, ['a']);
    expect(records.isRequired('b')).to.equal(true);
    records.commit(without);
    expect(records.isRequired('b')).to.equal(false);
  });

  it('never gives two records the same number', () => {
    const records = history();
    const numbers = [['a'], ['a', 'b'], ['b']].map((inSync) => propose(records, inSync).configSeq);
    expect(new Set(numbers).size).to.equal(3);
  });

  it('takes the voters as changing until one record decided, taken back or not', () => {
    const records = new RecordHistory(record(['a'], ['a']));
    propose(records, ['a', 'b'], ['a', 'b']);
    expect(records.votersPending).to.equal(true);
    expect(records.isVoter('b')).to.equal(true);
    const back = propose(records, ['a'], ['a']);
    expect(records.votersPending).to.equal(true);
    records.commit(back);
    expect([records.votersPending, records.isVoter('b')]).to.deep.equal([false, false]);
  });
});

describe('nextMembers', () => {
  const history = (inSync = ['a', 'b'], voters = VOTERS): RecordHistory =>
    new RecordHistory(record(inSync, voters));

  it('proposes nothing when the latest record says it already or nobody is left', () => {
    expect(nextMembers(history(), presence(['b', 'a']))).to.equal(null);
    expect(nextMembers(history(), presence([]))).to.equal(null);
    expect(nextMembers(history(), presence(['a', 'c']))?.inSync).to.deep.equal(['a', 'c']);
  });

  it('never names somebody in sync who is no voter', () => {
    expect(nextMembers(history(), presence(['a', 'b', 'x']))).to.equal(null);
    const joining = ['x', 'y'];
    const next = nextMembers(history(), presence(['a', 'b', 'x', 'y'], { joining }));
    expect(next).to.deep.equal({ inSync: ['a', 'b', 'x'], voters: ['a', 'b', 'c', 'x'] });
  });

  it('changes one voter at a time, and the next one when that is decided', () => {
    const records = history();
    const both = presence(['a', 'b', 'x'], { joining: ['x'], leaving: ['c'] });
    const added = records.propose(nextMembers(records, both)!);
    expect(nextMembers(records, { ...both, joining: [] })).to.equal(null);
    records.commit(added);
    expect(nextMembers(records, { ...both, joining: [] })?.voters).to.deep.equal(['a', 'b', 'x']);
  });

  it('keeps a voter whose leaving would lose the majority or the last copy', () => {
    const leaving = ['a'];
    expect(nextMembers(history(), presence(['a', 'b'], { leaving }))).to.equal(null);
    const all = presence(['a', 'b'], { voting: VOTERS, leaving });
    expect(nextMembers(history(), all)).to.deep.equal({ inSync: ['b'], voters: ['b', 'c'] });
    expect(nextMembers(history(['a']), presence(['a'], { voting: ['a', 'b'], leaving }))).to.equal(
      null,
    );
    const two = history(['a'], ['a', 'b']);
    expect(nextMembers(two, presence(['a'], { leaving: ['b'] }))).to.deep.equal({
      inSync: ['a'],
      voters: ['a'],
    });
  });

  it('takes a new voter back that is lost before a majority had the record', () => {
    const records = history(['a'], ['a']);
    records.propose(nextMembers(records, presence(['a', 'b'], { joining: ['b'] }))!);
    expect(nextMembers(records, presence(['a']))).to.deep.equal({ inSync: ['a'], voters: ['a'] });
  });

  it('counts no voter that has lost its memory, unless all are there', () => {
    const forgetful = new Set(['c']);
    const leaving = ['c'];
    const there = presence(['a', 'b'], { voting: ['a', 'b', 'c'], forgetful, leaving });
    expect(nextMembers(history(), there)?.voters).to.deep.equal(['a', 'b']);
    const alone = presence(['a'], { voting: ['a', 'c'], forgetful, joining: ['x'] });
    expect(nextMembers(history(['a']), alone)).to.equal(null);
  });

  it('any majority of the voters before meets any majority of those after a change', () => {
    const ids = ['a', 'b', 'c', 'd', 'e', 'f'];
    fc.assert(
      fc.property(
        fc.subarray(ids, { minLength: 1 }),
        fc.subarray(ids),
        fc.subarray(ids),
        fc.subarray(ids),
        fc.subarray(ids),
        (before, joining, leaving, some, others) => {
          const records = new RecordHistory(record(before.slice(0, 1), before));
          const next = nextMembers(records, presence(ids, { joining, leaving }));
          if (next === null) return;
          if (!isMajority(before, new Set(some))) return;
          if (!isMajority(next.voters, new Set(others))) return;
          expect(some.some((id) => others.includes(id))).to.equal(true);
        },
      ),
      { numRuns: 2000 },
    );
  });
});
