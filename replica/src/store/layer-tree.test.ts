import { expect } from 'chai';
import type { Layer } from '../protocol/types.ts';
import { changed, newLayer, type LayerTree } from './layer-tree.ts';

const AT = '2026-01-01T00:00:00.000Z';
const TAG = 7;

const layer = (id: number, parent: number | null, name: string | null): Layer => ({
  id,
  parent,
  name,
  createdAt: AT,
  complete: true,
});

const treeOf = (...layers: readonly Layer[]): LayerTree => ({
  layers: layers.map((each) => newLayer(each, TAG)),
  head: layers.at(-1)?.id ?? 0,
});

const shape = ({ layers }: LayerTree): unknown[] =>
  layers.map(({ id, parent, complete }) => [id, parent, complete]);

describe('a tree of layers that another replica tells', () => {
  it('has nothing below a layer that is filled but what the other one has there', () => {
    const away = treeOf(layer(1, null, 'a'), layer(2, 1, null));
    const layers = [layer(2, null, 'b'), layer(3, 2, null)];
    const adopted = changed(away, { change: 'adopt', head: 3, layers }, TAG);
    expect(shape(adopted)).to.deep.equal([
      [2, null, false],
      [3, 2, true],
    ]);
  });

  it('keeps what only this one has below a layer that both have, to be merged', () => {
    const away = treeOf(layer(1, null, 'a'), layer(2, 1, 'b'), layer(3, 2, null));
    const layers = [layer(2, null, 'b'), layer(3, 2, null)];
    const adopted = changed(away, { change: 'adopt', head: 3, layers }, TAG);
    expect(shape(adopted)).to.deep.equal([
      [1, null, true],
      [2, 1, true],
      [3, 2, true],
    ]);
  });
});
