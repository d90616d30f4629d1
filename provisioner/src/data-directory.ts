import { access, constants, readFile, realpath, stat, statfs } from 'node:fs/promises';
import type { Server } from 'node:net';
import { join, resolve } from 'node:path';
import { MIN_FREE_BYTES } from './limits.ts';
import { makeDirectory } from './make-directory.ts';
import { replaceFile } from './orchestrator/local/atomic-file.ts';
import { DataDirectoryBusyError, lockDataDirectory } from './orchestrator/local/data-lock.ts';
import { Problem, fileProblem } from './problem.ts';
import { readServerFile } from './server-file.ts';
import { formatSize } from './size.ts';

/**
 *   DIR/system.json                 format, since when
 *   DIR/server.json                 where the API server answers
 *   DIR/token, token-read-only      bearer tokens
 *   DIR/volumes/NAME/volume.json    the record
 *   DIR/volumes/NAME/replica-N/     one copy of the data
 *   DIR/logs/NAME/PROCESS.log       what the daemons say
 *   DIR/run                         processes of the last run
 *   DIR/cache                       compiled code
 */
export class DataDirectory {
  readonly path: string;
  readonly isNew: boolean;
  readonly #lock: Server;

  private constructor(path: string, isNew: boolean, lock: Server) {
    this.path = path;
    this.isNew = isNew;
    this.#lock = lock;
  }

  /** Makes it where it is missing, and takes it for this process. Throws Problem in words. */
  static async open(given: string): Promise<DataDirectory> {
    const wanted = resolve(given);
    try {
      await makeDirectory(wanted);
      const path = await realpath(wanted);
      if (!(await stat(path)).isDirectory()) throw noDirectory(wanted);
      await access(path, constants.W_OK | constants.X_OK);
      const lock = await lockDataDirectory(path);
      const isNew = await prepare(path);
      return new DataDirectory(path, isNew, lock);
    } catch (error) {
      if (error instanceof DataDirectoryBusyError) throw await busyProblem(wanted, error);
      throw problemOf(error, wanted);
    }
  }

  get cacheDirectory(): string {
    return join(this.path, 'cache');
  }

  get markDirectory(): string {
    return join(this.path, 'run');
  }

  close(): void {
    this.#lock.close();
  }
}

const SYSTEM_FILE = 'system.json';
const SYSTEM_FORMAT = 1;

async function prepare(path: string): Promise<boolean> {
  const isNew = await isUnused(path);
  for (const name of ['volumes', 'logs', 'run', 'cache']) {
    await makeDirectory(join(path, name));
  }
  return isNew;
}

async function isUnused(path: string): Promise<boolean> {
  const file = join(path, SYSTEM_FILE);
  let found: string;
  try {
    found = await readFile(file, 'utf8');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    // Volumes that are there are served also where the disk is full: they can be read, and deleted.
    await requireSpace(path);
    const system = { formatVersion: SYSTEM_FORMAT, createdAt: new Date().toISOString() };
    await replaceFile(file, `${JSON.stringify(system, null, 2)}\n`);
    return true;
  }
  const format = formatOf(found);
  if (format !== null && format > SYSTEM_FORMAT) {
    throw new Problem(
      'record-damaged',
      `a newer OpenEBS wrote ${path} (format ${format}, this one knows ${SYSTEM_FORMAT})`,
      { next: 'start the newer version, or use another data directory (--data-dir)' },
    );
  }
  return false;
}

/** Null where it is damaged: it holds nothing that the volumes need. */
function formatOf(text: string): number | null {
  try {
    const { formatVersion } = JSON.parse(text) as { formatVersion?: unknown };
    return typeof formatVersion === 'number' ? formatVersion : null;
  } catch {
    return null;
  }
}

async function requireSpace(path: string): Promise<void> {
  const { bsize, bavail } = await statfs(path);
  if (bsize * bavail >= MIN_FREE_BYTES) return;
  throw new Problem('no-space', `only ${formatSize(bsize * bavail)} are free in ${path}`, {
    next: `free at least ${formatSize(MIN_FREE_BYTES)} (df -h ${path}), or use another --data-dir`,
  });
}

async function busyProblem(path: string, cause: Error): Promise<Problem> {
  const server = await readServerFile(path).catch(() => null);
  const who = server === null ? '' : ` (process ${server.pid}, ${server.apiUrl})`;
  return new Problem('volume-in-use', `OpenEBS runs in ${path} already${who}`, {
    next:
      server === null
        ? 'use that one, or start this one with another --data-dir'
        : `use it (mayactl --data-dir ${path} status), or stop it (kill ${server.pid})`,
    cause,
  });
}

function problemOf(error: unknown, path: string): unknown {
  if (error instanceof Problem) return error;
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ENOENT') {
    return new Problem(
      'bad-request',
      `${path} cannot be made: its file system has no room for directories`,
      {
        next: 'use another data directory (--data-dir)',
        cause: error,
      },
    );
  }
  if (code === 'ENOTDIR') return noDirectory(path);
  return fileProblem(error, path) ?? error;
}

function noDirectory(path: string): Problem {
  return new Problem('bad-request', `${path} is not a directory, or something above it is not`, {
    next: 'name a directory with --data-dir; it is made where it is missing',
  });
}
