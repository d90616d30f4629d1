import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..', '..');
/** What the simulator stands for. */
const PROTOCOL = ['target/src/replicator', 'replica/src/server', 'replica/src/store'];

/** Runs the simulator in a process of its own, and prints what of the protocol it has reached. */
export const runCovered = (args: readonly string[]): number => {
  const directory = mkdtempSync(join(tmpdir(), 'simulate-coverage-'));
  const include = PROTOCOL.flatMap((folder) => ['--include', `${folder}/*.ts`]);
  try {
    const { status } = spawnSync(
      process.execPath,
      [
        'node_modules/c8/bin/c8.js',
        ...['--reporter', 'text', '--temp-directory', directory],
        ...include,
        ...['--exclude', '**/*.test.ts', '--exclude', '**/*.test-support.ts'],
        ...['--exclude', '**/simulated-*.ts'],
        process.execPath,
        'test/simulator/main.ts',
        ...args,
      ],
      { cwd: ROOT, stdio: 'inherit' },
    );
    return status ?? 1;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
};
