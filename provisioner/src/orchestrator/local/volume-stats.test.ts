import { expect } from 'chai';
import { largestUse, parseIoCounts, parseSpaceUse } from './volume-stats.ts';

const use = (layers: readonly object[]): string => JSON.stringify({ layerUsage: layers });

describe('statistics of a volume', () => {
  it('are null where a daemon answers something else', () => {
    for (const body of ['', 'null', '[]', '{}', '{"io":null}', '{"layerUsage":{}}']) {
      expect([parseIoCounts(body), parseSpaceUse(body, 1)], body).to.deep.equal([null, null]);
    }
  });

  it('count what is missing as nothing', () => {
    const counts = parseIoCounts('{"io":{"reads":3,"writeSeconds":0.5,"writes":"x"}}');
    expect(counts).to.include({ reads: 3, writeSeconds: 0.5, writes: 0, uptimeSeconds: 0 });
  });

  it('do not count as data what only a snapshot keeps', () => {
    const body = use([
      { id: 1, allocatedBytes: 8192, freedBytes: 4096 },
      { id: 2, allocatedBytes: 4096, freedBytes: 0 },
    ]);
    expect(parseSpaceUse(body, 1e6)).to.deep.equal({ usedBytes: 12_288, logicalBytes: 8192 });
    // Not known yet what the snapshot alone keeps: never more than the volume has.
    const early = use([{ id: 1, allocatedBytes: 8192, freedBytes: null }]);
    expect(parseSpaceUse(early, 4096)).to.deep.equal({ usedBytes: 8192, logicalBytes: 4096 });
  });

  it('are of the largest replica that tells', () => {
    expect(largestUse([null, null])).to.equal(null);
    expect(
      largestUse([{ logicalBytes: 1, usedBytes: 9 }, null, { logicalBytes: 2, usedBytes: 8 }]),
    ).to.deep.equal({ logicalBytes: 2, usedBytes: 9 });
  });
});
