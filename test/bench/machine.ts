import { execFileSync } from 'node:child_process';
import { cpus, release, totalmem } from 'node:os';

/** The facts without which a figure says nothing. */
export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryGib: number;
  readonly kernel: string;
  readonly node: string;
  readonly tgt: string;
  /** Of the directory that holds the volumes. */
  readonly fileSystem: string;
}

export function describeMachine(directory: string): Machine {
  const [cpu] = cpus();
  return {
    processor: cpu?.model ?? 'unknown',
    cores: cpus().length,
    memoryGib: Math.round(totalmem() / 1024 ** 3),
    kernel: release(),
    node: process.version,
    tgt: said('dpkg-query', ['-W', '-f', '${Version}', 'tgt']),
    fileSystem: said('stat', ['-f', '-c', '%T', directory]),
  };
}

function said(command: string, args: readonly string[]): string {
  try {
    return execFileSync(command, args, { encoding: 'utf8' }).trim();
  } catch {
    return 'unknown';
  }
}
