import { readFileSync } from 'node:fs';

/** What a process has used, from /proc: for benchmarks and for tests that bound memory. */

/** USER_HZ, the unit of /proc/<pid>/stat: 100 on every architecture that the packages support. */
const CLOCK_TICKS_PER_SECOND = 100;

/** User and system time of all threads since the start. Seconds. */
export function cpuSeconds(pid: number): number {
  const [user = 0, system = 0] = ticksOf(pid);
  return (user + system) / CLOCK_TICKS_PER_SECOND;
}

/** The same, with the children that have ended and were waited for. Seconds. */
export function cpuSecondsWithChildren(pid: number): number {
  return ticksOf(pid).reduce((sum, ticks) => sum + ticks, 0) / CLOCK_TICKS_PER_SECOND;
}

/** proc(5): utime, stime, cutime and cstime, fields 14 to 17. */
function ticksOf(pid: number): number[] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // The name in parentheses may hold spaces.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields.slice(11, 15).map(Number);
}

/** Resident memory. Bytes. */
export function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
}
