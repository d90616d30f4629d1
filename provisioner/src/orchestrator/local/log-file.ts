import {
  closeSync,
  copyFileSync,
  fstatSync,
  mkdirSync,
  openSync,
  readSync,
  truncateSync,
  statSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { LOG_TAIL_BYTES, MAX_LOG_BYTES } from '../../limits.ts';

/**
 * The log of a child. The child has the file itself as its output: no pipe that could fill up and
 * stall the data path, and nothing breaks when this process dies first.
 */
export class LogFile {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** A descriptor for the child, and where its output begins. */
  openForChild(): { readonly fd: number; readonly startBytes: number } {
    mkdirSync(dirname(this.path), { recursive: true });
    const fd = openSync(this.path, 'a', 0o600);
    return { fd, startBytes: fstatSync(fd).size };
  }

  /** Keeps one older file. Copy and truncate: the child goes on appending to the same file. */
  rotateIfLarge(maxBytes = MAX_LOG_BYTES): boolean {
    if (this.size() <= maxBytes) return false;
    copyFileSync(this.path, `${this.path}.1`);
    truncateSync(this.path, 0);
    return true;
  }

  size(): number {
    return statSync(this.path, { throwIfNoEntry: false })?.size ?? 0;
  }

  /**
   * The last words since `startBytes`: the message of the last error, else the last line. Null when
   * there are none.
   */
  lastWords(startBytes: number): string | null {
    const size = this.size();
    const from = Math.max(Math.min(startBytes, size), size - LOG_TAIL_BYTES);
    if (size === from) return null;
    const buffer = Buffer.alloc(size - from);
    const fd = openSync(this.path, 'r');
    try {
      readSync(fd, buffer, 0, buffer.length, from);
    } finally {
      closeSync(fd);
    }
    return lastWordsOf(buffer.toString());
  }
}

/** Levels of the daemons' JSON lines: words, or pino's numbers. */
const ERROR_LEVEL = 50;

export function lastWordsOf(text: string): string | null {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  let last: string | null = null;
  for (const line of lines.reverse()) {
    const entry = jsonLine(line);
    if (entry === null) {
      const refusal = /^(?:replica|target): ([A-Z_]+): (.+)$/.exec(line);
      if (refusal?.[2] !== undefined) return refusal[2];
      // A stack trace ends with Node's version; its first line is the message.
      const uncaught = /^(?:\w*Error)(?: \[\w+\])?: (.+)$/.exec(line);
      if (uncaught?.[1] !== undefined) return uncaught[1];
      last ??= line.trim();
    } else if (entry.isError) {
      return entry.message;
    }
  }
  return last;
}

function jsonLine(line: string): { message: string; isError: boolean } | null {
  if (!line.startsWith('{')) return null;
  try {
    const entry = JSON.parse(line) as Record<string, unknown>;
    const level = entry['level'];
    const isError =
      typeof level === 'number' ? level >= ERROR_LEVEL : level === 'error' || level === 'fatal';
    const message = typeof entry['msg'] === 'string' ? entry['msg'] : line;
    const { code } = entry;
    return { message: typeof code === 'string' ? `${message} (${code})` : message, isError };
  } catch {
    return null;
  }
}
