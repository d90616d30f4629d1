import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ChapSettings, ChapView } from '../orchestrator.ts';
import { replaceFile } from './atomic-file.ts';

/**
 * The CHAP settings that a volume is created with lie in files (mode 0600) until its first target
 * has given them to the replicas, which keep them from then on.
 */
const SECRET_FILE = 'chap-secret';
const MUTUAL_SECRET_FILE = 'mutual-chap-secret';

export async function writeFirstChap(directory: string, chap: ChapSettings | null): Promise<void> {
  if (chap === null) return;
  await replaceFile(join(directory, SECRET_FILE), `${chap.secret}\n`);
  if (chap.mutualSecret === null) return;
  await replaceFile(join(directory, MUTUAL_SECRET_FILE), `${chap.mutualSecret}\n`);
}

export async function removeFirstChap(directory: string): Promise<void> {
  for (const name of [SECRET_FILE, MUTUAL_SECRET_FILE]) {
    await rm(join(directory, name), { force: true });
  }
}

/** The replicas keep it now, and say from here on who may log in. Tried again where it fails. */
export async function forgetFirstChap(
  directory: string,
  change: () => Promise<void>,
): Promise<void> {
  try {
    await change();
    await removeFirstChap(directory);
  } catch {
    return;
  }
}

/** For the target's command line. */
export function firstChapFlags(directory: string, chap: ChapView | null): readonly string[] {
  if (chap === null) return [];
  const { user, mutualUser } = chap;
  return [
    ...['--chap-user', user],
    ...['--chap-secret-file', join(directory, SECRET_FILE)],
    ...(mutualUser === null
      ? []
      : [
          ...['--mutual-chap-user', mutualUser],
          ...['--mutual-chap-secret-file', join(directory, MUTUAL_SECRET_FILE)],
        ]),
  ];
}
