import {
  accessSync,
  constants,
  ftruncateSync,
  openSync,
  closeSync,
  fstatSync,
  rmSync,
  statSync,
  statfsSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { MIN_FREE_BYTES } from '../../limits.ts';
import { formatSize } from '../../size.ts';
import { failure, ok, warning, type Finding } from './finding.ts';
import type { Host } from './host.ts';

const MIN_NODE = 24;
const MIN_FILES = 1024;
/** Below a twentieth of the file system, volumes soon fail to be written. */
const LOW_FREE_RATIO = 0.05;

export function hostChecks(host: Host, dataDirectory: string): readonly Finding[] {
  return [
    nodeVersion(process.versions.node),
    ...directoryChecks(dataDirectory),
    ...limitChecks(host),
  ];
}

export function nodeVersion(version: string): Finding {
  const check = 'Node.js';
  return Number.parseInt(version, 10) >= MIN_NODE
    ? ok(check, `version ${version}`)
    : failure(check, `version ${version} is too old`, 'npm ci   (brings the right one)');
}

function directoryChecks(dataDirectory: string): readonly Finding[] {
  const check = 'data directory';
  const existing = nearestExisting(dataDirectory);
  try {
    accessSync(existing, constants.W_OK | constants.X_OK);
  } catch (error) {
    const isReadOnly = error instanceof Error && 'code' in error && error.code === 'EROFS';
    return [
      isReadOnly
        ? failure(
            check,
            `${existing} is on a read-only file system`,
            `sudo mount -o remount,rw ${existing}`,
          )
        : failure(
            check,
            `no permission to write ${existing}`,
            `sudo chown -R "$(id -un)" ${existing}`,
          ),
    ];
  }
  const isMade = existing === dataDirectory;
  const found = ok(check, isMade ? dataDirectory : `${dataDirectory} (made at the first start)`);
  return [found, spaceCheck(existing), holesCheck(existing)];
}

function nearestExisting(path: string): string {
  let existing = path;
  while (
    statSync(existing, { throwIfNoEntry: false }) === undefined &&
    existing !== dirname(existing)
  ) {
    existing = dirname(existing);
  }
  return existing;
}

function spaceCheck(directory: string): Finding {
  const check = 'free space';
  const { bsize, blocks, bavail } = statfsSync(directory);
  const detail = `${formatSize(bsize * bavail)} of ${formatSize(bsize * blocks)}`;
  const fix = `df -h ${directory}   (then free some, or use another --data-dir)`;
  if (bsize * bavail < MIN_FREE_BYTES) return failure(check, `only ${detail}`, fix);
  return bavail < blocks * LOW_FREE_RATIO
    ? warning(check, `only ${detail}`, fix)
    : ok(check, detail);
}

const RAM_FILE_SYSTEMS: ReadonlySet<number> = new Set([0x01021994, 0x858458f6]);
const PROBE_BYTES = 16 * 1024 ** 2;

/** Volumes are sparse files: a hole must cost nothing. */
function holesCheck(directory: string): Finding {
  const check = 'sparse files';
  if (RAM_FILE_SYSTEMS.has(statfsSync(directory).type)) {
    return warning(
      check,
      `${directory} is in memory: volumes are gone after a reboot`,
      'use a directory on a disk: --data-dir DIR',
    );
  }
  const probe = join(directory, `.openebs-probe-${process.pid}`);
  try {
    const fd = openSync(probe, 'wx', 0o600);
    try {
      ftruncateSync(fd, PROBE_BYTES);
      const usedBytes = fstatSync(fd).blocks * 512;
      return usedBytes < PROBE_BYTES / 2
        ? ok(check, 'holes cost no space')
        : warning(
            check,
            'the file system stores holes: volumes take their full size',
            'use ext4 or xfs: --data-dir DIR',
          );
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return failure(check, `cannot be tried: ${why}`, `df -h ${directory}   (is the disk full?)`);
  } finally {
    rmSync(probe, { force: true });
  }
}

function limitChecks(host: Host): readonly Finding[] {
  const limits = host.read('/proc/self/limits') ?? '';
  const files = softLimit(limits, 'Max open files');
  const fileSize = softLimit(limits, 'Max file size');
  return [
    files !== null && files < MIN_FILES
      ? warning('open files', `the limit is ${files}`, `ulimit -n ${MIN_FILES * 4}`)
      : ok('open files', `the limit is ${files ?? 'none'}`),
    fileSize === null
      ? ok('file size', 'no limit')
      : warning(
          'file size',
          `a file has at most ${formatSize(fileSize)}: larger volumes fail`,
          'ulimit -f unlimited',
        ),
  ];
}

/** Null: unlimited, or not told. */
export function softLimit(limits: string, name: string): number | null {
  const line = limits.split('\n').find((each) => each.startsWith(name));
  const soft = line?.slice(name.length).trim().split(/\s+/)[0];
  return soft === undefined || soft === 'unlimited' ? null : Number(soft);
}
