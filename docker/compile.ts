/**
 * Keeps what V8 makes of the sources in NODE_COMPILE_CACHE: a daemon starts in half the time, and a
 * root file system that is read-only could not keep it later.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync } from 'node:fs';

const MAINS = [
  'replica/src/main.ts',
  'replica/src/remove-main.ts',
  'target/src/main.ts',
  'provisioner/src/kubernetes-main.ts',
];

const cache = process.env['NODE_COMPILE_CACHE'];
if (cache === undefined) throw new Error('NODE_COMPILE_CACHE names no folder');
if (!existsSync(cache)) {
  mkdirSync(cache);
  // Everyone may add a cache.
  chmodSync(cache, 0o1777);
}
for (const main of MAINS) {
  const { status, stderr } = spawnSync(process.execPath, [main, '--help'], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${main} --help ended with ${status}:\n${stderr}`);
}
