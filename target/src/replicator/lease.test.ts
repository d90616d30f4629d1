import { expect } from 'chai';
import fc from 'fast-check';
import { REPLICATOR_LIMITS } from '../limits.ts';
import { confirmedAt, leaseWaitMs, ReadLease } from './lease.ts';
import { majorityOf } from './membership.ts';

const { readLeaseMs } = REPLICATOR_LIMITS;
const VOTERS = ['a', 'b', 'c'];

describe('confirmedAt', () => {
  it('is the moment that a majority has shown, not the latest of one voter', () => {
    expect(confirmedAt(VOTERS, new Map([['a', 50]]))).to.equal(-Infinity);
    const heard = new Map(Object.entries({ a: 50, b: 20, stranger: 90 }));
    expect(confirmedAt(VOTERS, heard)).to.equal(20);
    expect(confirmedAt(VOTERS, new Map(Object.entries({ a: 50, b: 20, c: 30 })))).to.equal(30);
    expect(confirmedAt(['a', 'b'], new Map(Object.entries({ a: 50, b: 20 })))).to.equal(20);
  });

  it('is always, where the only voter answers the reads itself', () => {
    expect(confirmedAt(['a'], new Map())).to.equal(Infinity);
  });
});

describe('leaseWaitMs', () => {
  it('waits until the voters whose leases run are no majority', () => {
    const wait = (ends: Record<string, number>): number =>
      leaseWaitMs(VOTERS, new Map(Object.entries(ends)), 100);
    expect(wait({ a: 0, b: 0 })).to.equal(0);
    expect(wait({ a: 0, b: 150 })).to.equal(50);
    expect(wait({ a: 0, b: 150, c: 90 })).to.equal(0);
    expect(wait({ a: 170, b: 150, c: 90 })).to.equal(50);
    expect(wait({ a: 0 })).to.equal(Infinity);
  });

  it('lets two targets never serve at the same time, whoever was heard when', () => {
    const voters = fc.integer({ min: 2, max: 5 });
    const moment = fc.integer({ min: 0, max: 5000 });
    const voter = fc.record({ heard: moment, cutOff: fc.boolean() });
    fc.assert(
      fc.property(
        voters,
        fc.array(voter, { minLength: 5, maxLength: 5 }),
        moment,
        (count, all, at) => {
          const ids = all.slice(0, count).map((_, index) => String(index));
          // What the old target was answered at `heard`, the replica has heard then or later.
          const heard = new Map(ids.map((id, index) => [id, all[index]!.heard]));
          const promisers = ids.filter((_, index) => !all[index]!.cutOff);
          if (promisers.length < majorityOf(ids)) return;
          // Who is not cut off from the new target has promised, and answers the old no more.
          const ends = new Map(promisers.map((id) => [id, (heard.get(id) ?? 0) + 2000]));
          const servesAt = 5000 + at;
          if (leaseWaitMs(ids, ends, servesAt) > 0) return;
          for (const id of ids) if (!promisers.includes(id)) heard.set(id, servesAt);
          expect(servesAt - confirmedAt(ids, heard)).to.be.at.least(readLeaseMs);
        },
      ),
    );
  });
});

describe('ReadLease', () => {
  let now = 0;
  let confirmed = 0;
  let heartbeats = 0;
  let lease: ReadLease;

  beforeEach(() => {
    now = 10_000;
    confirmed = 10_000;
    heartbeats = 0;
    lease = new ReadLease(() => now, {
      get confirmedMs() {
        return confirmed;
      },
      heartbeat: () => {
        heartbeats++;
      },
    });
    lease.renew();
  });

  it('covers reads for a while, and costs nothing meanwhile', () => {
    now += readLeaseMs - 1;
    expect(lease.covers(now)).to.equal(true);
    now += 1;
    expect(lease.covers(now)).to.equal(false);
    expect(heartbeats).to.equal(0);
  });

  it('asks when it has ended, and answers what began before the signs of life were asked for', () => {
    now += 60_000;
    const answers: string[] = [];
    lease.whenCovered(now - 5, (covered) => answers.push(`first ${covered}`));
    expect(heartbeats).to.equal(1);
    // Slow answers: the lease itself has ended again when they come.
    confirmed = now;
    now += 30_000;
    lease.whenCovered(now - 5, (covered) => answers.push(`second ${covered}`));
    lease.renew();
    expect(answers).to.deep.equal(['first true']);
    // The second began later: it is asked for anew.
    expect(heartbeats).to.equal(3);
    lease.suspend();
    expect(answers).to.deep.equal(['first true', 'second false']);
  });

  it('ends at once when a majority is not heard any more', () => {
    confirmed = -Infinity;
    lease.renew();
    expect(lease.covers(now)).to.equal(false);
  });
});
