import { EXTENT_BYTES } from '../protocol/types.ts';
import type { Layer } from '../protocol/types.ts';
import { METADATA_BYTES_CEILING, METADATA_BYTES_FLOOR, METADATA_BYTES_PER_TIB } from '../limits.ts';
import { Base } from './base.ts';
import { recomputePage } from './block-checksums.ts';
import { dataFileBytes, metaFileBytes, notAStore, openPart } from './directory.ts';
import type { Closable } from './directory.ts';
import type { Disk, DiskFile } from './disk.ts';
import type { DurableState } from './durable-state.ts';
import { StoreError } from './errors.ts';
import { ExtentPages } from './extent-pages.ts';
import { FrozenLayer } from './frozen-layer.ts';
import { growFile } from './growth.ts';
import { LayerFiles } from './layer-files.ts';
import { chainOf, layerOf, withNewFiles } from './layer-tree.ts';
import type { LayerTree, StoredLayer } from './layer-tree.ts';
import { Stack } from './stack.ts';
import { storeTagOf } from './superblock.ts';
import type { Head } from './stack.ts';

const TIB = 1024 ** 4;

export interface LayerSetOptions {
  readonly disk: Disk;
  readonly durable: DurableState;
  /** Files that are opened are added, so that they are closed when something fails. */
  readonly opened: Closable[];
  readonly isUntrusted: (extent: number) => boolean;
  /** See ExtentPages. */
  readonly nextMarked: (extent: number, end: number) => number;
  readonly trust: (extent: number) => void;
  readonly damaged: (layer: number, extent: number) => void;
  /** See ExtentPages. */
  readonly rewritten: (extent: number) => void;
  readonly pageNotWritten: (extent: number, cause: unknown) => void;
}

/** The layers of a copy, opened: the head with its pages, and the frozen ones. */
export class LayerSet {
  readonly files: LayerFiles;
  readonly stack: Stack;
  readonly #options: LayerSetOptions;
  #frozen = new Map<number, FrozenLayer>();

  constructor(options: LayerSetOptions) {
    this.#options = options;
    this.files = new LayerFiles(options.disk);
    const { tree } = this;
    for (const { data, meta } of tree.layers)
      for (const name of [data, meta])
        if (!options.disk.exists(name))
          throw notAStore(options.disk.directory, `${name} is missing`);
    this.files.removeStrays(tree);
    this.#freeze(tree);
    this.stack = new Stack(this.#openHead(tree), this.#openBase(tree));
  }

  get tree(): LayerTree {
    return this.#options.durable.superblock.tree;
  }

  /** Of the pages that this copy writes. */
  get storeTag(): number {
    return storeTagOf(this.#options.durable.superblock.identity.replicaId);
  }

  /** As the protocol tells them. */
  get layers(): Layer[] {
    return this.tree.layers.map(({ id, parent, name, createdAt, complete }) => ({
      id,
      parent,
      name,
      createdAt,
      complete,
    }));
  }

  /**
   * The head's file may hold what its pages do not name: a merge into it was begun while it was
   * frozen.
   */
  get isHeadLenient(): boolean {
    const { layers, head } = this.tree;
    const parent = layers.find(({ id }) => id === head)?.parent;
    return layers.some(({ id, merging }) => merging && id === parent);
  }

  get sizeBytes(): number {
    return this.#options.durable.superblock.identity.sizeBytes;
  }

  /**
   * Bytes that one of the tree's layers holds itself. A head that has just been named, and is not
   * open yet, holds none.
   */
  allocatedBytes(id: number): number {
    if (id === this.stack.headId) return this.stack.data.allocatedBytes();
    return this.#frozen.get(id)?.allocatedBytes() ?? 0;
  }

  /** The data of one of the tree's layers, to be asked before the next call; null as above. */
  fileOf(id: number): DiskFile | null {
    if (id === this.stack.headId) return this.stack.data;
    return this.#frozen.get(id)?.data.file ?? null;
  }

  /**
   * Those that are open. The tree may have changed already, while its change is being made durable.
   */
  get frozenLayers(): FrozenLayer[] {
    return [...this.#frozen.values()];
  }

  /** Throws LAYERS where there is none of this id, or it is the head. */
  frozen(id: number): FrozenLayer {
    const layer = this.#frozen.get(id);
    if (layer !== undefined) return layer;
    throw new StoreError(
      'LAYERS',
      `There is no frozen layer ${id}; the head is ${this.tree.head}.`,
    );
  }

  /** Makes the files of the layers that the tree has and the directory lacks, durably. */
  makeFiles(tree: LayerTree): void {
    const { disk } = this.#options;
    const known = new Set(this.tree.layers.map(({ data }) => data));
    const made = tree.layers.filter(({ data }) => !known.has(data));
    for (const { data, meta } of made) {
      this.files.create(data, dataFileBytes(this.sizeBytes));
      this.files.create(meta, metaFileBytes(this.sizeBytes));
    }
    if (made.length > 0) disk.syncDirectory();
  }

  /**
   * Layers that are to be filled anew are written, so those whose files a clone shares get new
   * ones. What the clone has stays what it is.
   */
  unshared(tree: LayerTree): LayerTree {
    const isShared = ({ id, complete }: StoredLayer): boolean =>
      !complete && this.#frozen.get(id)?.shared === true;
    if (!tree.layers.some(isShared)) return tree;
    const layers = tree.layers.map((layer) =>
      isShared(layer) ? withNewFiles(layer, this.storeTag) : layer,
    );
    return { ...tree, layers };
  }

  /** The files of the head, durably. Frozen layers keep the size that they had. */
  grow(sizeBytes: number): void {
    growFile(this.stack.data, dataFileBytes(sizeBytes));
    growFile(this.stack.meta, metaFileBytes(sizeBytes));
  }

  /** A frozen layer is to be the head again; only when no clone shares its files. */
  thaw(id: number): void {
    const layer = this.frozen(id);
    if (layer.shared)
      throw new StoreError(
        'LAYERS',
        `Layer ${id} is shared with a clone and cannot be written again.`,
      );
    growFile(layer.data.file, dataFileBytes(this.sizeBytes));
    growFile(layer.meta.file, metaFileBytes(this.sizeBytes));
  }

  /**
   * Looks at the tree anew after it was changed. Returns the files of the head that was, if it is
   * another one now: they are to be closed when nothing reads from them any more.
   */
  refresh(): Closable[] {
    const { tree } = this;
    this.#freeze(tree);
    const { stack } = this;
    const layer = layerOf(tree, tree.head);
    if (stack.headId === layer.id) {
      stack.base = this.#openBase(tree);
      return [];
    }
    const old = [stack.data, stack.meta];
    stack.become(this.#openHead(tree), this.#openBase(tree));
    return old;
  }

  close(): void {
    this.files.close();
    this.stack.data.close();
    this.stack.meta.close();
  }

  #freeze(tree: LayerTree): void {
    const before = this.#frozen;
    this.#frozen = new Map();
    for (const stored of tree.layers) {
      if (stored.id === tree.head) continue;
      const below = tree.layers.find(({ id }) => id === stored.parent);
      const known = before.get(stored.id);
      const lenient = below?.merging === true;
      const same = known !== undefined && known.isStill(stored, lenient);
      this.#frozen.set(stored.id, same ? known : this.#frozenLayer(stored, lenient));
    }
  }

  #frozenLayer(stored: StoredLayer, lenient: boolean): FrozenLayer {
    const { disk, damaged } = this.#options;
    return new FrozenLayer(stored, lenient, {
      files: this.files,
      dataBytes: dataFileBytes(this.sizeBytes),
      damaged,
      tooNew: (extent) => tooNew(disk.directory, stored.meta, extent),
    });
  }

  #openBase(tree: LayerTree): Base | null {
    const below = chainOf(tree, tree.head).slice(1);
    if (below.length === 0) return null;
    const layers = below.map(({ id }) => this.frozen(id));
    return new Base(layers, metadataBudget(this.sizeBytes) / 2);
  }

  #openHead(tree: LayerTree): Head {
    const { disk, opened } = this.#options;
    const layer = layerOf(tree, tree.head);
    this.files.retire(layer.data);
    this.files.retire(layer.meta);
    const data = openPart(disk, layer.data, dataFileBytes(this.sizeBytes), opened);
    const meta = openPart(disk, layer.meta, metaFileBytes(this.sizeBytes), opened);
    return { id: layer.id, data, meta, pages: this.#makePages(layer, { data, meta }) };
  }

  #makePages(layer: StoredLayer, { data, meta }: Pick<Head, 'data' | 'meta'>): ExtentPages {
    const { disk, isUntrusted, nextMarked, trust } = this.#options;
    const { damaged, rewritten, pageNotWritten } = this.#options;
    const budget = metadataBudget(this.sizeBytes);
    return new ExtentPages({
      file: meta,
      // What is below the head has the other half.
      budgetBytes: layer.parent === null ? budget : budget / 2,
      storeTag: layer.storeTag,
      isUntrusted,
      nextMarked,
      recompute: (page) => {
        recomputePage(page, data, dataFileBytes(this.sizeBytes));
        trust(page.extent);
      },
      nextWithData: (extent) => {
        const offset = data.seekData(extent * EXTENT_BYTES);
        return offset === null ? Infinity : Math.floor(offset / EXTENT_BYTES);
      },
      damaged: (extent) => damaged(layer.id, extent),
      rewritten,
      mayHide: () => this.stack.base !== null,
      isLenient: () => this.isHeadLenient,
      writeFailed: pageNotWritten,
      tooNew: (extent) => tooNew(disk.directory, layer.meta, extent),
    });
  }
}

function tooNew(directory: string, fileName: string, extent: number): StoreError {
  return new StoreError(
    'FORMAT_TOO_NEW',
    `The page of extent ${extent} in ${directory}/${fileName} was written by a later version of ` +
      'OpenEBS. Run that version or a later one.',
  );
}

function metadataBudget(sizeBytes: number): number {
  const share = Math.ceil((sizeBytes / TIB) * METADATA_BYTES_PER_TIB);
  return Math.min(Math.max(share, METADATA_BYTES_FLOOR), METADATA_BYTES_CEILING);
}
