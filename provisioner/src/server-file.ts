import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** How mayactl finds a system that runs: written when the API server answers, removed at an orderly stop. */
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

/** Null where no system has announced itself. */
export async function readServerFile(directory: string): Promise<ServerFile | null> {
  let text: string;
  try {
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
