import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Problem } from '../../problem.ts';
import type { ChapSettings, ChapView } from '../orchestrator.ts';
import { replaceFile } from './atomic-file.ts';
import { controlSend } from './control-client.ts';

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

/** A target that serves has them durable on its replicas when this resolves. Throws Problem. */
export async function sendChap(
  volume: string,
  socket: string,
  chap: ChapSettings | null,
): Promise<void> {
  const answer = await controlSend(socket, 'PUT', '/v1/settings', { body: { chap } }).catch(
    () => null,
  );
  if (answer?.status === 200) return;
  const { detail } = (answer === null ? {} : JSON.parse(answer.body)) as { detail?: string };
  const why = detail ?? 'the target did not answer; it may have done it or not';
  throw new Problem(answer?.status === 400 ? 'chap-invalid' : 'volume-not-ready', why, {
    next: `look, and try again: mayactl volume info ${volume}`,
  });
}
