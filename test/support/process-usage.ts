import { readFileSync } from 'node:fs';

/** What a process has used, from /proc: for benchmarks and for tests that bound memory. */

/** USER_HZ, the unit of /proc/<pid>/stat: 100 on every architecture that the packages support. */
const CLOCK_TICKS_PER_SECOND = 100;

/** User and system time of all threads since the start. Seconds. */
export function cpuSeconds(pid: number): number {
  // proc(5): the name in parentheses may hold spaces; utime and stime are fields 14 and 15.
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / CLOCK_TICKS_PER_SECOND;
}

/** Resident memory. Bytes. */
export function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
}
