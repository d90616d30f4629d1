import type { Disk, DiskFile } from './disk.ts';
import { systemError } from './system-error.ts';

const PAGE = 4096;
const SECTOR = 512;
const EIO = 5;
const ENOENT = 2;
const EXDEV = 18;
const ENOSPC = 28;

type Content = Map<number, Uint8Array>;

interface FileState {
  links: number;
  sizeBytes: number;
  /** What survives a loss of power for certain. A page that is missing is a hole. */
  durable: Content;
  /** What a reader sees. */
  current: Content;
  /** Pages whose current content may not be durable. */
  dirty: Set<number>;
  /** Holes for which there is space. */
  reserved: Set<number>;
}

/**
 * The next call of an operation on a file of this name fails with the error after `allowBytes`
 * bytes were written.
 */
export interface PlannedFailure {
  readonly fileName: string;
  readonly operation: 'write' | 'read' | 'sync' | 'punch';
  readonly errno: number;
  readonly allowBytes?: number;
}

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
  readonly #rotten: {
    readonly file: FileState;
    readonly page: number;
    readonly rotten: Uint8Array;
    readonly content: Uint8Array;
  }[] = [];
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
  rot(name: string, offsetBytes: number): boolean {
    const file = this.#files.get(name);
    const page = Math.floor(offsetBytes / PAGE);
    const content = file?.current.get(page);
    if (file === undefined || content === undefined) return false;
    const rotten = Uint8Array.from(content);
    const at = offsetBytes % PAGE;
    rotten[at] = (rotten[at] ?? 0) ^ 0x40;
    file.current.set(page, rotten);
    if (!file.dirty.has(page)) file.durable.set(page, rotten);
    this.#rotten.push({ file, page, rotten, content });
    return true;
  }

  /** What rotted and was not written since is as it was. */
  undoRot(): void {
    for (const { file, page, rotten, content } of this.#rotten.splice(0)) {
      if (file.current.get(page) === rotten) file.current.set(page, content);
      if (file.durable.get(page) === rotten) file.durable.set(page, content);
    }
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
    const content = { durable: new Map(), current: new Map(), dirty: new Set<number>() };
    const file = { links: 1, sizeBytes: 0, reserved: new Set<number>(), ...content };
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

interface FileContext {
  readonly random: () => number;
  readonly alive: () => boolean;
  readonly later: (callback: () => void) => void;
  readonly isFull: () => boolean;
  readonly syncTurns: () => number;
  readonly beforeChange: () => void;
  readonly failure: (operation: PlannedFailure['operation']) => PlannedFailure | null;
}

class SimulatedFile implements DiskFile {
  readonly #file: FileState;
  readonly #context: FileContext;

  constructor(file: FileState, context: FileContext) {
    this.#file = file;
    this.#context = context;
  }

  write(chunk: Uint8Array, offsetBytes: number): void {
    this.#context.beforeChange();
    this.#checkAlive();
    const failure = this.#context.failure('write');
    const lengthBytes = Math.min(failure?.allowBytes ?? (failure ? 0 : Infinity), chunk.length);
    for (let at = 0; at < lengthBytes;) {
      const position = offsetBytes + at;
      const page = Math.floor(position / PAGE);
      const inPage = position - page * PAGE;
      const bytes = Math.min(PAGE - inPage, lengthBytes - at);
      if (!this.#hasRoom(page)) throw systemError('write', ENOSPC);
      // Copied on write, because the durable content may be the same page.
      const before = bytes === PAGE ? undefined : this.#file.current.get(page);
      const content = before?.slice() ?? new Uint8Array(PAGE);
      content.set(chunk.subarray(at, at + bytes), inPage);
      this.#file.current.set(page, content);
      this.#file.dirty.add(page);
      at += bytes;
    }
    this.#file.sizeBytes = Math.max(this.#file.sizeBytes, offsetBytes + lengthBytes);
    if (failure !== null) throw systemError('write', failure.errno);
  }

  writeChunks(chunks: readonly Uint8Array[], _lengthBytes: number, offsetBytes: number): void {
    let at = offsetBytes;
    for (const chunk of chunks) {
      this.write(chunk, at);
      at += chunk.length;
    }
  }

  read(into: Uint8Array, intoOffset: number, lengthBytes: number, offsetBytes: number): void {
    this.#checkAlive();
    const failure = this.#context.failure('read');
    if (failure !== null) throw systemError('read', failure.errno);
    for (let at = 0; at < lengthBytes;) {
      const position = offsetBytes + at;
      const page = Math.floor(position / PAGE);
      const inPage = position - page * PAGE;
      const bytes = Math.min(PAGE - inPage, lengthBytes - at);
      const content = this.#file.current.get(page);
      const start = intoOffset + at;
      if (content === undefined) into.fill(0, start, start + bytes);
      else into.set(content.subarray(inPage, inPage + bytes), start);
      at += bytes;
    }
  }

  readCached(
    into: Uint8Array,
    intoOffset: number,
    lengthBytes: number,
    offsetBytes: number,
  ): number {
    const pages = Math.ceil(lengthBytes / PAGE);
    const cached =
      this.#context.random() < 0.5 ? pages : Math.floor(this.#context.random() * pages);
    const bytes = Math.min(lengthBytes, cached * PAGE);
    if (bytes > 0) this.read(into, intoOffset, bytes, offsetBytes);
    return bytes;
  }

  readAsync(
    into: Uint8Array,
    intoOffset: number,
    lengthBytes: number,
    offsetBytes: number,
    done: (error: Error | null) => void,
  ): void {
    const early = this.#context.random() < 0.5;
    if (early) this.read(into, intoOffset, lengthBytes, offsetBytes);
    this.#context.later(() => {
      if (!this.#context.alive()) return;
      let error: Error | null = null;
      try {
        if (!early) this.read(into, intoOffset, lengthBytes, offsetBytes);
      } catch (thrown) {
        error = thrown as Error;
      }
      done(error);
    });
  }

  sync(done: (error: Error | null) => void): void {
    this.#context.beforeChange();
    const synced = this.#collect();
    let turns = this.#context.syncTurns();
    const finish = (): void => {
      if (!this.#context.alive()) return;
      if (turns-- > 0) {
        this.#context.later(finish);
        return;
      }
      const failure = this.#context.failure('sync');
      if (failure === null) this.#settle(synced);
      done(failure === null ? null : systemError('fdatasync', failure.errno));
    };
    this.#context.later(finish);
  }

  syncNow(): void {
    this.#checkAlive();
    this.#settle(this.#collect());
  }

  #collect(): Map<number, Uint8Array | undefined> {
    const pages = new Map<number, Uint8Array | undefined>();
    for (const page of this.#file.dirty) pages.set(page, this.#file.current.get(page));
    return pages;
  }

  #settle(pages: Map<number, Uint8Array | undefined>): void {
    for (const [page, content] of pages) {
      if (content === undefined) this.#file.durable.delete(page);
      else this.#file.durable.set(page, content);
      if (this.#file.current.get(page) === content) this.#file.dirty.delete(page);
    }
  }

  reserve(offsetBytes: number, lengthBytes: number): void {
    this.#checkAlive();
    for (let at = offsetBytes; at < offsetBytes + lengthBytes; at += PAGE) {
      const page = Math.floor(at / PAGE);
      if (!this.#hasRoom(page)) throw systemError('fallocate', ENOSPC);
      this.#file.reserved.add(page);
    }
  }

  #hasRoom(page: number): boolean {
    return !this.#context.isFull() || this.#file.current.has(page) || this.#file.reserved.has(page);
  }

  punchHole(offsetBytes: number, lengthBytes: number): boolean {
    this.#context.beforeChange();
    this.#checkAlive();
    const failure = this.#context.failure('punch');
    if (failure !== null) throw systemError('fallocate', failure.errno);
    for (let at = offsetBytes; at < offsetBytes + lengthBytes; at += PAGE) {
      const page = at / PAGE;
      this.#file.reserved.delete(page);
      if (this.#file.current.delete(page)) this.#file.dirty.add(page);
    }
    return true;
  }

  seekData(offsetBytes: number): number | null {
    let found: number | null = null;
    for (const page of this.#file.current.keys()) {
      const start = Math.max(page * PAGE, offsetBytes);
      if (page * PAGE + PAGE > offsetBytes && (found === null || start < found)) found = start;
    }
    return found !== null && found < this.#file.sizeBytes ? found : null;
  }

  seekHole(offsetBytes: number): number | null {
    if (offsetBytes >= this.#file.sizeBytes) return null;
    let page = Math.floor(offsetBytes / PAGE);
    if (!this.#file.current.has(page)) return offsetBytes;
    while (this.#file.current.has(page)) page += 1;
    return Math.min(page * PAGE, this.#file.sizeBytes);
  }

  size(): number {
    return this.#file.sizeBytes;
  }

  truncate(sizeBytes: number): void {
    this.#file.sizeBytes = sizeBytes;
  }

  links(): number {
    return this.#file.links;
  }

  allocatedBytes(): number {
    return this.#file.current.size * PAGE;
  }

  close(): void {
    // Nothing to give back.
  }

  #checkAlive(): void {
    if (!this.#context.alive()) throw systemError('simulated disk', EIO);
  }
}
