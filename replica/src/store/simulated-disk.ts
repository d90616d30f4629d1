import type { Disk, DiskFile } from './disk.ts';
import type { FileState, PlannedFailure } from './simulated-file.ts';
import { PAGE, SimulatedFile } from './simulated-file.ts';
import { systemError } from './system-error.ts';

const SECTOR = 512;
const ENOENT = 2;
const EEXIST = 17;
const EXDEV = 18;

/**
 * A disk in memory that can lose power: each page that was not synced keeps its new content, its
 * old content, or a mixture by sectors. All chance comes from `random` (0 <= x < 1), so that a run
 * can be repeated.
 */
export class SimulatedDisk implements Disk {
  readonly directory = 'simulated';
  /** The other directories that there are. */
  readonly siblings = new Map<string, SimulatedDisk>();
  readonly #random: () => number;
  readonly #files = new Map<string, FileState>();
  #locked = false;
  #boot = 1;
  /** Handles of an earlier life are dead. */
  #life = 1;
  #failures: PlannedFailure[] = [];
  /** No room for pages that are not there yet. */
  full = false;
  /** A sync of the file of this name takes so many turns more than others. */
  slowSync: { readonly fileName: string; readonly turns: number } | null = null;
  /** Called before each write, sync, punch and rename: the moment in which a machine may stop. */
  beforeChange: (() => void) | null = null;
  readonly #later: (callback: () => void) => void;

  /** `later` calls back when the disk has done what was begun: in a later turn, as a rule. */
  constructor(random: () => number, later: (callback: () => void) => void = setImmediate) {
    this.#random = random;
    this.#later = later;
  }

  failNext(failure: PlannedFailure): void {
    this.#failures.push(failure);
  }

  forgetFailures(): void {
    this.#failures = [];
  }

  /** A byte of the file changes by itself, on the disk and in the cache. False in a hole. */
  spoil(name: string, offsetBytes: number, zeroedBytes = 0): boolean {
    const file = this.#files.get(name);
    const page = Math.floor(offsetBytes / PAGE);
    const content = file?.current.get(page);
    if (file === undefined || content === undefined) return false;
    const rotten = Uint8Array.from(content);
    const at = offsetBytes % PAGE;
    if (zeroedBytes === 0) rotten[at] = (rotten[at] ?? 0) ^ 0x40;
    else rotten.fill(0, at, at + zeroedBytes);
    file.current.set(page, rotten);
    file.fresh.delete(page);
    if (!file.dirty.has(page)) file.durable.set(page, rotten);
    file.rot.push({ page, rotten, content });
    return true;
  }

  /** What rotted in these files and was not written since is as it was. */
  undoRot(isMeant: (name: string) => boolean = () => true): void {
    for (const [name, file] of this.#files) {
      if (!isMeant(name)) continue;
      for (const { page, rotten, content } of file.rot) {
        if (file.current.get(page) === rotten) file.current.set(page, content);
        if (file.durable.get(page) === rotten) file.durable.set(page, content);
      }
      file.rot = [];
    }
  }

  /** What rotted and was neither written nor removed since. Pages are of 4 KiB. */
  get rot(): readonly { readonly name: string; readonly page: number }[] {
    return [...this.#files].flatMap(([name, { rot, current }]) =>
      rot
        .filter(({ page, rotten }) => current.get(page) === rotten)
        .map(({ page }) => ({ name, page })),
    );
  }

  /** Whether both directories have this file, under this name. */
  shares(name: string, other: SimulatedDisk): boolean {
    const file = this.#files.get(name);
    return file !== undefined && other.#files.get(name) === file;
  }

  /** How many names the file of this name has. */
  linksOf(name: string): number {
    return this.#files.get(name)?.links ?? 0;
  }

  /** The process dies: the page cache stays. */
  killProcess(): void {
    this.#failures = [];
    this.#life += 1;
    this.#locked = false;
  }

  losePower(): void {
    this.killProcess();
    this.#boot += 1;
    for (const file of this.#files.values()) {
      for (const page of file.dirty) this.#tear(file, page);
      file.dirty.clear();
      file.fresh.clear();
      file.current = new Map(file.durable);
    }
  }

  /** Decides what of an unsynced page reached the disk. */
  #tear(file: FileState, page: number): void {
    const before = file.durable.get(page);
    const after = file.current.get(page);
    const choice = this.#random();
    if (choice < 0.4) return;
    if (choice < 0.8 || before === undefined || after === undefined) {
      if (after === undefined) file.durable.delete(page);
      else file.durable.set(page, after);
      return;
    }
    const mixture = Uint8Array.from(before);
    for (let at = 0; at < PAGE; at += SECTOR)
      if (this.#random() < 0.5) mixture.set(after.subarray(at, at + SECTOR), at);
    file.durable.set(page, mixture);
  }

  exists(name: string): boolean {
    return this.#files.has(name);
  }

  open(name: string): DiskFile {
    const file = this.#files.get(name);
    if (file === undefined) throw systemError('open', ENOENT);
    return this.#handle(name, file);
  }

  create(name: string): DiskFile {
    this.#unlink(name);
    const file: FileState = {
      links: 1,
      sizeBytes: 0,
      durable: new Map(),
      current: new Map(),
      dirty: new Set(),
      fresh: new Set(),
      reserved: new Set(),
      syncs: 0,
      synced: new Map(),
      rot: [],
    };
    this.#files.set(name, file);
    return this.#handle(name, file);
  }

  #handle(name: string, file: FileState): DiskFile {
    const life = this.#life;
    return new SimulatedFile(file, {
      random: this.#random,
      alive: () => life === this.#life,
      later: this.#later,
      isFull: () => this.full,
      syncTurns: () => (this.slowSync?.fileName === name ? this.slowSync.turns : 0),
      beforeChange: () => this.beforeChange?.(),
      failure: (operation) => this.#takeFailure(name, operation),
    });
  }

  #takeFailure(name: string, operation: PlannedFailure['operation']): PlannedFailure | null {
    if (this.#failures.length === 0) return null;
    const at = this.#failures.findIndex(
      (each) => each.fileName === name && each.operation === operation,
    );
    return at < 0 ? null : (this.#failures.splice(at, 1)[0] ?? null);
  }

  rename(from: string, to: string): void {
    const file = this.#files.get(from);
    if (file === undefined) throw systemError('rename', ENOENT);
    this.#files.delete(from);
    this.#unlink(to);
    this.#files.set(to, file);
  }

  remove(name: string): void {
    if (!this.#unlink(name)) throw systemError('unlink', ENOENT);
  }

  #unlink(name: string): boolean {
    const file = this.#files.get(name);
    if (file !== undefined) file.links -= 1;
    return this.#files.delete(name);
  }

  list(): string[] {
    return [...this.#files.keys()];
  }

  sibling(directory: string): SimulatedDisk {
    const sibling = this.siblings.get(directory);
    if (sibling === undefined) throw systemError('open', ENOENT);
    return sibling;
  }

  link(source: Disk, name: string): void {
    if (!(source instanceof SimulatedDisk)) throw systemError('link', EXDEV);
    const file = source.#files.get(name);
    if (file === undefined) throw systemError('link', ENOENT);
    if (this.#files.has(name)) throw systemError('link', EEXIST);
    file.links += 1;
    this.#files.set(name, file);
  }

  syncDirectory(): void {
    // Names are durable at once here; what the store has to survive is the loss of contents.
  }

  lock(): { held: true } | { held: false; holder: string } {
    if (this.#locked) return { held: false, holder: '1' };
    this.#locked = true;
    return { held: true };
  }

  unlock(): void {
    this.#locked = false;
  }

  bootId(): string {
    return `boot-${this.#boot}`;
  }
}
