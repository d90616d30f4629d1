import { expect } from 'chai';
import type { Layer } from '@openebs/replica/protocol';
import { holdsAsMuch } from './layer-repair.ts';

/** Each layer with its parent, the oldest first. */
const tree = (...layers: (readonly [id: number, parent: number | null])[]) => ({
  layers: layers.map(([id, parent]): Layer => ({
    id,
    parent,
    name: null,
    createdAt: '',
    complete: true,
  })),
});

describe('a layer of another copy', () => {
  const LAYER = 4;
  const apart = tree([1, null], [2, 1], [3, 2], [LAYER, 3]);
  const merged = tree([1, null], [2, 1], [LAYER, 2]);
  const mergedTwice = tree([1, null], [LAYER, 1]);
  const alone = tree([LAYER, null]);

  it('holds as much where the same or more was merged into it', () => {
    for (const mine of [apart, merged, mergedTwice]) {
      expect(holdsAsMuch(LAYER, mine, mine)).to.equal(true);
      expect(holdsAsMuch(LAYER, alone, mine)).to.equal(true);
    }
    expect(holdsAsMuch(LAYER, merged, apart)).to.equal(true);
    expect(holdsAsMuch(LAYER, mergedTwice, apart)).to.equal(true);
  });

  it('does not where less was: what this copy has merged would be lost', () => {
    expect(holdsAsMuch(LAYER, apart, merged)).to.equal(false);
    expect(holdsAsMuch(LAYER, merged, mergedTwice)).to.equal(false);
    expect(holdsAsMuch(LAYER, apart, alone)).to.equal(false);
  });

  it('does not where one of the two lacks it, or is filling it', () => {
    const filling = { layers: apart.layers.map((each) => ({ ...each, complete: false })) };
    for (const [source, mine] of [
      [filling, apart],
      [apart, filling],
      [tree([1, null]), apart],
      [apart, tree([1, null])],
    ] as const)
      expect(holdsAsMuch(LAYER, source, mine)).to.equal(false);
  });
});
