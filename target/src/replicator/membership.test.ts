import { expect } from 'chai';
import fc from 'fast-check';
import { epoch, seq, type MembershipRecord } from '@openebs/replica/protocol';
import {
  isMajority,
  planPromise,
  planSource,
  type KnownMember,
  type SourcePlan,
} from './membership.ts';

const VOLUME = 'volume';

const record = (inSync: string[], options: { epoch?: number; configSeq?: number } = {}) => ({
  volumeId: VOLUME,
  epoch: epoch(options.epoch ?? 3),
  configSeq: options.configSeq ?? 5,
  inSync,
  voters: ['a', 'b', 'c'],
});

const member = (
  id: string,
  options: {
    record?: MembershipRecord | null;
    promised?: number;
    intact?: boolean;
    last?: readonly [number, number];
    role?: 'data' | 'witness';
  } = {},
): KnownMember => ({
  identity: { volumeId: VOLUME, replicaId: id, role: options.role ?? 'data', sizeBytes: 4096 },
  state: {
    promisedEpoch: epoch(options.promised ?? 3),
    record: options.record === undefined ? record(['a', 'b', 'c']) : options.record,
    layers: [],
    headLayer: 0,
    cleanStart: false,
    sameBoot: true,
    intact: options.intact ?? true,
    atomic: null,
    documents: [],
    lastVersion: { epoch: epoch(options.last?.[0] ?? 3), seq: seq(options.last?.[1] ?? 0) },
    leaseRemainingMs: 0,
  },
});

const source = (members: readonly KnownMember[], waitedMs = 0) =>
  planSource({ configured: 3, members, waitedMs, graceMs: 5000 });

describe('planPromise', () => {
  const plan = (members: readonly KnownMember[], lowestEpoch = 0) =>
    planPromise({ configured: 3, members, lowestEpoch });

  it('waits for all replicas of a volume that has no record', () => {
    const blank = ['a', 'b'].map((id) => member(id, { record: null, promised: 0 }));
    expect(plan(blank).kind).to.equal('wait');
    expect(plan([...blank, member('c', { record: null, promised: 0 })])).to.deep.equal({
      kind: 'promise',
      epoch: 1,
    });
  });

  it('asks for an epoch above every promise, record and own attempt', () => {
    expect(plan([member('a', { promised: 9 }), member('b')])).to.include({ epoch: 10 });
    expect(plan([member('a'), member('b')], 11)).to.include({ epoch: 12 });
    const newer = record(['a'], { epoch: 20 });
    expect(plan([member('a', { record: newer }), member('b')])).to.include({ epoch: 21 });
  });

  it('waits below a majority, and counts no voter that has lost its memory', () => {
    expect(plan([member('a')]).kind).to.equal('wait');
    expect(plan([member('a'), member('b', { record: null })]).kind).to.equal('wait');
    expect(plan([member('a'), member('b', { record: null }), member('c')]).kind).to.equal(
      'promise',
    );
  });
});

describe('planSource', () => {
  it('makes all data replicas of a new volume members, and a witness a voter only', () => {
    const blank = { record: null, promised: 1 };
    const plan = source([
      member('a', blank),
      member('b', blank),
      member('w', { ...blank, role: 'witness' }),
    ]);
    expect(plan).to.deep.include({
      kind: 'reconcile',
      members: ['a', 'b'],
      voters: ['a', 'b', 'w'],
    });
  });

  it('lets the newest record decide who may be a source', () => {
    const newest = record(['b'], { epoch: 4 });
    const plan = source([member('a', { last: [9, 9] }), member('b', { record: newest })]);
    expect(plan).to.deep.include({ kind: 'reconcile', source: 'b', members: ['b'] });
  });

  it('waits a while for absent in-sync members, then goes on without them', () => {
    const two = [member('a', { last: [3, 1] }), member('b', { last: [3, 2] })];
    expect(source(two, 4999).kind).to.equal('wait');
    expect(source(two, 5000)).to.deep.include({ source: 'b', members: ['a', 'b'] });
  });

  it('believes nobody who has lost his page cache while somebody absent may know more', () => {
    const lost = [member('a', { intact: false }), member('b', { intact: false })];
    expect(source(lost, 1e9)).to.include({ kind: 'wait', graceMs: null });
    expect(source([...lost, member('c', { intact: false, last: [3, 7] })])).to.include({
      source: 'c',
    });
    const plan = source([member('a', { intact: false, last: [9, 9] }), member('b')], 5000);
    expect(plan).to.deep.include({ source: 'b', trusted: ['b'], members: ['a', 'b'] });
  });

  it('has the members flush unless all of them have what was in their page caches', () => {
    expect(source([member('a'), member('b'), member('c')])).to.include({ flushes: false });
    const lost = member('c', { intact: false });
    expect(source([member('a'), member('b'), lost])).to.include({ flushes: true });
    const blank = { record: null, promised: 1 };
    const members = ['a', 'b', 'c'].map((id) => member(id, blank));
    expect(source(members)).to.include({ flushes: true });
  });

  it('goes on with fewer members when a block is bad on all who may stand in for it', () => {
    const members = [
      member('a', { intact: false }),
      member('b', { last: [3, 2] }),
      member('c', { last: [3, 1] }),
    ];
    const after = (failures: number): SourcePlan =>
      planSource({ configured: 3, members, waitedMs: 0, graceMs: 5000, failures });
    expect(after(0)).to.deep.include({ source: 'b', members: ['a', 'b', 'c'] });
    expect(after(1)).to.deep.include({ source: 'b', members: ['b', 'c'] });
    expect(after(2)).to.deep.include({ source: 'b', members: ['b'] });
    expect(after(3)).to.deep.include({ source: 'b', members: ['b'] });
  });

  it('takes an emptied replica for absent, whatever the record says of it', () => {
    const only = record(['a']);
    const emptied = member('a', { record: null });
    const others = ['b', 'c'].map((id) => member(id, { record: only }));
    expect(source([emptied, ...others], 1e9).kind).to.equal('wait');
  });

  describe('where the newest record is one of this target that never came into force', () => {
    const inForce = record(['a', 'b']);
    const perhaps = record(['b'], { configSeq: 6 });
    const witness = member('c', { record: perhaps, role: 'witness' });
    const a = member('a', { record: inForce });
    const plan = (
      members: readonly KnownMember[],
      lastInForce: MembershipRecord | null = inForce,
    ) => planSource({ configured: 3, members, waitedMs: 1e9, graceMs: 5000, lastInForce });

    it('goes on with whom the last one in force names when the others lost their memory', () => {
      const lost = member('b', { record: inForce, intact: false, last: [3, 9] });
      expect(plan([a, lost, witness])).to.deep.include({
        source: 'a',
        trusted: ['a'],
        members: ['a', 'b'],
        flushes: true,
      });
      // Without having been there all the time, the newest record has to be believed.
      expect(plan([a, lost, witness], null)).to.deep.include({ source: 'b', members: ['b'] });
    });

    it('goes on without whom was emptied, and without whom is away', () => {
      expect(plan([a, member('b', { record: null }), witness])).to.deep.include({
        members: ['a'],
      });
      expect(plan([a, witness])).to.deep.include({ members: ['a'] });
      expect(plan([a, witness], null).kind).to.equal('wait');
    });

    it('believes the newest record where who is named by it has everything', () => {
      const b = member('b', { record: inForce });
      expect(plan([a, b, witness])).to.deep.include({ source: 'b', members: ['b'] });
    });

    it('takes nobody for whole who was emptied and has only been told the newest record', () => {
      const told = member('a', { record: perhaps });
      const lost = member('b', { record: inForce, intact: false });
      expect(plan([told, lost, witness])).to.deep.include({ source: 'b', members: ['b'] });
      expect(plan([told, witness]).kind).to.equal('wait');
    });

    it('waits for whom it names and who may have everything', () => {
      const lost = member('b', { record: inForce, intact: false });
      expect(plan([lost, witness])).to.deep.include({ kind: 'wait', graceMs: null });
      expect(plan([member('a', { record: null }), lost, witness])).to.deep.include({
        members: ['b'],
      });
    });
  });
});

describe('isMajority', () => {
  it('any two majorities of the same voters meet', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 7 }),
        fc.array(fc.boolean(), { minLength: 14, maxLength: 14 }),
        (count, picks) => {
          const voters = Array.from({ length: count }, (_, index) => String(index));
          const one = new Set(voters.filter((_, index) => picks[index]));
          const other = new Set(voters.filter((_, index) => picks[7 + index]));
          if (!isMajority(voters, one) || !isMajority(voters, other)) return;
          expect([...one].some((id) => other.has(id))).to.equal(true);
        },
      ),
    );
  });
});
