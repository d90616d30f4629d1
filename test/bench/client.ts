import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { REPOSITORY } from '../support/daemons.ts';

/** The load generator (client.c), compiled once into the cache, and one run of it. */

export interface ClientRun {
  readonly port: number;
  readonly target: string;
  readonly lun: number;
  /**
   * `fill` writes the working set once, in order; `flush` waits for a SYNCHRONIZE CACHE after every
   * eighth write.
   */
  readonly mode: 'read' | 'write' | 'mix' | 'flush' | 'fill';
  readonly blockBytes: number;
  readonly depth: number;
  readonly sessions: number;
  readonly seconds: number;
  readonly seed: number;
  readonly workingSetBytes: number;
}

/** Latencies in microseconds. */
export interface ClientResult {
  readonly operations: number;
  readonly seconds: number;
  readonly iops: number;
  readonly bytesPerSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

const SOURCE = join(import.meta.dirname, 'client.c');
const BINARY = join(REPOSITORY, '.cache', 'bench-client');

export function compileClient(): void {
  const compiled = statSync(BINARY, { throwIfNoEntry: false });
  if (compiled !== undefined && compiled.mtimeMs > statSync(SOURCE).mtimeMs) return;
  mkdirSync(join(REPOSITORY, '.cache'), { recursive: true });
  const scratch = `${BINARY}.${process.pid}`;
  execFileSync('gcc', ['-O2', '-Wall', '-Wextra', '-o', scratch, SOURCE], { stdio: 'inherit' });
  renameSync(scratch, BINARY);
}

export async function runClient(run: ClientRun): Promise<ClientResult> {
  const options = {
    port: run.port,
    target: run.target,
    lun: run.lun,
    mode: run.mode,
    block: run.blockBytes,
    depth: run.depth,
    sessions: run.sessions,
    seconds: run.seconds,
    seed: run.seed,
    'working-set': run.workingSetBytes,
  };
  const { stdout } = await promisify(execFile)(
    BINARY,
    Object.entries(options).flatMap(([key, value]) => [`--${key}`, String(value)]),
  );
  return JSON.parse(stdout) as ClientResult;
}
