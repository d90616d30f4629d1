import type { Layer, LayersChange } from '@openebs/replica/protocol';

/**
 * The tree of layers that a volume shall have: what its target and its snapshots' users know.
 * Replicas may hold more layers for a while: a deleted one stays there until it is merged. Pure:
 * every function makes a new tree.
 */
export interface TreeLayer {
  readonly id: number;
  readonly parent: number | null;
  /** A layer without a name is the head, or was deleted while several layers stood on it. */
  readonly name: string | null;
  readonly createdAt: string;
}

export interface LayerTree {
  /** Ids below it may have been used; none is used twice, not even that of a failed attempt. */
  readonly nextId: number;
  readonly head: number;
  /** A parent has a lower id than its children: in the order of ids parents come first. */
  readonly layers: readonly TreeLayer[];
}

/** As a replica tells it. */
export interface HeldTree {
  readonly headLayer: number;
  readonly layers: readonly Layer[];
}

export interface LayerPoint {
  /** The id of the head that is made. */
  readonly head: number;
  readonly name: string;
  readonly createdAt: string;
}

export const findLayer = (layers: readonly TreeLayer[], id: number | null): TreeLayer | undefined =>
  layers.find((layer) => layer.id === id);

/** Snapshots, the oldest first. */
export const snapshotsOf = ({ layers }: LayerTree): readonly (TreeLayer & { name: string })[] =>
  layers.filter((layer): layer is TreeLayer & { name: string } => layer.name !== null);

export const findSnapshot = (tree: LayerTree, name: string): TreeLayer | undefined =>
  tree.layers.find((layer) => layer.name === name);

/**
 * What is left when all merges have been done: a frozen layer without a name is dropped where
 * nothing stands on it, and becomes part of the one layer that does; it stays while several do.
 */
export const withoutMerged = (layers: readonly TreeLayer[], head: number): TreeLayer[] => {
  let left = [...layers].sort((a, b) => a.id - b.id);
  for (;;) {
    const children = new Map<number | null, number>();
    for (const { parent } of left) children.set(parent, (children.get(parent) ?? 0) + 1);
    const gone = left.find(
      ({ id, name }) => id !== head && name === null && (children.get(id) ?? 0) < 2,
    );
    if (gone === undefined) return left;
    left = left
      .filter((layer) => layer !== gone)
      .map((layer) => (layer.parent === gone.id ? { ...layer, parent: gone.parent } : layer));
  }
};

/** Ids for new layers may begin at `id`. */
export const reserveIds = (tree: LayerTree, id: number): LayerTree => ({
  ...tree,
  nextId: Math.max(tree.nextId, id),
});

export const addSnapshot = (tree: LayerTree, { head, name, createdAt }: LayerPoint): LayerTree => ({
  nextId: Math.max(tree.nextId, head + 1),
  head,
  layers: [
    ...tree.layers.map((layer) => (layer.id === tree.head ? { ...layer, name, createdAt } : layer)),
    { id: head, parent: tree.head, name: null, createdAt },
  ],
});

/** The head is frozen under the name of the point; the new one stands on layer `to`. */
export const addRevert = (tree: LayerTree, to: number, point: LayerPoint): LayerTree => {
  const frozen = addSnapshot(tree, point);
  return {
    ...frozen,
    layers: frozen.layers.map((layer) =>
      layer.id === point.head ? { ...layer, parent: to } : layer,
    ),
  };
};

export const removeSnapshot = (tree: LayerTree, id: number): LayerTree => ({
  ...tree,
  layers: withoutMerged(
    tree.layers.map((layer) => (layer.id === id ? { ...layer, name: null } : layer)),
    tree.head,
  ),
});

/**
 * The tree of a volume that has no document of it yet, from what its members hold. Snapshots that
 * not all of them have are none: copies of a volume that was cloned while one was deleted there.
 */
export const commonTree = (source: HeldTree, members: readonly HeldTree[]): LayerTree => {
  const everywhere = (layer: Layer): boolean =>
    members.every(({ layers }) =>
      layers.some(({ id, name }) => id === layer.id && name === layer.name),
    );
  const ids = [source, ...members].flatMap(({ layers }) => layers.map(({ id }) => id));
  return {
    nextId: Math.max(...ids) + 1,
    head: source.headLayer,
    layers: withoutMerged(
      source.layers.map((layer) => ({
        ...plain(layer),
        name: layer.name !== null && everywhere(layer) ? layer.name : null,
      })),
      source.headLayer,
    ),
  };
};

/**
 * What makes a member's tree the volume's; null where it takes more than that: layers that the
 * member lacks, or that may hold something else there.
 *
 * `forward`: the member was in sync when a change was decided that it did not hear of. Its head is
 * as it shall be frozen then, because changes are decided when everything is flushed and nothing is
 * written any more.
 */
export const changesToConform = (
  held: HeldTree,
  tree: LayerTree,
  options: { readonly forward: boolean },
): LayersChange[] | null => {
  if (held.layers.some(({ complete }) => !complete)) return null;
  const changes: LayersChange[] = [];
  let head = held.headLayer;
  let layers = held.layers.map(plain);
  if (head !== tree.head) {
    const step = headStep(head, layers, tree, options.forward);
    if (step === null) return null;
    changes.push(step);
    if (step.change === 'undo') {
      layers = layers.filter(({ id }) => id !== head);
      layers = layers.map((layer) => (layer.id === tree.head ? { ...layer, name: null } : layer));
    } else {
      const { name, createdAt } = step;
      const parent = step.change === 'revert' ? step.to : head;
      const old = head;
      layers = layers.map((layer) => (layer.id === old ? { ...layer, name } : layer));
      layers.push({ id: tree.head, parent, name: null, createdAt });
    }
    head = tree.head;
  }
  for (const { id, name } of layers) {
    if (name === null || id === head || isNamed(tree, id)) continue;
    changes.push({ change: 'delete', layer: id });
  }
  const left = layers.map((layer) => (isNamed(tree, layer.id) ? layer : { ...layer, name: null }));
  return sameLayers(withoutMerged(left, head), tree.layers) ? changes : null;
};

type HeadStep = Extract<LayersChange, { change: 'snapshot' | 'revert' | 'undo' }>;

const headStep = (
  head: number,
  layers: readonly TreeLayer[],
  tree: LayerTree,
  forward: boolean,
): HeadStep | null => {
  const mine = findLayer(layers, head);
  const wanted = findLayer(tree.layers, tree.head);
  const frozen = findLayer(tree.layers, head);
  // A head that was never decided has never been written, whoever has it.
  if (frozen === undefined && mine?.parent === tree.head) return { change: 'undo', head };
  if (!forward || wanted === undefined || frozen === undefined || frozen.name === null) return null;
  const point = { head: tree.head, name: frozen.name, createdAt: wanted.createdAt };
  if (wanted.parent === head) return { change: 'snapshot', ...point };
  return wanted.parent === null ? null : { change: 'revert', to: wanted.parent, ...point };
};

/**
 * For a member whose tree is another one: the source's, with a mark on the layers whose content is
 * to be compared. Those are what the member lacks or was filling, its own head, and, where that
 * head was never decided, the layer below, which others may have written after all.
 */
export const layersToAdopt = (
  source: HeldTree,
  held: HeldTree,
): Extract<LayersChange, { change: 'adopt' }> => {
  const doubtful = new Set(held.layers.filter(({ complete }) => !complete).map(({ id }) => id));
  doubtful.add(held.headLayer);
  if (!source.layers.some(({ id }) => id === held.headLayer)) {
    const below = held.layers.find(({ id }) => id === held.headLayer)?.parent;
    if (below !== undefined && below !== null) doubtful.add(below);
  }
  const known = new Set(held.layers.map(({ id }) => id));
  return {
    change: 'adopt',
    head: source.headLayer,
    layers: [...source.layers]
      .sort((a, b) => a.id - b.id)
      .map((layer) => ({
        ...layer,
        complete: layer.id === source.headLayer || (known.has(layer.id) && !doubtful.has(layer.id)),
      })),
  };
};

const plain = ({ id, parent, name, createdAt }: Layer): TreeLayer => ({
  id,
  parent,
  name,
  createdAt,
});

const isNamed = (tree: LayerTree, id: number): boolean =>
  (findLayer(tree.layers, id)?.name ?? null) !== null;

const sameLayers = (a: readonly TreeLayer[], b: readonly TreeLayer[]): boolean =>
  a.length === b.length &&
  a.every(({ id, parent, name }) => {
    const other = findLayer(b, id);
    return other?.parent === parent && other.name === name;
  });

/**
 * As a document of the replicas, version 1: `{version, nextId, head, layers: [[id, parent, name,
 * createdAtMs], ...]}`. Short, since documents have little room.
 */
const TREE_VERSION = 1;

export const encodeTree = ({ nextId, head, layers }: LayerTree): Buffer =>
  Buffer.from(
    JSON.stringify({
      version: TREE_VERSION,
      nextId,
      head,
      layers: layers.map(({ id, parent, name, createdAt }) => [
        id,
        parent,
        name,
        Date.parse(createdAt),
      ]),
    }),
  );

export class LayerTreeError extends Error {
  override readonly name = 'LayerTreeError';
}

/** Throws LayerTreeError where the bytes are no tree of this version. */
export const decodeTree = (bytes: Uint8Array): LayerTree => {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString());
  } catch {
    throw new LayerTreeError('the document of the layers is no JSON');
  }
  const { version, nextId, head, layers } = value as Readonly<Record<string, unknown>>;
  if (version !== TREE_VERSION) {
    throw new LayerTreeError(
      `the document of the layers has version ${String(version)}; this release knows ${TREE_VERSION}`,
    );
  }
  if (!isId(nextId) || !isId(head) || !Array.isArray(layers)) throw damaged();
  const tree = { nextId, head, layers: layers.map(decodeLayer) };
  const ids = new Set<number | null>([null]);
  for (const { id, parent } of tree.layers) {
    if (ids.has(id) || !ids.has(parent) || id >= nextId) throw damaged();
    ids.add(id);
  }
  if (!ids.has(head)) throw damaged();
  return tree;
};

const decodeLayer = (value: unknown): TreeLayer => {
  const [id, parent, name, createdAtMs] = (Array.isArray(value) ? value : []) as unknown[];
  if (!isId(id) || !(parent === null || isId(parent))) throw damaged();
  if (!(name === null || typeof name === 'string')) throw damaged();
  if (!Number.isSafeInteger(createdAtMs)) throw damaged();
  return { id, parent, name, createdAt: new Date(createdAtMs as number).toISOString() };
};

const isId = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) > 0;

const damaged = (): LayerTreeError => new LayerTreeError('the document of the layers is damaged');
