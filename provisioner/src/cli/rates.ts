import type { VolumeStats } from '../orchestrator/orchestrator.ts';

/** What an initiator gets out of a volume, over some seconds. */
export interface Rates {
  readonly volume: string;
  readonly at: string;
  readonly seconds: number;
  readonly readsPerSecond: number;
  readonly writesPerSecond: number;
  readonly readBytesPerSecond: number;
  readonly writeBytesPerSecond: number;
  /** Mean time to the answer; null where there was none. */
  readonly readLatencyMs: number | null;
  readonly writeLatencyMs: number | null;
  readonly flushesPerSecond: number;
  readonly unmapsPerSecond: number;
  readonly errors: number;
  readonly size: number;
  readonly logicalBytes: number | null;
  readonly usedBytes: number | null;
}

/** Null where the target was started anew in between, or no time has passed. */
export function ratesOf(before: VolumeStats, after: VolumeStats): Rates | null {
  const seconds = after.uptimeSeconds - before.uptimeSeconds;
  if (seconds <= 0) return null;
  const reads = after.reads - before.reads;
  const writes = after.writes - before.writes;
  // It was started anew and is up longer than the one before had been.
  if (reads < 0 || writes < 0) return null;
  const { volume, at, size, logicalBytes, usedBytes } = after;
  return {
    volume,
    at,
    seconds: Number(seconds.toFixed(3)),
    readsPerSecond: reads / seconds,
    writesPerSecond: writes / seconds,
    readBytesPerSecond: (after.readBytes - before.readBytes) / seconds,
    writeBytesPerSecond: (after.writeBytes - before.writeBytes) / seconds,
    readLatencyMs: reads === 0 ? null : (1000 * (after.readSeconds - before.readSeconds)) / reads,
    writeLatencyMs:
      writes === 0 ? null : (1000 * (after.writeSeconds - before.writeSeconds)) / writes,
    flushesPerSecond: (after.flushes - before.flushes) / seconds,
    unmapsPerSecond: (after.unmaps - before.unmaps) / seconds,
    errors: after.errors - before.errors,
    size,
    logicalBytes,
    usedBytes,
  };
}

/** The original's columns; MB and GB are 2^20 and 2^30 bytes, as there. */
export const RATE_COLUMNS: readonly string[] = [
  'r/s',
  'w/s',
  'r(MB/s)',
  'w(MB/s)',
  'rLat(ms)',
  'wLat(ms)',
  'LOGICAL(GB)',
  'USED(GB)',
];
export const WIDE_RATE_COLUMNS: readonly string[] = ['flush/s', 'unmap/s', 'errors'];

export function rateCells(rates: Rates, options: { wide: boolean }): string[] {
  return [
    rates.readsPerSecond.toFixed(0),
    rates.writesPerSecond.toFixed(0),
    (rates.readBytesPerSecond / MB).toFixed(3),
    (rates.writeBytesPerSecond / MB).toFixed(3),
    rates.readLatencyMs?.toFixed(3) ?? '-',
    rates.writeLatencyMs?.toFixed(3) ?? '-',
    gigabytes(rates.logicalBytes),
    gigabytes(rates.usedBytes),
    ...(options.wide
      ? [
          rates.flushesPerSecond.toFixed(0),
          rates.unmapsPerSecond.toFixed(0),
          rates.errors.toFixed(0),
        ]
      : []),
  ];
}

const MB = 1024 ** 2;

function gigabytes(bytes: number | null): string {
  return bytes === null ? '-' : (bytes / 1024 ** 3).toFixed(3);
}
