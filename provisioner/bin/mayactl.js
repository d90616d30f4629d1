#!/usr/bin/env node
// Launcher: an older Node.js on the machine only starts the one that `npm ci` brought.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url));
const bundled = fileURLToPath(new URL('../../node_modules/.bin/node', import.meta.url));
const runtime = existsSync(bundled) ? bundled : process.execPath;
const { status, signal } = spawnSync(runtime, [main, ...process.argv.slice(2)], {
  stdio: 'inherit',
});
process.exit(signal === null ? (status ?? 1) : 1);
