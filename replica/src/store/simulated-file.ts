import type { DiskFile } from './disk.ts';
import { systemError } from './system-error.ts';

export const PAGE = 4096;
const EIO = 5;
const ENOSPC = 28;

type Content = Map<number, Uint8Array>;

/** A page that has changed by itself, as long as it is this one. */
interface Rot {
  readonly page: number;
  readonly rotten: Uint8Array;
  readonly content: Uint8Array;
}

export interface FileState {
  /** How many names it has, in all directories. */
  links: number;
  sizeBytes: number;
  /** What survives a loss of power for certain. A page that is missing is a hole. */
  durable: Content;
  /** What a reader sees. */
  current: Content;
  /** Pages whose current content may not be durable. */
  dirty: Set<number>;
  /** Dirty pages whose current content nobody else holds: it is changed in place. */
  fresh: Set<number>;
  /** Holes for which there is space. */
  reserved: Set<number>;
  /** Syncs that have begun, and by page the latest of those that have made it durable. */
  syncs: number;
  synced: Map<number, number>;
  rot: Rot[];
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

export interface FileContext {
  readonly random: () => number;
  readonly alive: () => boolean;
  readonly later: (callback: () => void) => void;
  readonly isFull: () => boolean;
  readonly syncTurns: () => number;
  readonly beforeChange: () => void;
  readonly failure: (operation: PlannedFailure['operation']) => PlannedFailure | null;
}

/** What `open` of a simulated disk gives: the file, as long as its process lives. */
export class SimulatedFile implements DiskFile {
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
      const content = this.#changeable(page, bytes === PAGE);
      if (bytes === chunk.length) content.set(chunk, inPage);
      else content.set(chunk.subarray(at, at + bytes), inPage);
      at += bytes;
    }
    this.#file.sizeBytes = Math.max(this.#file.sizeBytes, offsetBytes + lengthBytes);
    if (failure !== null) throw systemError('write', failure.errno);
  }

  /** Copied on write, because the durable content may be the same page. */
  #changeable(page: number, whole: boolean): Uint8Array {
    const { current, dirty, fresh } = this.#file;
    const before = current.get(page);
    if (before !== undefined && fresh.has(page)) return before;
    const content = Buffer.allocUnsafeSlow(PAGE);
    if (!whole) {
      if (before === undefined) content.fill(0);
      else content.set(before);
    }
    current.set(page, content);
    dirty.add(page);
    fresh.add(page);
    return content;
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
    let error: Error | null = null;
    const attempt = (): void => {
      try {
        this.read(into, intoOffset, lengthBytes, offsetBytes);
      } catch (thrown) {
        error = thrown as Error;
      }
    };
    const early = this.#context.random() < 0.5;
    if (early) attempt();
    this.#context.later(() => {
      if (!this.#context.alive()) return;
      if (!early) attempt();
      done(error);
    });
  }

  sync(done: (error: Error | null) => void): void {
    this.#context.beforeChange();
    const synced = this.#collect();
    const turn = ++this.#file.syncs;
    let turns = this.#context.syncTurns();
    const finish = (): void => {
      if (!this.#context.alive()) return;
      if (turns-- > 0) {
        this.#context.later(finish);
        return;
      }
      const failure = this.#context.failure('sync');
      if (failure === null) this.#settle(turn, synced);
      done(failure === null ? null : systemError('fdatasync', failure.errno));
    };
    this.#context.later(finish);
  }

  syncNow(): void {
    this.#checkAlive();
    this.#settle(++this.#file.syncs, this.#collect());
  }

  #collect(): Map<number, Uint8Array | undefined> {
    const pages = new Map<number, Uint8Array | undefined>();
    for (const page of this.#file.dirty) pages.set(page, this.#file.current.get(page));
    this.#file.fresh.clear();
    return pages;
  }

  /** A sync that ends after one that has begun later takes nothing back. */
  #settle(turn: number, pages: Map<number, Uint8Array | undefined>): void {
    const { synced } = this.#file;
    for (const [page, content] of pages) {
      if (turn < (synced.get(page) ?? 0)) continue;
      synced.set(page, turn);
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
      this.#file.fresh.delete(page);
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
