/**
 * Minutes of load on a volume with three replica processes, while the memory of every daemon is
 * watched:
 *
 *     node test/soak/main.ts --minutes 10
 *
 * Fails where a daemon is above its bound: idle, under load, or at rest afterwards; and where the
 * median of the load's last quarter is above that of the second, by more than moods can be. The
 * first quarter is for caches to fill. Each quarter goes through all loads.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { formatDaemon, soak } from './run.ts';

const { values: options } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    dir: { type: 'string', default: tmpdir() },
    'working-set': { type: 'string', default: String(2 ** 30) },
  },
});

const directory = mkdtempSync(join(options.dir, 'oesoak-'));
try {
  const daemons = await soak({
    directory,
    seconds: Number(options.minutes) * 60,
    workingSetBytes: Number(options['working-set']),
    say: (line) => console.log(line),
  });
  for (const daemon of daemons) console.log(formatDaemon(daemon));
  if (daemons.some(({ problems }) => problems.length > 0)) process.exitCode = 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}
