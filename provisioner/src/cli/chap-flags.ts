import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { ChapBody } from '../chap.ts';
import { CliFailure, EXIT } from './failure.ts';

export interface ChapFlags {
  readonly chapUser?: string;
  readonly chapSecretFile?: string;
  readonly mutualChapUser?: string;
  readonly mutualChapSecretFile?: string;
}

/** Secrets come from files: a command line is for everybody to read. */
export function addChapFlags(command: Command): Command {
  return command
    .option('--chap-user <name>', 'initiators have to prove that they are this user')
    .option('--chap-secret-file <path>', 'file with the secret, 12 to 255 bytes')
    .option('--mutual-chap-user <name>', 'the volume proves itself as this user')
    .option('--mutual-chap-secret-file <path>', 'file with the secret of that one, another one');
}

/** Null where none was given. */
export function chapBody(flags: ChapFlags): ChapBody | null {
  const { chapUser, chapSecretFile, mutualChapUser, mutualChapSecretFile } = flags;
  const given = Object.values({ chapUser, chapSecretFile, mutualChapUser, mutualChapSecretFile });
  if (given.every((each) => each === undefined)) return null;
  if (chapUser === undefined || chapSecretFile === undefined) {
    throw new CliFailure(EXIT.usage, '--chap-user and --chap-secret-file go together', {
      next: 'give both: who logs in, and a file with what that one has to know',
    });
  }
  return {
    user: chapUser,
    secret: secretIn(chapSecretFile),
    ...(mutualChapUser === undefined ? {} : { mutualUser: mutualChapUser }),
    ...(mutualChapSecretFile === undefined ? {} : { mutualSecret: secretIn(mutualChapSecretFile) }),
  };
}

function secretIn(file: string): string {
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    throw new CliFailure(EXIT.usage, `the secret cannot be read: ${(error as Error).message}`, {
      next: `write it to a file that you can read, then name that one`,
      cause: error,
    });
  }
}
