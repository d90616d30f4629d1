import { expect } from 'chai';
import { READ_LEASE_MS } from '../limits.ts';
import { Lease } from './lease.ts';

describe('the lease that a replica gives', () => {
  it('nobody has one before anybody was promised anything', () => {
    expect(new Lease(1000, false).remainingMs(1000)).to.equal(0);
  });

  it('is assumed after a start for whoever was promised an epoch before', () => {
    const lease = new Lease(1000, true);
    expect(lease.remainingMs(1000)).to.equal(READ_LEASE_MS);
    expect(lease.remainingMs(1000 + READ_LEASE_MS)).to.equal(0);
  });

  it('runs from what has last arrived', () => {
    const lease = new Lease(0, false);
    lease.begin(100);
    lease.heard(5000);
    expect(lease.remainingMs(5500)).to.equal(READ_LEASE_MS - 500);
    expect(lease.remainingMs(60_000)).to.equal(0);
  });

  it('is over at once when the target has released it', () => {
    const lease = new Lease(0, false);
    lease.begin(100);
    lease.release();
    expect(lease.remainingMs(101)).to.equal(0);
  });

  it('of an earlier target runs on although a later one has released its own', () => {
    const lease = new Lease(0, false);
    lease.begin(100);
    lease.heard(1000);
    lease.begin(1500);
    expect(lease.earlierRemainingMs(1500)).to.equal(READ_LEASE_MS - 500);
    lease.release();
    expect(lease.remainingMs(1600)).to.equal(READ_LEASE_MS - 600);
  });

  it('of an earlier target that had released it does not come back', () => {
    const lease = new Lease(0, false);
    lease.begin(100);
    lease.release();
    lease.begin(200);
    expect(lease.earlierRemainingMs(200)).to.equal(0);
    lease.release();
    expect(lease.remainingMs(201)).to.equal(0);
  });
});
