/**
 * Everything at once, for as long as one likes:
 *
 *     npm run storm -- --minutes 30
 *
 * Fails on the first answer that is lost, stale or torn, where the volume does not become whole
 * again, and where the daemons' memory in the last quarter is above that of the second by more than
 * the collector's moods explain.
 */
import { randomInt } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Memory, Storm } from './storm.ts';

const MIB = 1024 * 1024;
const ROUND_MS = 30_000;
const GROWTH_CAP_BYTES = 16 * MIB;

const { values: options } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    seed: { type: 'string', default: String(randomInt(2 ** 32)) },
    dir: { type: 'string', default: tmpdir() },
  },
});

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >>> 1] ?? 0;

/** Whether it grew. */
const report = (name: keyof Memory, memory: readonly Memory[]): boolean => {
  const quarter = Math.floor(memory.length / 4);
  const of = (from: number, to?: number): number =>
    median(memory.slice(from, to).map((each) => each[name]));
  const [early, late] = [of(quarter, 2 * quarter), of(3 * quarter)];
  const grew = late - early > GROWTH_CAP_BYTES;
  console.log(
    `${name}: median ${(early / MIB).toFixed(0)} MiB in the second quarter, ` +
      `${(late / MIB).toFixed(0)} MiB in the last${grew ? ' (it grows)' : ''}`,
  );
  return grew;
};

const directory = mkdtempSync(join(options.dir, 'oestorm-'));
const storm = new Storm({ directory, seed: Number(options.seed) });
// Daemons end with this process, and only an exit tells them.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => process.exit(1));
}
console.log(`seed ${options.seed}, directory ${directory}`);
await storm.start();
const startedMs = performance.now();
const endMs = startedMs + Number(options.minutes) * 60_000;
while (performance.now() < endMs) {
  try {
    await storm.round(Math.min(ROUND_MS, endMs - performance.now()));
  } catch (error) {
    console.error(`${directory} is kept:`, error);
    console.error(storm.lastWords());
    process.exit(1);
  }
  const { answered, unanswered, refused, longestMs } = storm.load;
  console.log(
    `${((performance.now() - startedMs) / 60_000).toFixed(1)} min: ${answered} answered, ` +
      `${unanswered} unanswered, ${refused} refused; longest ${longestMs.toFixed(0)} ms`,
  );
}
await storm.stop();
rmSync(directory, { recursive: true, force: true });
for (const [blow, count] of storm.counts) console.log(`${String(count).padStart(5)} x ${blow}`);
console.log(`${storm.refusedOrders} orders refused`);
const grew = (['target', 'replica'] as const).filter((name) => report(name, storm.memory));
process.exitCode = grew.length === 0 ? 0 : 1;
