import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { firstChapFlags } from './first-chap.ts';
import type { MemberRecord, VolumeRecord } from './record.ts';
import { IQN_PREFIX } from './volume-view.ts';

const REPLICA_MAIN = fileURLToPath(new URL('../../../../replica/src/main.ts', import.meta.url));
const TARGET_MAIN = fileURLToPath(new URL('../../../../target/src/main.ts', import.meta.url));

export interface CommandLine {
  readonly command: string;
  readonly args: readonly string[];
}

export function replicaCommand(
  record: VolumeRecord,
  member: MemberRecord,
  where: { directory: string; listen: string; control: string },
): CommandLine {
  return {
    command: process.execPath,
    args: [
      REPLICA_MAIN,
      ...['--dir', where.directory],
      ...['--volume-id', record.id],
      ...['--replica-id', member.id],
      ...['--size', String(record.sizeBytes)],
      ...['--role', member.role],
      ...['--listen', `unix:${where.listen}`],
      ...['--control', `unix:${where.control}`],
    ],
  };
}

/** Ends when the copy is made: the files of a layer of the copy in `from` get a second name. */
export function cloneCommand(
  record: VolumeRecord,
  member: MemberRecord,
  where: { directory: string; from: string; layer: number },
): CommandLine {
  return {
    command: process.execPath,
    args: [
      ...[REPLICA_MAIN, 'clone'],
      ...['--dir', where.directory],
      ...['--from', where.from],
      ...['--layer', String(where.layer)],
      ...['--volume-id', record.id],
      ...['--replica-id', member.id],
      ...['--size', String(record.sizeBytes)],
    ],
  };
}

export function targetCommand(
  record: VolumeRecord,
  where: { directory: string; replicas: readonly string[]; portal: string; control: string },
): CommandLine {
  return {
    command: process.execPath,
    args: [
      TARGET_MAIN,
      ...['--volume', record.name],
      ...['--volume-id', record.id],
      ...['--size', String(record.sizeBytes)],
      ...where.replicas.flatMap((path) => ['--replica', `unix:${path}`]),
      ...['--iqn', `${IQN_PREFIX}${record.name}`],
      ...['--listen', where.portal],
      ...['--control', `unix:${where.control}`],
      ...firstChapFlags(where.directory, record.firstChap),
    ],
  };
}

/**
 * What the daemons inherit: none of our own OPENEBS_* settings, which are options of theirs too,
 * and a cache of compiled code, without which every start compiles the sources and stays larger in
 * memory.
 */
export function daemonEnvironment(cacheDirectory: string): Record<string, string | undefined> {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('OPENEBS_'));
  return { ...Object.fromEntries(inherited), NODE_COMPILE_CACHE: compileCache(cacheDirectory) };
}

function compileCache(cacheDirectory: string): string {
  return process.env['NODE_COMPILE_CACHE'] ?? join(cacheDirectory, 'compiled');
}

/**
 * Fills the cache before several daemons start at once, and finds out whether they start at all.
 */
export async function warmUp(cacheDirectory: string): Promise<void> {
  mkdirSync(compileCache(cacheDirectory), { recursive: true });
  const env = daemonEnvironment(cacheDirectory);
  await Promise.all(
    [REPLICA_MAIN, TARGET_MAIN].map(
      (main) =>
        new Promise<void>((resolve, reject) => {
          execFile(process.execPath, [main, '--version'], { env }, (error, _, stderr) => {
            if (error === null) resolve();
            else reject(new Error(`${main} does not start: ${stderr.trim() || error.message}`));
          });
        }),
    ),
  );
}
