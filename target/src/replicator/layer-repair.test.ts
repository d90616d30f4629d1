import { expect } from 'chai';
import type { Layer } from '@openebs/replica/protocol';
import { holdsAsMuch as holds, mergedFrom, mergedInto } from './layer-repair.ts';

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

type Tree = ReturnType<typeof tree>;

describe('a layer of another copy', () => {
  const LAYER = 4;
  const apart = tree([1, null], [2, 1], [3, 2], [LAYER, 3]);
  const merged = tree([1, null], [2, 1], [LAYER, 2]);
  const mergedTwice = tree([1, null], [LAYER, 1]);
  const alone = tree([LAYER, null]);

  const holdsAsMuch = (layer: number, source: Tree, mine: Tree, of = layer): boolean =>
    holds({ layer: of, of: source }, { layer, of: mine });

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

  it('may be one that this was merged into there, with all between', () => {
    expect(holdsAsMuch(3, merged, apart, LAYER)).to.equal(true);
    expect(holdsAsMuch(2, mergedTwice, apart, LAYER)).to.equal(true);
    expect(holdsAsMuch(2, merged, apart, LAYER), 'it is below it still').to.equal(false);
    expect(holdsAsMuch(3, apart, apart, LAYER), 'it is below it still').to.equal(false);
  });

  it('is looked for below what was merged here, and in what it may be merged into there', () => {
    expect(mergedFrom(LAYER, mergedTwice.layers, apart.layers)).to.deep.equal([3, 2]);
    expect(mergedFrom(LAYER, apart.layers, apart.layers)).to.deep.equal([]);
    expect(mergedInto(2, apart.layers)).to.deep.equal([3, LAYER]);
    expect(mergedInto(LAYER, apart.layers)).to.deep.equal([]);
    const named = apart.layers.map((each) => ({ ...each, name: `s${each.id}` }));
    expect(mergedInto(2, named)).to.deep.equal([]);
  });
});
