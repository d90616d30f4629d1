import { readFile } from 'node:fs/promises';

export const ADMIN_TOKEN_FILE = 'token';
export const READ_ONLY_TOKEN_FILE = 'token-read-only';

/** Null where there is none. */
export async function readTokenFile(path: string): Promise<string | null> {
  try {
    const token = (await readFile(path, 'utf8')).trim();
    return token === '' ? null : token;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}
