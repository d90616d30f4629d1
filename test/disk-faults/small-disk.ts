import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const PIECE_BYTES = 64 * 1024;

/** A file system of its own, in memory, that can be filled up and emptied again. Needs root. */
export class SmallDisk {
  readonly path: string;
  readonly #ballast: string;

  constructor(path: string, sizeBytes: number) {
    this.path = path;
    this.#ballast = join(path, 'ballast');
    mkdirSync(path, { recursive: true });
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'tmpfs', path]);
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.path);
    return bavail * bsize;
  }

  /** To the last page. */
  fill(): void {
    const file = openSync(this.#ballast, 'a');
    const piece = Buffer.alloc(PIECE_BYTES, 0xbb);
    try {
      for (;;) writeSync(file, piece);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    } finally {
      closeSync(file);
    }
  }

  makeSpace(): void {
    rmSync(this.#ballast);
  }

  unmount(): void {
    execFileSync('umount', ['--lazy', this.path]);
  }
}
