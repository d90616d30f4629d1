import { expect } from 'chai';
import { epoch } from '../protocol/types.ts';
import { ExtentPage } from './extent-page.ts';
import { versionOf } from './simulated-volume.ts';
import { Standing } from './standing.ts';

function page(): ExtentPage {
  const fresh = new ExtentPage();
  fresh.reset(0, 1);
  return fresh;
}

describe('the standing of a replica', () => {
  it('makes versions provisional until a record names the replica, and confirms them then', () => {
    const standing = new Standing([]);
    const extent = page();
    standing.promised(epoch(5));
    standing.advance(extent, versionOf(5, 1));
    expect(standing.isKnown(extent)).to.equal(false);
    expect(standing.joined(epoch(5), 1)).to.equal(true);
    expect(standing.isKnown(extent)).to.equal(true);
    standing.advance(extent, versionOf(5, 2));
    expect(extent.provisional).to.equal(false);
  });

  it('does not confirm what came after the record, once the replica was away', () => {
    const standing = new Standing([]);
    const extent = page();
    standing.promised(epoch(5));
    standing.joined(epoch(5), 10);
    standing.promised(epoch(5));
    standing.advance(extent, versionOf(5, 11));
    expect(standing.isKnown(extent)).to.equal(false);
  });

  it('is not raised by a record of an epoch that was not promised in this run', () => {
    const standing = new Standing([]);
    expect(standing.joined(epoch(5), 0)).to.equal(false);
    standing.promised(epoch(6));
    expect(standing.joined(epoch(5), 0)).to.equal(false);
    const extent = page();
    standing.advance(extent, versionOf(6, 1));
    expect(standing.isKnown(extent)).to.equal(false);
  });

  it('leaves an unknown extent unknown, also as a member', () => {
    const standing = new Standing([]);
    standing.promised(epoch(5));
    standing.joined(epoch(5), 0);
    const extent = page();
    extent.setUnknown();
    standing.advance(extent, versionOf(5, 1));
    expect(extent.unknown).to.equal(true);
  });

  it('turns a provisional version of an earlier epoch that nobody confirmed into unknown', () => {
    const standing = new Standing([]);
    const extent = page();
    standing.promised(epoch(5));
    standing.advance(extent, versionOf(5, 1));
    standing.promised(epoch(6));
    standing.advance(extent, versionOf(6, 1));
    expect(extent.unknown).to.equal(true);
  });

  it('knows provisional versions that an earlier run has confirmed', () => {
    const standing = new Standing([versionOf(5, 8)]);
    const extent = page();
    extent.setVersion(versionOf(5, 8), true);
    expect(standing.isKnown(extent)).to.equal(true);
    extent.setVersion(versionOf(5, 9), true);
    expect(standing.isKnown(extent)).to.equal(false);
  });

  it('knows no version of an extent whose page was damaged', () => {
    const standing = new Standing([]);
    const extent = page();
    extent.setVersion(versionOf(5, 1), false);
    extent.setUnverified(true);
    expect(standing.isKnown(extent)).to.equal(false);
  });
});
