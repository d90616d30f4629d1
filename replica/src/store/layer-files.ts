import { MAX_OPEN_LAYER_FILES } from '../limits.ts';
import { createFile } from './directory.ts';
import type { Disk, DiskFile } from './disk.ts';
import { LAYER_FILE_PATTERN } from './layer-tree.ts';
import type { LayerTree } from './layer-tree.ts';

/** What is read of a file, whichever layer it belongs to. */
export type ReadableFile = Pick<DiskFile, 'read' | 'readCached' | 'readAsync' | 'seekData'>;

/**
 * A file of a frozen layer, opened when it is needed; it may be closed at any time when nothing
 * waits for it.
 */
export class LayerFile implements ReadableFile {
  readonly name: string;
  readonly #files: LayerFiles;
  #file: DiskFile | null = null;
  #pending = 0;
  #gone = false;
  /** Since the last time that a file was looked for to be closed. */
  used = false;

  constructor(name: string, files: LayerFiles) {
    this.name = name;
    this.#files = files;
  }

  /** The file itself, to be used before the next call of anything. */
  get file(): DiskFile {
    this.used = true;
    return (this.#file ??= this.#files.open(this));
  }

  get idle(): boolean {
    return this.#pending === 0;
  }

  read(into: Uint8Array, intoOffset: number, lengthBytes: number, offsetBytes: number): void {
    this.file.read(into, intoOffset, lengthBytes, offsetBytes);
  }

  readCached(
    into: Uint8Array,
    intoOffset: number,
    lengthBytes: number,
    offsetBytes: number,
  ): number {
    return this.file.readCached(into, intoOffset, lengthBytes, offsetBytes);
  }

  readAsync(
    into: Uint8Array,
    intoOffset: number,
    lengthBytes: number,
    offsetBytes: number,
    done: (error: Error | null) => void,
  ): void {
    this.#pending += 1;
    this.file.readAsync(into, intoOffset, lengthBytes, offsetBytes, (error) => {
      this.#ended();
      done(error);
    });
  }

  sync(done: (error: Error | null) => void): void {
    this.#pending += 1;
    this.file.sync((error) => {
      this.#ended();
      done(error);
    });
  }

  seekData(offsetBytes: number): number | null {
    return this.file.seekData(offsetBytes);
  }

  seekHole(offsetBytes: number): number | null {
    return this.file.seekHole(offsetBytes);
  }

  /** The layer is gone, or the store is closed. */
  retire(): void {
    this.#gone = true;
    if (this.idle) this.close();
  }

  close(): void {
    if (this.#file === null) return;
    this.#files.closed(this);
    this.#file.close();
    this.#file = null;
  }

  #ended(): void {
    this.#pending -= 1;
    if (this.#gone && this.idle) this.close();
  }
}

/** The files of the frozen layers of a copy: hundreds, of which few are open. */
export class LayerFiles {
  readonly disk: Disk;
  readonly #files = new Map<string, LayerFile>();
  readonly #open = new Set<LayerFile>();

  constructor(disk: Disk) {
    this.disk = disk;
  }

  get openCount(): number {
    return this.#open.size;
  }

  get(name: string): LayerFile {
    let file = this.#files.get(name);
    if (file === undefined) {
      file = new LayerFile(name, this);
      this.#files.set(name, file);
    }
    return file;
  }

  /** Makes an empty file of this size, durable but for its name. */
  create(name: string, bytes: number): void {
    this.retire(name);
    if (this.disk.exists(name)) this.disk.remove(name);
    createFile(this.disk, name, bytes);
  }

  retire(name: string): void {
    this.#files.get(name)?.retire();
    this.#files.delete(name);
  }

  /** Removes the files of layers that are not in the tree: merged, deleted, or never finished. */
  removeStrays(tree: LayerTree): void {
    const known = new Set(tree.layers.flatMap(({ data, meta }) => [data, meta]));
    for (const name of this.disk.list()) {
      if (!LAYER_FILE_PATTERN.test(name) || known.has(name)) continue;
      this.retire(name);
      this.disk.remove(name);
    }
  }

  close(): void {
    for (const name of [...this.#files.keys()]) this.retire(name);
  }

  /** For LayerFile: closes others where too many are open. */
  open(file: LayerFile): DiskFile {
    for (let round = 0; round < 2 && this.#open.size >= MAX_OPEN_LAYER_FILES; round += 1)
      for (const other of this.#open) {
        if (this.#open.size < MAX_OPEN_LAYER_FILES) break;
        if (!other.idle) continue;
        if (other.used) other.used = false;
        else other.close();
      }
    this.#open.add(file);
    return this.disk.open(file.name);
  }

  closed(file: LayerFile): void {
    this.#open.delete(file);
  }
}
