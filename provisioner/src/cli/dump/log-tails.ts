import { closeSync, fstatSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';

/** Of each file: what happened last is what is asked for. */
export const MAX_TAIL_BYTES = 1024 ** 2;

export interface LogTail {
  /** Below the directory of logs. */
  readonly path: string;
  readonly text: string;
}

/** The ends of all logs below a directory, from a whole line on. Throws where it cannot be read. */
export function logTails(directory: string, maxBytes = MAX_TAIL_BYTES): readonly LogTail[] {
  const entries = readdirSync(directory, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map((file) => ({ path: file.slice(directory.length + 1), text: tailOf(file, maxBytes) }));
}

function tailOf(file: string, maxBytes: number): string {
  const fd = openSync(file, 'r');
  try {
    const { size } = fstatSync(fd);
    const tail = Buffer.alloc(Math.min(size, maxBytes));
    const read = readSync(fd, tail, 0, tail.length, size - tail.length);
    const text = tail.subarray(0, read).toString();
    return size > maxBytes ? text.slice(text.indexOf('\n') + 1) : text;
  } finally {
    closeSync(fd);
  }
}
