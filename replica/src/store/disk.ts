/**
 * What a store needs of the operating system: one directory and the files in it. `NodeDisk` is the
 * real one; a simulator brings its own. Errors are thrown, or given to the callback, as node:fs
 * makes them (`code`: ENOSPC, EIO ...).
 */
export interface Disk {
  /** For messages only. */
  readonly directory: string;
  exists(name: string): boolean;
  /** Opens an existing file for reading and writing. */
  open(name: string): DiskFile;
  /** Makes a new file, or empties an old one. */
  create(name: string): DiskFile;
  rename(from: string, to: string): void;
  remove(name: string): void;
  /** The names of all files. */
  list(): readonly string[];
  /** Another directory. */
  sibling(directory: string): Disk;
  /** Gives a file of another directory of the same file system a name here too. */
  link(source: Disk, name: string): void;
  /** Makes creations and renames durable. */
  syncDirectory(): void;
  /** Takes the directory for this process, or tells who has it. */
  lock(): { readonly held: true } | { readonly held: false; readonly holder: string };
  unlock(): void;
  /** Changes with each start of the machine; null where that cannot be known. */
  bootId(): string | null;
}

export interface DiskFile {
  /** Writes all of it or throws; what was written before that stays. */
  write(chunk: Uint8Array, offsetBytes: number): void;
  writeChunks(chunks: readonly Uint8Array[], lengthBytes: number, offsetBytes: number): void;
  /** Reads exactly the length, waiting for the disk; what lies past the end of the file is zero. */
  read(into: Uint8Array, intoOffset: number, lengthBytes: number, offsetBytes: number): void;
  /** Reads what can be had without waiting: the number of bytes, possibly 0. */
  readCached(
    into: Uint8Array,
    intoOffset: number,
    lengthBytes: number,
    offsetBytes: number,
  ): number;
  /** Like read, without making the caller wait. */
  readAsync(
    into: Uint8Array,
    intoOffset: number,
    lengthBytes: number,
    offsetBytes: number,
    done: (error: Error | null) => void,
  ): void;
  sync(done: (error: Error | null) => void): void;
  syncNow(): void;
  /**
   * Makes sure that there is space for the range; it reads as before, and a hole still counts as
   * one. Does nothing where the file system cannot.
   */
  reserve(offsetBytes: number, lengthBytes: number): void;
  /** Makes the range read zero; false where the file system cannot punch holes. */
  punchHole(offsetBytes: number, lengthBytes: number): boolean;
  /** First data at or after the offset, null when there is none. */
  seekData(offsetBytes: number): number | null;
  seekHole(offsetBytes: number): number | null;
  size(): number;
  truncate(sizeBytes: number): void;
  /** How many names the file has, in all directories. */
  links(): number;
  /** Bytes that the file system has given to the file. */
  allocatedBytes(): number;
  close(): void;
}
