import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceFile } from '../orchestrator/local/atomic-file.ts';
import { ADMIN_TOKEN_FILE, READ_ONLY_TOKEN_FILE, readTokenFile } from './token-files.ts';

export type Role = 'admin' | 'read-only';

/** Bearer tokens (RFC 6750) of the two roles. */
export interface Tokens {
  readonly admin: string;
  readonly readOnly: string;
}

/** Random at the first start, kept in files that only their owner may read. */
export async function loadTokens(directory: string): Promise<Tokens> {
  return {
    admin: await loadToken(join(directory, ADMIN_TOKEN_FILE)),
    readOnly: await loadToken(join(directory, READ_ONLY_TOKEN_FILE)),
  };
}

/** As they are kept elsewhere, and made there. Rejects where one is missing. */
export async function readTokens(directory: string): Promise<Tokens> {
  const read = async (name: string): Promise<string> => {
    const token = await readTokenFile(join(directory, name));
    if (token !== null) return token;
    throw new Error(`there is no token in ${join(directory, name)}`);
  };
  return { admin: await read(ADMIN_TOKEN_FILE), readOnly: await read(READ_ONLY_TOKEN_FILE) };
}

async function loadToken(path: string): Promise<string> {
  const found = await readTokenFile(path);
  if (found !== null) {
    // A copied or restored directory may have opened it to others.
    await chmod(path, 0o600);
    return found;
  }
  const token = randomBytes(24).toString('base64url');
  await replaceFile(path, `${token}\n`);
  return token;
}

/** The role of an Authorization header; compared in constant time. */
export function roleOf(header: string | undefined, tokens: Tokens): Role | null {
  const given = /^Bearer +([\w~+/.=-]+) *$/i.exec(header ?? '')?.[1];
  if (given === undefined) return null;
  if (same(given, tokens.admin)) return 'admin';
  return same(given, tokens.readOnly) ? 'read-only' : null;
}

function same(a: string, b: string): boolean {
  return timingSafeEqual(digest(a), digest(b));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
