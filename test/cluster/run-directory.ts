import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const RUNS = join(homedir(), '.cache', 'openebs-test', 'runs');

/**
 * A directory of this process's own on a disk: images of containers are too large for a /tmp in
 * memory. What processes left behind that were killed goes at this occasion.
 */
export const runDirectory = (): string => {
  mkdirSync(RUNS, { recursive: true });
  for (const name of readdirSync(RUNS)) {
    const owner = name.split('-')[0] ?? '';
    if (existsSync(`/proc/${owner}`)) continue;
    rmSync(join(RUNS, name), { recursive: true, force: true });
  }
  return mkdtempSync(join(RUNS, `${process.pid}-`));
};
