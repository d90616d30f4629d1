import { expect } from 'chai';
import fc from 'fast-check';
import { ExtentSet, suspectExtents } from './suspects.ts';

const version = (epoch: number, seq: number): Buffer => {
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64LE(BigInt(epoch), 0);
  bytes.writeBigUInt64LE(BigInt(seq), 8);
  return bytes;
};
const UNKNOWN = Buffer.alloc(16, 0xff);
const NEVER = version(0, 0);

const suspects = (...members: readonly (readonly Buffer[])[]): number[] =>
  suspectExtents(
    members.map((each) => Buffer.concat(each)),
    members[0]!.length,
  );

describe('the extents that have to be compared', () => {
  it('are those of different or unknown versions, and no others', () => {
    const source = [NEVER, version(1, 1), version(1, 2), UNKNOWN, UNKNOWN, version(2, 1)];
    const member = [NEVER, version(1, 1), version(1, 3), UNKNOWN, version(1, 1), version(1, 2)];
    expect(suspects(source, member)).to.deep.equal([2, 3, 4, 5]);
    expect(suspects(source, source, member)).to.deep.equal([2, 3, 4, 5]);
  });

  it('are none where nobody has ever written anything, and all that one member lacks', () => {
    expect(suspects([NEVER, NEVER], [NEVER, NEVER])).to.deep.equal([]);
    expect(suspects([version(1, 1), NEVER], [NEVER, NEVER])).to.deep.equal([0]);
  });

  it('are found where all members tell the same, but do not know', () => {
    const told = [version(1, 1), NEVER, UNKNOWN];
    expect(suspects(told, told)).to.deep.equal([2]);
    expect(suspects(told.slice(0, 2), told.slice(0, 2))).to.deep.equal([]);
  });

  it('are not told from answers that are too short', () => {
    expect(() => suspectExtents([Buffer.alloc(32), Buffer.alloc(16)], 2)).to.throw(RangeError);
  });
});

describe('ExtentSet', () => {
  it('holds what was added, in order, once', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(199)), (extents) => {
        const set = new ExtentSet(200);
        for (const extent of extents) set.add(extent);
        const sorted = [...new Set(extents)].sort((a, b) => a - b);
        expect([...set]).to.deep.equal(sorted);
        expect(set.size).to.equal(sorted.length);
        expect(extents.every((extent) => set.has(extent))).to.equal(true);
      }),
    );
  });
});
