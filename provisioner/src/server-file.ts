import { readFile, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { replaceFile } from './orchestrator/local/atomic-file.ts';
import { isDataDirectoryLocked } from './orchestrator/local/data-lock.ts';

/**
 * How mayactl finds a system: where its API server answered last. Whether it runs is told by the
 * directory's lock.
 */
export const SERVER_FILE = 'server.json';

export interface ServerFile {
  readonly apiUrl: string;
  readonly pid: number;
  readonly startedAt: string;
}

/** XDG Base Directory Specification: data of a user. */
export function defaultDataDirectory(): string {
  const base = process.env['XDG_DATA_HOME'];
  return join(
    base === undefined || base === '' ? join(homedir(), '.local/share') : base,
    'openebs',
  );
}

/** Null where no system runs, whatever one that was killed has left. */
export async function readServerFile(directory: string): Promise<ServerFile | null> {
  let text: string;
  try {
    if (!(await isDataDirectoryLocked(directory))) return null;
    text = await readFile(join(directory, SERVER_FILE), 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw error;
  }
  try {
    const value = JSON.parse(text) as Partial<ServerFile>;
    const { apiUrl, pid, startedAt } = value;
    if (typeof apiUrl !== 'string' || typeof pid !== 'number') return null;
    return { apiUrl, pid, startedAt: startedAt ?? '' };
  } catch {
    return null;
  }
}

/**
 * On a full disk the file of the last run is written over, which needs no space: mayactl is needed
 * to make some.
 */
export async function writeServerFile(directory: string, server: ServerFile): Promise<void> {
  const path = join(directory, SERVER_FILE);
  const text = `${JSON.stringify(server, null, 2)}\n`;
  try {
    await replaceFile(path, text);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
    const { size } = await stat(path);
    await writeFile(path, text.padEnd(size), { flag: 'r+' });
  }
}
