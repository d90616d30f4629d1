import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { LEFTOVER_WAIT_MS } from '../../limits.ts';

/**
 * Daemons of a system that was killed end by themselves (their standard input ends), after they
 * have flushed. Until then they hold locks and ports, so the next system waits for them. A process
 * is known by its id and its start time: the id alone may belong to somebody else by now.
 */
interface ProcessMark {
  readonly pid: number;
  readonly startTicks: string;
}

/**
 * Field 22 of /proc/PID/stat; the name before it may hold spaces and brackets. Null: no such
 * process.
 */
function startTicksOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // A zombie holds nothing any more.
    return fields[0] === 'Z' ? null : (fields[19] ?? null);
  } catch {
    return null;
  }
}

/** Best effort: without the mark a leftover is still found by the lock that it holds. */
export function markProcess(directory: string, name: string, pid: number): void {
  const startTicks = startTicksOf(pid);
  if (startTicks === null) return;
  try {
    const mark: ProcessMark = { pid, startTicks };
    writeFileSync(join(directory, `${name}.json`), JSON.stringify(mark));
  } catch {
    return;
  }
}

export function unmarkProcess(directory: string, name: string): void {
  rmSync(join(directory, `${name}.json`), { force: true });
}

function alive({ pid, startTicks }: ProcessMark): boolean {
  return startTicksOf(pid) === startTicks;
}

function readMarks(directory: string): { file: string; mark: ProcessMark }[] {
  const marks: { file: string; mark: ProcessMark }[] = [];
  for (const name of readdirSync(directory)) {
    const file = join(directory, name);
    try {
      const { pid, startTicks } = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
      if (typeof pid === 'number' && typeof startTicks === 'string') {
        marks.push({ file, mark: { pid, startTicks } });
      }
    } catch {
      rmSync(file, { force: true });
    }
  }
  return marks;
}

/**
 * Waits; after half of the time asks them to end, after all of it kills them. Says how many there
 * were.
 */
export async function awaitLeftovers(
  directory: string,
  options: { waitMs?: number; onWait?: (count: number) => void } = {},
): Promise<number> {
  const waitMs = options.waitMs ?? LEFTOVER_WAIT_MS;
  const begin = performance.now();
  const marks = readMarks(directory);
  const leftovers = marks.filter(({ mark }) => alive(mark));
  if (leftovers.length > 0) options.onWait?.(leftovers.length);
  let left = leftovers;
  let asked = false;
  while (left.length > 0) {
    await delay(25);
    left = left.filter(({ mark }) => alive(mark));
    const waited = performance.now() - begin;
    if (!asked && waited > waitMs / 2) {
      asked = true;
      for (const { mark } of left) signal(mark.pid, 'SIGTERM');
    }
    if (waited > waitMs) for (const { mark } of left) signal(mark.pid, 'SIGKILL');
  }
  for (const { file } of marks) rmSync(file, { force: true });
  return leftovers.length;
}

function signal(pid: number, name: 'SIGTERM' | 'SIGKILL'): void {
  try {
    process.kill(pid, name);
  } catch {
    // It ended in between.
  }
}
