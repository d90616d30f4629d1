import type { Store } from '../../replica/src/store/index.ts';
import type { SimulatedDisk } from '../../replica/src/store/simulated-disk.ts';
import { dataFileName } from '../../replica/src/store/layer-tree.ts';
import type { Cluster } from './cluster.ts';
import type { ReplicaMachine } from './machine.ts';

const BLOCK = 4096;
const SECTOR = 512;
const EXTENT = 1024 * 1024;
const EXTENT_BLOCKS = EXTENT / BLOCK;
const PAGE_BYTES = 2048;

/** Where bytes change by themselves. `replica` and `layer` are counted modulo. */
export type RotPlace = {
  readonly replica: number;
  readonly sector: number;
} & (
  | {
      /** Of the head, or its extent page. */
      readonly kind: 'rot' | 'rot-page';
    }
  | {
      /** Of a frozen layer, or its extent page; blank: the page turns into zeroes. */
      readonly kind: 'rot-layer' | 'rot-layer-page' | 'blank-layer-page';
      readonly layer: number;
    }
);

/** Plants rot, and knows what of it is left. */
export class Rot {
  /** Blocks of the volume that a read may refuse with MEDIUM_ERROR. */
  readonly blocks = new Set<number>();
  readonly #cluster: Cluster;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** Scrubs are checked: whatever rots has to be good elsewhere. */
  get #mustMend(): boolean {
    return this.#cluster.options.scrubBytesPerSecond !== null;
  }

  plant(place: RotPlace): void {
    const { machines } = this.#cluster;
    const machine = machines[place.replica % machines.length]!;
    const { store } = machine;
    if (machine.role !== 'data' || store === null) return;
    switch (place.kind) {
      case 'rot':
        return this.#plantInHead(machine, store, place.sector);
      case 'rot-page':
        return this.#plantInPage(machine, store, extentOf(place.sector));
      case 'rot-layer':
      case 'rot-layer-page':
      case 'blank-layer-page':
        return this.#plantInLayer(machine, store, place);
    }
  }

  #plantInHead(machine: ReplicaMachine, store: Store, sector: number): void {
    const block = blockOf(sector);
    if (this.#cluster.newestRecord() === null || this.blocks.has(block)) return;
    if (!canSum(store, extentOf(sector))) return;
    if (this.#mustMend && !this.#othersAreSound(machine, extentOf(sector))) return;
    const file = dataFileName(store.state().headLayer);
    if (this.#spoil(machine, file, sector * SECTOR + (sector % 500)))
      this.#note(machine, file, [block]);
  }

  /** While it is bad nothing vouches for any block of the extent. */
  #plantInPage(machine: ReplicaMachine, store: Store, extent: number): void {
    if (!this.#othersAreSound(machine, extent) || !canSum(store, extent)) return;
    // Scrubs look at no extent of which nobody holds anything.
    if (store.extentVersions(extent, 1).every((byte) => byte === 0)) return;
    const file = metaFileOf(machine, store.state().headLayer);
    if (file === null || !this.#spoil(machine, file, extent * PAGE_BYTES + (extent % 7) * 200))
      return;
    this.#note(machine, file, blocksOf(extent));
  }

  #plantInLayer(
    machine: ReplicaMachine,
    store: Store,
    { kind, layer, sector }: Extract<RotPlace, { readonly layer: number }>,
  ): void {
    const extent = extentOf(sector);
    const { site } = this.#cluster;
    // Not while a clone is made, which takes what is rotten with it.
    if (site.clusters.some(({ frozen }) => frozen)) return;
    const { layers, headLayer } = store.state();
    const frozen = layers.filter(({ id, complete }) => complete && id !== headLayer);
    const chosen = frozen[layer % Math.max(1, frozen.length)];
    if (chosen === undefined) return;
    const sharing = site.sharing(machine, dataFileName(chosen.id));
    if (!sharing.every((each) => each.cluster.rot.#othersAreSound(each.machine, extent))) return;
    if (kind === 'rot-layer') {
      // Zeroes that are kept where a layer only hides are read by nobody, and mended by nobody.
      if (!holdsData(store, chosen.id, blockOf(sector))) return;
      const file = dataFileName(chosen.id);
      if (!this.#spoil(machine, file, sector * SECTOR + (sector % 500))) return;
      for (const { cluster } of sharing) cluster.rot.#note(machine, file, [blockOf(sector)]);
      return;
    }
    // What a clone shares is not filled anew. Scrubs look at no extent of which nobody holds any.
    if (sharing.length > 1 || !holdsAny(store, chosen.id, extent)) return;
    const file = metaFileOf(machine, chosen.id);
    const start = extent * PAGE_BYTES;
    if (file === null) return;
    const spoilt =
      kind === 'blank-layer-page'
        ? this.#spoil(machine, file, start, PAGE_BYTES)
        : this.#spoil(machine, file, start + (sector % 1500));
    if (spoilt) this.#note(machine, file, blocksOf(extent));
  }

  /**
   * Where scrubs are checked a place once, because twice would be as it was, and of an extent in
   * one layer only: a block that is bad in several, or whose page is bad as well, is counted once.
   */
  #spoil(machine: ReplicaMachine, file: string, offsetBytes: number, zeroedBytes = 0): boolean {
    const page = Math.floor(offsetBytes / BLOCK);
    const extent = Math.floor(offsetBytes / (file.endsWith('.img') ? EXTENT : PAGE_BYTES));
    const isTaken = rotIn(machine, extent).some((rot) => rot.name !== file || rot.page === page);
    return !(this.#mustMend && isTaken) && machine.disk.spoil(file, offsetBytes, zeroedBytes);
  }

  /**
   * All copies are in sync, and of the extent all others are good, or with this one a minority is
   * bad: one more may be lost.
   */
  #othersAreSound(machine: ReplicaMachine, extent: number): boolean {
    const { newest, orchestrator } = this.#cluster;
    if (newest?.healthy !== true || !orchestrator.converged) return false;
    const copies = orchestrator.wanted.filter(({ role }) => role === 'data');
    const others = copies.filter((each) => each !== machine);
    if (!copies.includes(machine) || others.length === 0) return false;
    const bad = others.filter((each) => rotIn(each, extent).length > 0).length;
    return others.every(({ whole }) => whole) && (bad === 0 || 2 * (bad + 1) < copies.length);
  }

  /**
   * What a copy should have got again from another one: all but the head's pages where a mark says
   * that they will be written anyway.
   */
  left({ disk, store }: ReplicaMachine): SimulatedDisk['rot'] {
    if (store === null) return [];
    const marked = store.counters().markedRegions > 0 ? stemOf(store.state().headLayer) : null;
    return disk.rot.filter(
      ({ name }) => name.endsWith('.img') || marked === null || !name.startsWith(marked),
    );
  }

  #note({ name }: ReplicaMachine, file: string, blocks: readonly number[]): void {
    for (const block of blocks) this.blocks.add(block);
    this.#cluster.world.note('fault', `${file} of ${name} rots: block ${blocks[0] ?? ''}`);
  }

  /** A read that fails may be of any block. */
  mayFailAnywhere(): void {
    const blocks = this.#cluster.options.sizeBytes / BLOCK;
    for (let each = 0; each < blocks; each++) this.blocks.add(each);
  }
}

const blocksOf = (extent: number): number[] =>
  Array.from({ length: EXTENT_BLOCKS }, (_, index) => extent * EXTENT_BLOCKS + index);

const blockOf = (sector: number): number => Math.floor((sector * SECTOR) / BLOCK);

/** It has a new name after each merge into the layer. */
const metaFileOf = ({ disk }: ReplicaMachine, layer: number): string | null => {
  const stem = stemOf(layer);
  const isOf = (name: string): boolean => name.startsWith(stem) && name.endsWith('.meta');
  return (
    disk
      .list()
      .filter(isOf)
      .sort((a, b) => a.length - b.length)
      .at(-1) ?? null
  );
};

const stemOf = (layer: number): string => dataFileName(layer).replace('.img', '');

const extentOf = (sector: number): number => Math.floor((sector * SECTOR) / EXTENT);

/** What has rotted of an extent. A page of the disk holds the pages of two extents. */
const rotIn = ({ disk }: ReplicaMachine, extent: number): SimulatedDisk['rot'] =>
  disk.rot.filter(({ name, page }) => {
    const bytes = name.endsWith('.img') ? EXTENT : PAGE_BYTES;
    return extent >= Math.floor((page * BLOCK) / bytes) && extent * bytes < (page + 1) * BLOCK;
  });

const holdsData = (store: Store, layer: number, block: number): boolean => {
  try {
    return store.layerAllocation(layer, block * BLOCK, BLOCK)[0] !== 0;
  } catch {
    // It has rotted already.
    return false;
  }
};

const holdsAny = (store: Store, layer: number, extent: number): boolean => {
  try {
    return store.layerAllocation(layer, extent * EXTENT, EXTENT).some((byte) => byte !== 0);
  } catch {
    // It has rotted already.
    return false;
  }
};

/** Not where checksums are still to be computed: they would be those of what is there then. */
const canSum = (store: Store, extent: number): boolean => {
  try {
    store.extentChecksums(extent);
    return true;
  } catch {
    return false;
  }
};
