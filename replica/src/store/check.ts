import { ACTIVITY_LOG, decodeActivityLog } from './activity-log.ts';
import { type Finding, LayerCheck, type LayerCounts, wordsOf } from './check-layer.ts';
import { dataFileBytes, metaFileBytes } from './directory.ts';
import type { DiskFile } from './disk.ts';
import { StoreError } from './errors.ts';
import type { LayerTree, StoredLayer } from './layer-tree.ts';
import { NodeDisk } from './node-disk.ts';
import { REDO_FILE } from './redo-file.ts';
import { EXTENTS_PER_REGION } from './regions.ts';
import { REGION_BYTES } from '../protocol/types.ts';
import { decodeSuperblock, SUPERBLOCK, type Superblock } from './superblock.ts';
import { readSlot, type Slot, type TwoSlotKind } from './two-slot-file.ts';

export type { Finding } from './check-layer.ts';

export interface SlotsReport {
  readonly file: string;
  readonly good: number;
  /** Of the newest good slot. */
  readonly generation: number | null;
}

export interface LayerReport extends LayerCounts {
  readonly id: number;
  readonly name: string | null;
  readonly isHead: boolean;
}

/** What a check of a directory has found. */
export interface CheckReport {
  readonly directory: string;
  readonly identity: Superblock['identity'] | null;
  /** Whether the last stop was orderly; null where that cannot be known. */
  readonly clean: boolean | null;
  readonly slots: readonly SlotsReport[];
  readonly markedRegions: number;
  readonly layers: readonly LayerReport[];
  readonly problems: number;
  readonly notes: number;
  /** Not all of them where there are very many. */
  readonly findings: readonly Finding[];
}

const MAX_FINDINGS = 1_000;
const LOCK_FILE = 'lock';

/**
 * Verifies the directory of a replica that does not run: slots, pages, and the checksum of every
 * block of all layers. Takes the lock and changes nothing else. Throws LOCKED where a process has
 * the directory open, and NOT_A_STORE where there is none.
 */
export function checkDirectory(directory: string): CheckReport {
  const disk = new NodeDisk(directory);
  if (!disk.exists(SUPERBLOCK.fileName))
    throw new StoreError('NOT_A_STORE', `there is no superblock in ${directory}; check the path`);
  const lock = disk.lock();
  if (!lock.held)
    throw new StoreError(
      'LOCKED',
      `process ${lock.holder} has ${directory} open; stop it first, or scrub the volume while it ` +
        'runs (mayactl volume scrub NAME)',
    );
  try {
    return new DirectoryCheck(disk).run();
  } finally {
    disk.unlock();
  }
}

class DirectoryCheck {
  readonly #disk: NodeDisk;
  readonly #findings: Finding[] = [];
  readonly #known = new Set([LOCK_FILE, REDO_FILE]);
  readonly #slots: SlotsReport[] = [];
  #problems = 0;
  #notes = 0;

  constructor(disk: NodeDisk) {
    this.#disk = disk;
  }

  run(): CheckReport {
    const superblock = this.#superblock();
    let marked: ReadonlySet<number> = new Set();
    let layers: LayerReport[] = [];
    if (superblock?.identity.role === 'data') {
      marked = this.#markedRegions(superblock);
      this.#checkTree(superblock.tree);
      layers = superblock.tree.layers.map((layer) => this.#layer(layer, superblock, marked));
    }
    if (superblock !== null) this.#strayFiles();
    return {
      directory: this.#disk.directory,
      identity: superblock?.identity ?? null,
      clean: superblock?.clean ?? null,
      slots: this.#slots,
      markedRegions: marked.size,
      layers,
      problems: this.#problems,
      notes: this.#notes,
      findings: this.#findings,
    };
  }

  #superblock(): Superblock | null {
    const payload = this.#newestSlot(SUPERBLOCK);
    if (payload === null) return null;
    try {
      return decodeSuperblock(payload);
    } catch (error) {
      this.#problem(SUPERBLOCK.fileName, wordsOf(error));
      return null;
    }
  }

  #markedRegions({ identity, clean }: Superblock): ReadonlySet<number> {
    const payload = this.#newestSlot(ACTIVITY_LOG);
    if (payload === null) return new Set();
    try {
      const count = Math.ceil(identity.sizeBytes / REGION_BYTES);
      const { regions } = decodeActivityLog(payload, count);
      if (regions.length > 0) {
        const why = clean ? '' : ', since the last stop was not orderly';
        this.#note(
          ACTIVITY_LOG.fileName,
          `${regions.length} regions of 4 MiB are not verified here: the replica recomputes them when it starts${why}`,
        );
      }
      return new Set(regions);
    } catch (error) {
      this.#problem(ACTIVITY_LOG.fileName, wordsOf(error));
      return new Set();
    }
  }

  /** The payload that a replica would take; null where neither slot is good. */
  #newestSlot(kind: TwoSlotKind): Buffer | null {
    const file = this.#open(kind.fileName, 2 * kind.slotBytes);
    if (file === null) return null;
    let newest: Extract<Slot, { kind: 'valid' }> | null = null;
    let good = 0;
    for (const index of [0, 1] as const) {
      const slot = readSlot(file, kind, index);
      if (slot.kind === 'valid') {
        good += 1;
        if (newest === null || slot.generation > newest.generation) newest = slot;
      } else {
        this.#problem(kind.fileName, `slot ${index} ${wordsOfSlot(slot)}`);
      }
    }
    file.close();
    this.#slots.push({ file: kind.fileName, good, generation: newest?.generation ?? null });
    if (newest === null)
      this.#problem(
        kind.fileName,
        'neither slot is good: the copy cannot be used; where another replica has the volume, remove the directory and it is rebuilt from that one',
      );
    return newest?.payload ?? null;
  }

  #checkTree({ layers }: LayerTree): void {
    const ids = new Set(layers.map(({ id }) => id));
    if (ids.size < layers.length || layers.length === 0)
      this.#problem(SUPERBLOCK.fileName, 'the list of layers is empty or names one twice');
    for (const { id, parent } of layers)
      if (parent !== null && (!ids.has(parent) || parent >= id))
        this.#problem(SUPERBLOCK.fileName, `layer ${id} has no parent ${parent}`);
    for (const { id, complete } of layers)
      if (!complete)
        this.#note(SUPERBLOCK.fileName, `layer ${id} is being filled from another replica`);
  }

  #layer(
    layer: StoredLayer,
    { identity, tree }: Superblock,
    marked: ReadonlySet<number>,
  ): LayerReport {
    const { id, name, data: dataName, meta: metaName, storeTag } = layer;
    const isHead = id === tree.head;
    // A frozen layer keeps the size that the volume had.
    const data = this.#open(dataName, dataFileBytes(identity.sizeBytes), !isHead);
    const meta = this.#open(metaName, metaFileBytes(identity.sizeBytes), !isHead);
    const nothing: LayerCounts = {
      allocatedBlocks: 0,
      verifiedBlocks: 0,
      badBlocks: 0,
      damagedExtents: 0,
      markedExtents: 0,
    };
    const merging = tree.layers.some((each) => each.merging && each.id === layer.parent);
    try {
      if (data === null || meta === null) return { id, name, isHead, ...nothing };
      const check = new LayerCheck({
        dataName,
        metaName,
        data,
        meta,
        storeTag,
        sizeBytes: identity.sizeBytes,
        isMarked: (extent) => isHead && marked.has(Math.floor(extent / EXTENTS_PER_REGION)),
        mayHoldStrays: merging || !layer.complete,
        report: (finding) => this.#add(finding),
      });
      return { id, name, isHead, ...check.run() };
    } finally {
      data?.close();
      meta?.close();
    }
  }

  /** Null, and told, where it is missing or has another size. */
  #open(name: string, bytes: number, mayBeSmaller = false): DiskFile | null {
    this.#known.add(name);
    let file: DiskFile;
    try {
      file = this.#disk.openToRead(name);
    } catch (error) {
      this.#problem(name, `cannot be opened: ${wordsOf(error)}`);
      return null;
    }
    const found = file.size();
    if (found === bytes || (mayBeSmaller && found < bytes)) return file;
    this.#problem(name, `has ${found} bytes instead of ${bytes}`);
    file.close();
    return null;
  }

  #strayFiles(): void {
    for (const name of this.#disk.names())
      if (!this.#known.has(name)) this.#note(name, 'does not belong to the copy; nothing uses it');
  }

  #problem(place: string, message: string): void {
    this.#add({ severity: 'problem', place, message, offsetBytes: null });
  }

  #note(place: string, message: string): void {
    this.#add({ severity: 'note', place, message, offsetBytes: null });
  }

  #add(finding: Finding): void {
    if (finding.severity === 'problem') this.#problems += 1;
    else this.#notes += 1;
    if (this.#findings.length < MAX_FINDINGS) this.#findings.push(finding);
  }
}

function wordsOfSlot(slot: Exclude<Slot, { kind: 'valid' }>): string {
  switch (slot.kind) {
    case 'damaged':
      return 'does not pass its checksum';
    case 'unreadable':
      return `cannot be read: ${slot.cause.message}`;
    case 'too-new':
      return `has format ${slot.format}, of a later version of OpenEBS`;
  }
}
