/**
 * Minutes of load on a volume with three replica processes, while the memory of every daemon is
 * watched:
 *
 *     node test/bench/soak.ts --minutes 10
 *
 * Fails where a daemon is above the bound when idle at the beginning, or has grown between the
 * first quarter of the load, in which caches fill, and its end.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { residentBytes } from '../support/process-usage.ts';
import { ReplicatedVolume } from '../support/replicated-volume.ts';
import { compileClient, runClient } from './client.ts';

const MIB = 1024 * 1024;
const IDLE_CAP_BYTES = 60 * MIB;
/** What the collector's moods may add. */
const GROWTH_CAP_BYTES = 16 * MIB;
const SETTLE_MS = 5_000;
const SAMPLE_MS = 1_000;
/** The load changes its shape so often. */
const TURN_SECONDS = 5;

const { values: options } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    dir: { type: 'string', default: tmpdir() },
    'working-set': { type: 'string', default: String(1024 * MIB) },
  },
});
const workingSetBytes = Number(options['working-set']);
const lengthMs = Number(options.minutes) * 60_000;

const LOADS = [
  { mode: 'mix', blockBytes: 4096, depth: 32, sessions: 2 },
  { mode: 'write', blockBytes: 65536, depth: 8, sessions: 1 },
  { mode: 'read', blockBytes: 1048576, depth: 8, sessions: 1 },
  { mode: 'write', blockBytes: 1048576, depth: 8, sessions: 1 },
  { mode: 'mix', blockBytes: 512, depth: 32, sessions: 4 },
] as const;

interface Sample {
  readonly atMs: number;
  readonly residentBytes: readonly number[];
}

const mib = (bytes: number): string => (bytes / MIB).toFixed(1);

async function main(): Promise<number> {
  compileClient();
  const directory = mkdtempSync(join(options.dir, 'oesoak-'));
  const volume = await ReplicatedVolume.start({
    directory,
    sizeBytes: workingSetBytes,
    replicas: 3,
    kind: 'unix',
  });
  try {
    await sleep(SETTLE_MS);
    const pids = volume.pids();
    const idle = pids.map(residentBytes);
    const samples = await soak(volume, pids);
    await sleep(SETTLE_MS);
    return report(idle, samples, pids.map(residentBytes));
  } finally {
    await volume.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function soak(volume: ReplicatedVolume, pids: readonly number[]): Promise<Sample[]> {
  const began = performance.now();
  const samples: Sample[] = [];
  const timer = setInterval(
    () => samples.push({ atMs: performance.now() - began, residentBytes: pids.map(residentBytes) }),
    SAMPLE_MS,
  );
  for (let turn = 0; performance.now() - began < lengthMs; turn++) {
    const load = LOADS[turn % LOADS.length]!;
    const result = await runClient({
      port: volume.portal.port,
      target: volume.iqn,
      lun: 0,
      ...load,
      seconds: TURN_SECONDS,
      seed: turn,
      workingSetBytes,
    });
    const now = pids.map((pid) => mib(residentBytes(pid))).join(' ');
    const seconds = Math.round((performance.now() - began) / 1000);
    console.log(
      `${seconds} s: ${load.mode} ${load.blockBytes}: ${result.iops.toFixed(0)} op/s; MiB: ${now}`,
    );
  }
  clearInterval(timer);
  return samples;
}

function report(
  idle: readonly number[],
  samples: readonly Sample[],
  after: readonly number[],
): number {
  let failures = 0;
  for (const [index, before] of idle.entries()) {
    const name = index === 0 ? 'target' : `replica ${index}`;
    const peak = (from: number, to: number): number =>
      Math.max(
        0,
        ...samples
          .filter(({ atMs }) => atMs >= from * lengthMs && atMs < to * lengthMs)
          .map(({ residentBytes: resident }) => resident[index]!),
      );
    const [early, late] = [peak(0, 0.25), peak(0.75, Infinity)];
    const idleFits = before <= IDLE_CAP_BYTES;
    const steady = late - early <= GROWTH_CAP_BYTES;
    if (!idleFits || !steady) failures++;
    console.log(
      `${name}: idle ${mib(before)} MiB${idleFits ? '' : ' (too much)'}, ` +
        `peak in the first quarter ${mib(early)}, in the last ${mib(late)}` +
        `${steady ? '' : ' (it grows)'}, at rest afterwards ${mib(after[index]!)}`,
    );
  }
  return failures === 0 ? 0 : 1;
}

process.exitCode = await main();
