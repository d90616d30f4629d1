/** Other people's programs, run to their end: libiscsi's tools, QEMU's, mkfs and the like. */
import { spawn } from 'node:child_process';

import { findCommand } from './debian.ts';

export interface ToolResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ToolOptions {
  readonly timeoutMs?: number;
  readonly cwd?: string;
}

const TIMEOUT_MS = 60_000;

export class ToolError extends Error {
  override readonly name = 'ToolError';
  readonly result: ToolResult;

  constructor(message: string, result: ToolResult) {
    super(`${message}\n${result.stdout}${result.stderr}`);
    this.result = result;
  }
}

/**
 * Runs it and returns what it said, whatever its exit code; rejects only when it does not end in
 * time.
 */
export async function tryTool(
  name: string,
  args: readonly string[],
  { timeoutMs = TIMEOUT_MS, cwd = process.cwd() }: ToolOptions = {},
): Promise<ToolResult> {
  const child = spawn(findCommand(name) ?? name, args, {
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    // Their messages are compared.
    env: { ...process.env, LC_ALL: 'C' },
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  const limit = AbortSignal.timeout(timeoutMs);
  const kill = (): void => void child.kill('SIGKILL');
  limit.addEventListener('abort', kill);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  limit.removeEventListener('abort', kill);
  const result = {
    code,
    stdout: Buffer.concat(stdout).toString(),
    stderr: Buffer.concat(stderr).toString(),
  };
  if (limit.aborted)
    throw new ToolError(`${name} ${args.join(' ')} did not end within ${timeoutMs} ms`, result);
  return result;
}

/** Runs it and rejects, with all that it said, when it fails. */
export async function runTool(
  name: string,
  args: readonly string[],
  options?: ToolOptions,
): Promise<ToolResult> {
  const result = await tryTool(name, args, options);
  if (result.code !== 0)
    throw new ToolError(
      `${name} ${args.join(' ')} ended with ${result.code ?? 'a signal'}`,
      result,
    );
  return result;
}
