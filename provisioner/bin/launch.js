// An older Node.js on the machine only starts the one that `npm ci` brought.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import module from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MIN_NODE = 24;
const bundled = fileURLToPath(new URL('../../node_modules/.bin/node', import.meta.url));

/** Runs a TypeScript main: here where this Node.js can, else with the bundled one. */
export async function launch(main) {
  if (Number.parseInt(process.versions.node, 10) >= MIN_NODE) {
    // Compiled code is kept in the user's own cache; where that cannot be written nothing is lost
    // but time.
    if (process.env.NODE_COMPILE_CACHE === undefined) {
      module.enableCompileCache(
        join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'openebs'),
      );
    }
    await import(new URL(main, import.meta.url).href);
    return;
  }
  if (!existsSync(bundled)) {
    console.error(
      `error: Node.js ${process.versions.node} is too old, ${MIN_NODE} or newer is needed`,
    );
    console.error(
      '  next: npm ci   (brings it for Linux on x64 and arm64; elsewhere: https://nodejs.org)',
    );
    process.exit(1);
  }
  const path = fileURLToPath(new URL(main, import.meta.url));
  const child = spawn(bundled, [path, ...process.argv.slice(2)], { stdio: 'inherit' });
  // The terminal sends Ctrl-C to both; the child decides when it is done.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      if (signal === 'SIGTERM') child.kill(signal);
    });
  }
  child.on('exit', (code, signal) => process.exit(signal === null ? (code ?? 1) : 1));
}
