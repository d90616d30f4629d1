import { execFileSync, spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { openDisk, type Disk } from '../initiator/disk.ts';
import { findCommand } from '../support/debian.ts';
import { Random } from '../support/random.ts';
import { cpuSeconds } from '../support/process-usage.ts';
import { RebuiltVolume } from '../support/rebuilt-volume.ts';
import { runClient, type ClientResult, type ClientRun } from './client.ts';

/** What each part of `npm run bench:rebuild` does, and measures. */

export interface RebuildSettings {
  readonly directory: string;
  readonly sizeBytes: number;
  readonly writtenBytes: number;
  readonly absenceSeconds: number;
  readonly sparseSizeBytes: number;
  readonly sparseWrittenBytes: number;
  /** Of each measurement of the application. */
  readonly seconds: number;
}

export interface Figure {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  /** In words, with the bound; null: it is told for its own sake. */
  readonly goal: string | null;
  readonly reached: boolean | null;
}

const MIB = 1024 * 1024;
const BLOCK_BYTES = 4096;
const LONG_MS = 1_800_000;
const CONCURRENT_WRITES = 16;

const told = (what: string, value: number, unit: string): Figure => ({
  ...{ what, value, unit },
  goal: null,
  reached: null,
});
const atLeast = (what: string, value: number, unit: string, bound: number): Figure => ({
  ...{ what, value, unit },
  goal: `at least ${bound}`,
  reached: value >= bound,
});
const atMost = (what: string, value: number, unit: string, bound: number): Figure => ({
  ...{ what, value, unit },
  goal: `at most ${bound}`,
  reached: value <= bound,
});

const clientOf = ({ volume }: RebuiltVolume, run: Partial<ClientRun>): Promise<ClientResult> =>
  runClient({
    port: volume.portal.port,
    target: volume.iqn,
    ...{ lun: 0, mode: 'fill', blockBytes: MIB, depth: 8, sessions: 1, seconds: 1, seed: 1 },
    workingSetBytes: MIB,
    ...run,
  });

const started = async (
  settings: RebuildSettings,
  name: string,
  replicas: number,
  sizeBytes: number,
): Promise<RebuiltVolume> => {
  const directory = `${settings.directory}/${name}`;
  const rebuilt = new RebuiltVolume({ directory, sizeBytes, replicas });
  await rebuilt.start();
  return rebuilt;
};

/** Seconds of a plain copy of the same bytes on the same disk, and of making it durable. */
const secondsOfCopy = (image: string): number => {
  execFileSync('sync');
  const copy = `${image}.copy`;
  const startedMs = performance.now();
  execFileSync('cp', ['--sparse=always', image, copy]);
  execFileSync('sync', [copy]);
  const seconds = (performance.now() - startedMs) / 1000;
  rmSync(copy);
  return seconds;
};

const cpuOf = (rebuilt: RebuiltVolume): number =>
  rebuilt.volume.pids().reduce((sum, pid) => sum + cpuSeconds(pid), 0);

/** Random blocks of the part that was written. */
const dirty = async (disk: Disk, bytes: number, withinBytes: number): Promise<void> => {
  const random = new Random(3);
  let left = Math.ceil(bytes / BLOCK_BYTES);
  const writer = async (): Promise<void> => {
    while (left-- > 0) {
      const block = random.below(withinBytes / BLOCK_BYTES);
      await disk.write(block * BLOCK_BYTES, Buffer.alloc(BLOCK_BYTES, left));
    }
  };
  await Promise.all(Array.from({ length: CONCURRENT_WRITES }, writer));
};

/** A full rebuild against cp, and what comes back after an absence. */
export const fullAndDelta = async (
  settings: RebuildSettings,
  parts: { readonly full: boolean; readonly delta: boolean },
): Promise<Figure[]> => {
  const { sizeBytes, writtenBytes, absenceSeconds } = settings;
  const rebuilt = await started(settings, 'full', 2, sizeBytes);
  const figures: Figure[] = [];
  try {
    await clientOf(rebuilt, { workingSetBytes: writtenBytes });
    if (parts.full) figures.push(...(await full(rebuilt, writtenBytes)));
    if (parts.delta) {
      const before = await rebuilt.copiedBytes();
      await rebuilt.stopReplica(1);
      const disk = await openDisk(rebuilt.volume.portal);
      await dirty(disk, writtenBytes / 100, writtenBytes);
      await sleep(absenceSeconds * 1000);
      const startedMs = performance.now();
      await rebuilt.volume.startReplica(1);
      await rebuilt.untilRebuilt(LONG_MS);
      const seconds = (performance.now() - startedMs) / 1000;
      const share = ((await rebuilt.copiedBytes()) - before) / writtenBytes;
      await disk.session.logout();
      figures.push(
        atMost('delta: bytes copied, share of a full one', share, '', 0.05),
        told('delta: from the first question until in sync', secondsOfRebuild(rebuilt), 's'),
        told('delta: from the start of the process until in sync', seconds, 's'),
      );
    }
  } finally {
    await rebuilt.stop();
    rmSync(`${settings.directory}/full`, { recursive: true, force: true });
  }
  return figures;
};

/** Of the last one, as the target tells: from its first question to the record that names it. */
const secondsOfRebuild = ({ volume }: RebuiltVolume): number => {
  const lines = volume.target.daemon.log
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as { readonly msg: string; readonly time: string });
  const began = lines.findLastIndex(({ msg }) => msg === 'resynchronisation begins');
  const inSync = lines.findIndex(({ msg }, at) => at > began && msg === 'membership changed');
  return (Date.parse(lines[inSync]?.time ?? '') - Date.parse(lines[began]?.time ?? '')) / 1000;
};

const full = async (rebuilt: RebuiltVolume, writtenBytes: number): Promise<Figure[]> => {
  const image = rebuilt.volume.imagePath(0);
  const before = secondsOfCopy(image);
  await rebuilt.stopReplica(1);
  const copied = await rebuilt.copiedBytes();
  const startedMs = performance.now();
  const cpuBefore = cpuOf(rebuilt);
  await rebuilt.startEmpty(1);
  await rebuilt.untilRebuilt(LONG_MS);
  const withStart = (performance.now() - startedMs) / 1000;
  const seconds = secondsOfRebuild(rebuilt);
  const cpu = cpuOf(rebuilt) - cpuBefore;
  const bytes = (await rebuilt.copiedBytes()) - copied;
  const after = secondsOfCopy(image);
  return [
    atLeast('full: cp --sparse and sync, divided by it', (before + after) / 2 / seconds, '', 0.5),
    told('full: from the first question until in sync', seconds, 's'),
    told('full: from the start of the process until in sync', withStart, 's'),
    told('full: cp --sparse=always and sync, before and after', (before + after) / 2, 's'),
    told('full: processor time of all daemons', cpu, 's'),
    told('full: bytes copied, of those written', bytes / writtenBytes, ''),
  ];
};

/** From kill -9 under load until the new target has answered. */
export const restart = async (settings: RebuildSettings): Promise<Figure[]> => {
  const { sparseSizeBytes, sparseWrittenBytes } = settings;
  const rebuilt = await started(settings, 'sparse', 2, sparseSizeBytes);
  const { volume } = rebuilt;
  try {
    await clientOf(rebuilt, { workingSetBytes: sparseWrittenBytes });
    const write = { mode: 'write', blockBytes: BLOCK_BYTES, depth: 32, seconds: 60 } as const;
    const load = clientOf(rebuilt, { ...write, workingSetBytes: sparseWrittenBytes });
    load.catch(() => undefined);
    await sleep(2000);
    const startedMs = performance.now();
    await volume.target.daemon.kill9();
    await volume.startTarget();
    const readyMs = performance.now();
    const disk = await openDisk(volume.portal);
    await disk.read(0, BLOCK_BYTES);
    await disk.write(0, Buffer.alloc(BLOCK_BYTES, 1));
    const seconds = (performance.now() - startedMs) / 1000;
    await disk.session.logout();
    await load.catch(() => undefined);
    return [
      atMost('restart: from kill -9 until a read and a write are answered', seconds, 's', 2),
      told('restart: of that until the portal is open', (readyMs - startedMs) / 1000, 's'),
    ];
  } finally {
    await rebuilt.stop();
    rmSync(`${settings.directory}/sparse`, { recursive: true, force: true });
  }
};

/** An application next to a rebuild, and without one. */
export const beside = async (settings: RebuildSettings): Promise<Figure[]> => {
  const { sizeBytes, writtenBytes, seconds } = settings;
  const rebuilt = await started(settings, 'beside', 3, sizeBytes);
  const application = (): Promise<ClientResult> =>
    clientOf(rebuilt, {
      ...{ mode: 'mix', blockBytes: BLOCK_BYTES, depth: 8, seconds },
      workingSetBytes: writtenBytes / 4,
    });
  try {
    await clientOf(rebuilt, { workingSetBytes: writtenBytes });
    await application();
    const before = await application();
    await rebuilt.stopReplica(2);
    await rebuilt.startEmpty(2);
    const copied = await rebuilt.copiedBytes();
    const during = await application();
    const bytes = (await rebuilt.copiedBytes()) - copied;
    const { state } = await rebuilt.volume.status();
    await rebuilt.untilRebuilt(LONG_MS);
    const after = await application();
    const iops = (before.iops + after.iops) / 2;
    const p99 = (before.p99 + after.p99) / 2;
    return [
      atLeast('beside: throughput, share of that without', during.iops / iops, '', 0.6),
      atMost('beside: p99, times that without', during.p99 / p99, '', 3),
      told('beside: operations in a second without', iops, '1/s'),
      told('beside: p99 without', p99 / 1000, 'ms'),
      told('beside: p99 with', during.p99 / 1000, 'ms'),
      told('beside: rebuilt in a second meanwhile', bytes / seconds / MIB, 'MiB/s'),
      told('beside: still going at the end of the measurement', state === 'healthy' ? 0 : 1, ''),
    ];
  } finally {
    await rebuilt.stop();
    rmSync(`${settings.directory}/beside`, { recursive: true, force: true });
  }
};

const FLUSHES = 32;

/** SYNCHRONIZE CACHE, many at once, after writes. */
export const flushes = async (settings: RebuildSettings): Promise<Figure[]> => {
  const rebuilt = await started(settings, 'flushes', 3, 64 * MIB);
  try {
    const disk = await openDisk(rebuilt.volume.portal);
    const once = async (): Promise<void> => {
      await dirty(disk, 8 * MIB, 64 * MIB);
      await Promise.all(Array.from({ length: FLUSHES }, () => disk.flush()));
    };
    await once();
    const before = await fdatasyncsOf(rebuilt);
    await once();
    const counts = (await fdatasyncsOf(rebuilt)).map((count, index) => count - before[index]!);
    const traced = await tracedSyncs(rebuilt, once);
    await disk.session.logout();
    return [
      atMost(`flushes: fdatasync of a replica for ${FLUSHES} at once`, Math.max(...counts), '', 3),
      ...(traced === null
        ? []
        : [atMost('flushes: the same, of its image file, as strace sees it', traced, '', 3)]),
    ];
  } finally {
    await rebuilt.stop();
    rmSync(`${settings.directory}/flushes`, { recursive: true, force: true });
  }
};

const fdatasyncsOf = (rebuilt: RebuiltVolume): Promise<number[]> =>
  Promise.all([0, 1, 2].map((index) => rebuilt.counter(index, 'fdatasync_total')));

/** Null without strace. Of the first replica. */
const tracedSyncs = async (
  rebuilt: RebuiltVolume,
  work: () => Promise<void>,
): Promise<number | null> => {
  const strace = findCommand('strace');
  if (strace === null) return null;
  const pid = String(rebuilt.volume.replicas[0]?.daemon.child.pid);
  const output = `${rebuilt.volume.imagePath(0)}.strace`;
  const child = spawn(strace, ['-f', '-y', '-e', 'trace=fdatasync', '-o', output, '-p', pid]);
  const ended = new Promise((resolve) => child.once('close', resolve));
  await Promise.race([new Promise((resolve) => child.stderr.once('data', resolve)), ended]);
  if (child.exitCode !== null) return null;
  await work();
  child.kill('SIGINT');
  await ended;
  const calls = readFileSync(output, 'utf8').split('\n');
  return calls.filter((line) => line.includes('fdatasync(') && line.includes('.img>')).length;
};
