import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MAX_SOCKET_PATH_BYTES } from '../../limits.ts';
import { Problem } from '../../problem.ts';

/** Longest name of a socket in the directory: `/` + 8 of the volume's id + `-5.d.sock`. */
const SOCKET_NAME_BYTES = 24;

/**
 * A short private directory for unix sockets: sun_path holds 107 bytes, which a data directory may
 * exceed. The same data directory always gives the same one. Mode 0700 and ours, or it is refused:
 * /tmp belongs to everybody.
 */
export function openRuntimeDirectory(
  dataDirectory: string,
  candidates: readonly (string | undefined)[] = [process.env['XDG_RUNTIME_DIR'], tmpdir(), '/tmp'],
): string {
  const name = `openebs-${createHash('sha256').update(dataDirectory).digest('hex').slice(0, 12)}`;
  for (const parent of candidates) {
    if (parent === undefined || parent === '') continue;
    const path = join(parent, name);
    if (Buffer.byteLength(path) + SOCKET_NAME_BYTES > MAX_SOCKET_PATH_BYTES) continue;
    try {
      mkdirSync(path, { mode: 0o700 });
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) continue;
    }
    assertPrivate(path);
    return path;
  }
  throw new Problem('permission-denied', 'no directory for unix sockets can be made', {
    next: 'set XDG_RUNTIME_DIR to a short directory that you may write to',
  });
}

function assertPrivate(path: string): void {
  const stat = lstatSync(path);
  const uid = process.getuid?.() ?? 0;
  if (!stat.isDirectory() || stat.uid !== uid || (stat.mode & 0o077) !== 0) {
    throw new Problem(
      'permission-denied',
      `${path} exists and is not a private directory of ours`,
      {
        next: `remove it (rm -r ${path}) and start again`,
      },
    );
  }
}
