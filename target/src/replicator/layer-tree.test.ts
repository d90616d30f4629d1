import { expect } from 'chai';
import type { Layer, LayersChange } from '@openebs/replica/protocol';
import { seededRandom } from '../../../replica/src/store/simulated-volume.ts';
import {
  addRevert,
  addSnapshot,
  changesToConform,
  commonTree,
  decodeTree,
  encodeTree,
  layersToAdopt,
  LayerTreeError,
  removeSnapshot,
  snapshotsOf,
  withoutMerged,
  type HeldTree,
  type LayerTree,
} from './layer-tree.ts';

const AT = '2026-11-24T11:00:00.000Z';
const FIRST: LayerTree = {
  nextId: 2,
  head: 1,
  layers: [{ id: 1, parent: null, name: null, createdAt: AT }],
};
const point = (head: number, name: string) => ({ head, name, createdAt: AT });

/** As a replica that did all of it, and every merge, tells it. */
const heldOf = ({ head, layers }: LayerTree, merged = true): HeldTree => ({
  headLayer: head,
  layers: (merged ? withoutMerged(layers, head) : layers).map((layer) => ({
    ...layer,
    complete: true,
  })),
});

const abc = ['a', 'b', 'c'].reduce(
  (tree, name, index) => addSnapshot(tree, point(index + 2, name)),
  FIRST,
);

/** A replica's side, in its simplest form: what each change makes of a tree. */
const applied = (held: HeldTree, changes: readonly LayersChange[]): HeldTree => {
  let { headLayer } = held;
  let layers: Layer[] = [...held.layers];
  for (const change of changes) {
    switch (change.change) {
      case 'undo': {
        const parent = layers.find(({ id }) => id === headLayer)?.parent ?? 0;
        layers = layers
          .filter(({ id }) => id !== headLayer)
          .map((layer) => (layer.id === parent ? { ...layer, name: null } : layer));
        headLayer = parent;
        break;
      }
      case 'snapshot':
      case 'revert': {
        const { name, createdAt, head } = change;
        const old = headLayer;
        layers = layers.map((layer) => (layer.id === old ? { ...layer, name } : layer));
        const parent = change.change === 'revert' ? change.to : old;
        layers.push({ id: head, parent, name: null, createdAt, complete: true });
        headLayer = head;
        break;
      }
      case 'delete':
        layers = layers.map((layer) =>
          layer.id === change.layer ? { ...layer, name: null } : layer,
        );
        break;
      default:
        throw new RangeError(change.change);
    }
  }
  return { headLayer, layers };
};

describe('the tree of layers', () => {
  it('keeps a snapshot for each name, and one head above the last', () => {
    expect(snapshotsOf(abc).map(({ name }) => name)).to.deep.equal(['a', 'b', 'c']);
    expect(abc.layers.map(({ id, parent }) => [id, parent])).to.deep.equal([
      [1, null],
      [2, 1],
      [3, 2],
      [4, 3],
    ]);
    expect([abc.head, abc.nextId]).to.deep.equal([4, 5]);
  });

  it('closes the gap that a deleted snapshot leaves', () => {
    const tree = removeSnapshot(abc, 2);
    expect(tree.layers.map(({ id, parent }) => [id, parent])).to.deep.equal([
      [1, null],
      [3, 1],
      [4, 3],
    ]);
    expect(tree.nextId, 'ids are never given twice').to.equal(5);
  });

  it('keeps the old head after a revert, and a shared layer until one is left on it', () => {
    const reverted = addRevert(abc, 1, point(5, 'before'));
    expect(snapshotsOf(reverted).map(({ name }) => name)).to.deep.equal(['a', 'b', 'c', 'before']);
    expect(reverted.layers.at(-1)).to.include({ id: 5, parent: 1, name: null });
    const unnamed = removeSnapshot(reverted, 1);
    expect(unnamed.layers[0], 'two layers stand on it').to.include({ id: 1, name: null });
    const other = removeSnapshot(removeSnapshot(removeSnapshot(unnamed, 2), 3), 4);
    expect(other.layers.map(({ id, parent }) => [id, parent])).to.deep.equal([[5, null]]);
  });

  it('survives its document, and refuses one that is damaged or of a newer release', () => {
    const tree = addRevert(abc, 2, point(5, 'before'));
    expect(decodeTree(encodeTree(tree))).to.deep.equal(tree);
    const fields = JSON.parse(encodeTree(tree).toString()) as Record<string, unknown>;
    for (const change of [
      { version: 2 },
      { head: 9 },
      { nextId: 3 },
      { layers: 'none' },
      { layers: [[1, 7, null, 0]] },
      { layers: [[1, null, 5, 0]] },
      { layers: [[1, null, null, 'now']] },
    ]) {
      const bytes = Buffer.from(JSON.stringify({ ...fields, ...change }));
      expect(() => decodeTree(bytes), JSON.stringify(change)).to.throw(LayerTreeError);
    }
    expect(() => decodeTree(Buffer.from('{'))).to.throw(LayerTreeError);
  });

  it('has room for 250 snapshots of the longest names in one document', () => {
    let tree = FIRST;
    for (let head = 2; head < 252; head++) {
      tree = addSnapshot(tree, point(head, String(head).padEnd(63, 'x')));
    }
    expect(encodeTree(tree).length).to.be.lessThan(32 * 1024);
  });

  it('asks nothing of a member that has it, however far its merges are', () => {
    const deleted = removeSnapshot(abc, 2);
    const pending = {
      headLayer: 4,
      layers: heldOf(abc).layers.map((layer) =>
        layer.id === 2 ? { ...layer, name: null } : layer,
      ),
    };
    for (const held of [heldOf(deleted), pending]) {
      expect(changesToConform(held, deleted, { forward: false })).to.deep.equal([]);
    }
  });

  it('takes back a head that was never decided, and deletes what a member missed', () => {
    const undecided = heldOf(addSnapshot(abc, point(5, 'd')));
    expect(changesToConform(undecided, abc, { forward: false })).to.deep.equal([
      { change: 'undo', head: 5 },
    ]);
    expect(changesToConform(undecided, removeSnapshot(abc, 2), { forward: false })).to.deep.equal([
      { change: 'undo', head: 5 },
      { change: 'delete', layer: 2 },
    ]);
  });

  it('carries a decision on to a member that was in sync, and to no other', () => {
    const snapshot = addSnapshot(abc, point(5, 'd'));
    const revert = addRevert(abc, 1, point(5, 'before'));
    expect(changesToConform(heldOf(abc), snapshot, { forward: true })).to.deep.equal([
      { change: 'snapshot', ...point(5, 'd') },
    ]);
    expect(changesToConform(heldOf(abc), revert, { forward: true })).to.deep.equal([
      { change: 'revert', to: 1, ...point(5, 'before') },
    ]);
    expect(changesToConform(heldOf(abc), snapshot, { forward: false })).to.equal(null);
    expect(changesToConform(heldOf(abc), revert, { forward: false })).to.equal(null);
  });

  it('is not satisfied by a layer that is still being filled', () => {
    const held = heldOf(abc);
    const layers = held.layers.map((layer) => ({ ...layer, complete: layer.id !== 2 }));
    expect(changesToConform({ ...held, layers }, abc, { forward: false })).to.equal(null);
  });

  it('has a returning member compare its old head, and what lies under an undecided one', () => {
    // It took part in an attempt that was undone elsewhere; the others wrote on and tried again.
    const held = heldOf(addSnapshot(abc, point(5, 'd')));
    const source = heldOf(addSnapshot(abc, point(6, 'd')));
    const { layers, head } = layersToAdopt(source, held);
    expect(head).to.equal(6);
    expect(layers.filter(({ complete }) => !complete).map(({ id }) => id)).to.deep.equal([4]);
    const away = layersToAdopt(source, heldOf(abc)).layers;
    expect(away.filter(({ complete }) => !complete).map(({ id }) => id)).to.deep.equal([4]);
    const empty = layersToAdopt(source, heldOf(FIRST)).layers;
    expect(empty.filter(({ complete }) => !complete).map(({ id }) => id)).to.deep.equal([
      1, 2, 3, 4,
    ]);
  });

  it('begins with the snapshots that all copies of a clone have', () => {
    const one = heldOf(abc);
    const other = heldOf(removeSnapshot(abc, 2));
    const tree = commonTree(one, [one, other]);
    expect(snapshotsOf(tree).map(({ name }) => name)).to.deep.equal(['a', 'c']);
    expect(changesToConform(one, tree, { forward: false })).to.deep.equal([
      { change: 'delete', layer: 2 },
    ]);
    expect(changesToConform(other, tree, { forward: false })).to.deep.equal([]);
  });

  it('brings a member to it from wherever the last changes left it', () => {
    const random = seededRandom(4);
    for (let round = 0; round < 500; round++) {
      let tree = FIRST;
      let before = FIRST;
      for (let step = 1 + Math.floor(random() * 12); step > 0; step--) {
        before = tree;
        const named = snapshotsOf(tree);
        const pick = named[Math.floor(random() * named.length)];
        const next = point(tree.nextId, `s${tree.nextId}`);
        const chance = random();
        if (pick === undefined || chance < 0.5) tree = addSnapshot(tree, next);
        else if (chance < 0.75) tree = addRevert(tree, pick.id, next);
        else tree = removeSnapshot(tree, pick.id);
        expect(decodeTree(encodeTree(tree))).to.deep.equal(tree);
      }
      const held = heldOf(before, random() < 0.5);
      const changes = changesToConform(held, tree, { forward: true });
      expect(changes, `round ${round}`).to.not.equal(null);
      const { headLayer, layers } = applied(held, changes ?? []);
      expect(headLayer).to.equal(tree.head);
      const left = withoutMerged(layers, headLayer).map(({ id, parent, name }) => [
        id,
        parent,
        name,
      ]);
      expect(left).to.deep.equal(tree.layers.map(({ id, parent, name }) => [id, parent, name]));
    }
  });
});
