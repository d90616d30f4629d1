import type { Layer, LayersChange } from '../protocol/types.ts';
import { MAX_LAYERS } from '../protocol/layers.ts';
import { StoreError } from './errors.ts';

/** A layer as the superblock keeps it. */
export interface StoredLayer extends Layer {
  /** Its files; they change names when layers are merged. */
  readonly data: string;
  readonly meta: string;
  /** What its pages carry; another replica's where they were linked from a clone's origin. */
  readonly storeTag: number;
  /**
   * The layer on top of it is being given what this one holds: data of that layer's file that its
   * pages do not name are no sign of damage.
   */
  readonly merging: boolean;
}

/** The layers of a copy. A parent stands before its children. */
export interface LayerTree {
  readonly layers: readonly StoredLayer[];
  readonly head: number;
}

export function dataFileName(id: number, turn = 0): string {
  return `${stem(id, turn)}.img`;
}

/** `turn` counts how often the layer was merged with another, or got files of its own. */
export function metaFileName(id: number, turn = 0): string {
  return `${stem(id, turn)}.meta`;
}

function stem(id: number, turn: number): string {
  return `${String(id).padStart(6, '0')}${turn === 0 ? '' : `-${turn}`}`;
}

/** The turn after that of the layer's files. */
export function nextTurn({ data, meta }: StoredLayer): number {
  const turns = [data, meta].map((name) => Number(/-(\d+)\./.exec(name)?.[1] ?? 0));
  return Math.max(...turns) + 1;
}

/** The layer with files that nobody has yet, to be filled anew. */
export function withNewFiles(layer: StoredLayer, storeTag: number): StoredLayer {
  const turn = nextTurn(layer);
  return {
    ...layer,
    data: dataFileName(layer.id, turn),
    meta: metaFileName(layer.id, turn),
    storeTag,
  };
}

/** Any name that the files of a layer may have. */
export const LAYER_FILE_PATTERN = /^\d{6,}(?:-\d+)?\.(?:img|meta)$/;

export function newLayer(
  layer: Pick<Layer, 'id' | 'parent' | 'createdAt'> & Partial<Layer>,
  storeTag: number,
): StoredLayer {
  return {
    name: null,
    complete: true,
    ...layer,
    data: dataFileName(layer.id),
    meta: metaFileName(layer.id),
    storeTag,
    merging: false,
  };
}

export function layerOf(tree: LayerTree, id: number): StoredLayer {
  const layer = tree.layers.find((each) => each.id === id);
  if (layer === undefined) throw refused(`there is no layer ${id}`);
  return layer;
}

export function childrenOf(tree: LayerTree, id: number): StoredLayer[] {
  return tree.layers.filter((each) => each.parent === id);
}

/** The layer and what lies below it, nearest first. */
export function chainOf(tree: LayerTree, id: number): StoredLayer[] {
  const chain: StoredLayer[] = [];
  let next: number | null = id;
  while (next !== null) {
    const layer = layerOf(tree, next);
    chain.push(layer);
    next = layer.parent;
  }
  return chain;
}

/** A layer that nobody needs by itself, and the only one on top of it. */
export function mergeablePairs(tree: LayerTree): { lower: StoredLayer; upper: StoredLayer }[] {
  if (tree.layers.some((layer) => !layer.complete)) return [];
  return tree.layers.flatMap((lower) => {
    const children = childrenOf(tree, lower.id);
    const [upper] = children;
    if (lower.name !== null || lower.id === tree.head || upper === undefined) return [];
    return children.length === 1 ? [{ lower, upper }] : [];
  });
}

/** What is left when the lower layer's content is in the upper one, as `upper` says it now. */
export function merged(tree: LayerTree, lower: StoredLayer, upper: StoredLayer): LayerTree {
  const layers = tree.layers
    .filter((layer) => layer.id !== lower.id)
    .map((layer) => (layer.id === upper.id ? { ...upper, parent: lower.parent } : layer));
  return { ...tree, layers };
}

export function withLayer(tree: LayerTree, changed: StoredLayer): LayerTree {
  const layers = tree.layers.map((layer) => (layer.id === changed.id ? changed : layer));
  return { ...tree, layers };
}

/**
 * The tree after the change, or the same one where nothing is to be done. Throws LAYERS where the
 * change makes no sense. `storeTag` is that of layers that are made.
 */
export function changed(tree: LayerTree, change: LayersChange, storeTag: number): LayerTree {
  switch (change.change) {
    case 'snapshot':
      return grown(tree, { ...change, to: null }, storeTag);
    case 'revert':
      return grown(tree, change, storeTag);
    case 'undo':
      return undone(tree, change.head);
    case 'rename': {
      const layer = layerOf(tree, change.layer);
      if (layer.id === tree.head) throw refused('the head has no name');
      checkName(tree, change.name, layer.id);
      return layer.name === change.name ? tree : withLayer(tree, { ...layer, name: change.name });
    }
    case 'delete': {
      const layer = tree.layers.find(({ id }) => id === change.layer);
      if (layer === undefined || layer.name === null) return tree;
      return pruned(withLayer(tree, { ...layer, name: null }));
    }
    case 'complete': {
      const layer = layerOf(tree, change.layer);
      return layer.complete ? tree : withLayer(tree, { ...layer, complete: true });
    }
    case 'adopt':
      return adopted(tree, change, storeTag);
    case 'pause-merges':
    case 'resume-merges':
      return tree;
  }
}

function grown(
  tree: LayerTree,
  change: {
    readonly head: number;
    readonly to: number | null;
    readonly name: string;
    readonly createdAt: string;
  },
  storeTag: number,
): LayerTree {
  const { head, to, name, createdAt } = change;
  const old = layerOf(tree, tree.head);
  const known = tree.layers.find((layer) => layer.id === head);
  if (known !== undefined) {
    if (head === tree.head) return tree;
    throw refused(`layer ${head} exists and is not the head`);
  }
  if (head <= Math.max(...tree.layers.map(({ id }) => id)))
    throw refused(`the ids of layers rise, and ${head} is below one that exists`);
  if (tree.layers.length >= MAX_LAYERS)
    throw refused(`there are ${tree.layers.length} layers; delete snapshots first`);
  checkName(tree, name, old.id);
  const parent = to ?? old.id;
  if (!layerOf(tree, parent).complete) throw refused(`layer ${parent} is not complete`);
  const frozen = withLayer(tree, { ...old, name });
  return { layers: [...frozen.layers, newLayer({ id: head, parent, createdAt }, storeTag)], head };
}

function checkName(tree: LayerTree, name: string, ownId: number): void {
  const other = tree.layers.find((layer) => layer.name === name && layer.id !== ownId);
  if (other !== undefined) throw refused(`layer ${other.id} is called "${name}" already`);
}

function undone(tree: LayerTree, head: number): LayerTree {
  if (head !== tree.head) {
    if (tree.layers.some((layer) => layer.id === head)) throw refused(`layer ${head} is no head`);
    return tree;
  }
  const { parent } = layerOf(tree, head);
  if (parent === null) throw refused(`there is nothing below layer ${head}`);
  if (childrenOf(tree, parent).length > 1)
    throw refused(`layer ${parent} has other layers on top of it and stays frozen`);
  const layers = tree.layers.filter((layer) => layer.id !== head);
  const below = { ...layerOf(tree, parent), name: null };
  return withLayer({ layers, head: parent }, below);
}

/** Without frozen layers that have neither a name nor anything on top of them. */
function pruned(tree: LayerTree): LayerTree {
  const layers = tree.layers.filter(
    ({ id, name }) => id === tree.head || name !== null || childrenOf(tree, id).length > 0,
  );
  return layers.length === tree.layers.length ? tree : pruned({ ...tree, layers });
}

/** See the protocol's page: what the list lacks stays below its children until it is merged. */
function adopted(
  tree: LayerTree,
  { head, layers: list }: { readonly head: number; readonly layers: readonly Layer[] },
  storeTag: number,
): LayerTree {
  checkList(head, list);
  const named = new Set(list.map(({ id }) => id));
  const parents = new Map(list.map(({ id, parent }) => [id, parent]));
  const mine = new Map(tree.layers.map((layer) => [layer.id, layer]));
  const result = new Map<number, StoredLayer>();
  // What only this copy has goes on lying right below the layer that needs it.
  const place = (id: number, parent: number | null): number | null => {
    const below = mine.get(id)?.parent ?? null;
    if (below === null || named.has(below)) return parent;
    const extra = mine.get(below);
    if (extra === undefined) return parent;
    // It was being filled, and is not needed any more: what it holds must not be merged.
    if (!extra.complete) return place(below, parent);
    const known = result.get(below);
    if (known === undefined)
      result.set(below, { ...extra, name: null, parent: place(below, parent) });
    return below;
  };
  for (const { id, name, createdAt, complete: isTrusted } of list) {
    const known = mine.get(id);
    const isHead = id === head;
    const wasHead = id === tree.head;
    const complete = isHead || (known?.complete === true && isTrusted && !wasHead);
    const below = parents.get(id) ?? null;
    // What is filled gets all that it has from the source: nothing may be merged into it besides.
    const parent = complete ? place(id, below) : below;
    const layer = known ?? newLayer({ id, parent, createdAt }, storeTag);
    result.set(id, { ...layer, name, parent, createdAt, complete });
  }
  const next = pruned({ layers: inOrder([...result.values()]), head });
  return JSON.stringify(next) === JSON.stringify(tree) ? tree : next;
}

function checkList(head: number, list: readonly Layer[]): void {
  const seen = new Set<number>();
  for (const { id, parent } of list) {
    if (seen.has(id)) throw refused(`layer ${id} is twice in the list`);
    if (parent !== null && !seen.has(parent))
      throw refused(`the parent of layer ${id} is not before it in the list`);
    seen.add(id);
  }
  if (!seen.has(head)) throw refused(`the head ${head} is not in the list`);
  if (list.some((layer) => layer.parent === head)) throw refused(`layer ${head} is no leaf`);
  if (list.find(({ id }) => id === head)?.name !== null) throw refused('the head has no name');
}

/** Parents before their children. */
function inOrder(layers: readonly StoredLayer[]): StoredLayer[] {
  const result: StoredLayer[] = [];
  const placed = new Set<number | null>([null]);
  let rest = [...layers].sort((one, other) => one.id - other.id);
  while (rest.length > 0) {
    const ready = rest.filter(({ parent }) => placed.has(parent));
    if (ready.length === 0) throw refused('the list has a circle');
    for (const layer of ready) {
      result.push(layer);
      placed.add(layer.id);
    }
    rest = rest.filter((layer) => !placed.has(layer.id));
  }
  return result;
}

function refused(why: string): StoreError {
  return new StoreError(
    'LAYERS',
    `The tree of layers does not allow this: ${why}. Look at the layers in the replica's status.`,
  );
}
