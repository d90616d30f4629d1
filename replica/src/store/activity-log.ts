import { epoch, seq } from '../protocol/types.ts';
import type { Version } from '../protocol/types.ts';
import { StoreError } from './errors.ts';
import type { TwoSlotKind } from './two-slot-file.ts';

/** Format 1: the first. */
export const ACTIVITY_LOG: TwoSlotKind = {
  fileName: 'activity',
  magic: 'OEBACTIV',
  format: 1,
  slotBytes: 16 * 1024,
};

/** The payload of a slot: 40 bytes, then four for each marked region. Little endian. */
export const ACTIVITY_LAYOUT = {
  appliedEpoch: { offset: 0, bytes: 8 },
  appliedSeq: { offset: 8, bytes: 8 },
  flushedEpoch: { offset: 16, bytes: 8 },
  flushedSeq: { offset: 24, bytes: 8 },
  regionCount: { offset: 32, bytes: 4 },
  reserved: { offset: 36, bytes: 4 },
} as const;
export const ACTIVITY_HEADER_BYTES = 40;

export interface ActivityLog {
  /** The last operation that was in the page cache when the log was written. */
  readonly applied: Version;
  /** The last operation that was on the disk. */
  readonly flushed: Version;
  readonly regions: Iterable<number>;
}

export function encodeActivityLog(log: ActivityLog): Buffer {
  const regions = [...log.regions];
  const payload = Buffer.alloc(ACTIVITY_HEADER_BYTES + 4 * regions.length);
  payload.writeBigUInt64LE(BigInt(log.applied.epoch), ACTIVITY_LAYOUT.appliedEpoch.offset);
  payload.writeBigUInt64LE(BigInt(log.applied.seq), ACTIVITY_LAYOUT.appliedSeq.offset);
  payload.writeBigUInt64LE(BigInt(log.flushed.epoch), ACTIVITY_LAYOUT.flushedEpoch.offset);
  payload.writeBigUInt64LE(BigInt(log.flushed.seq), ACTIVITY_LAYOUT.flushedSeq.offset);
  payload.writeUInt32LE(regions.length, ACTIVITY_LAYOUT.regionCount.offset);
  let offset = ACTIVITY_HEADER_BYTES;
  for (const region of regions) offset = payload.writeUInt32LE(region, offset);
  return payload;
}

/** Throws SUPERBLOCK_DAMAGED when the content does not fit a volume of this many regions. */
export function decodeActivityLog(
  payload: Buffer,
  regionCount: number,
): ActivityLog & { readonly regions: readonly number[] } {
  const { offset } = ACTIVITY_LAYOUT.regionCount;
  const count = payload.length < ACTIVITY_HEADER_BYTES ? 0 : payload.readUInt32LE(offset);
  if (payload.length !== ACTIVITY_HEADER_BYTES + 4 * count) throw damaged('length');
  const regions: number[] = [];
  for (let index = 0; index < count; index += 1) {
    const region = payload.readUInt32LE(ACTIVITY_HEADER_BYTES + 4 * index);
    if (region >= regionCount) throw damaged('region');
    regions.push(region);
  }
  const version = (at: number): Version => ({
    epoch: epoch(Number(payload.readBigUInt64LE(at))),
    seq: seq(Number(payload.readBigUInt64LE(at + 8))),
  });
  return {
    applied: version(ACTIVITY_LAYOUT.appliedEpoch.offset),
    flushed: version(ACTIVITY_LAYOUT.flushedEpoch.offset),
    regions,
  };
}

function damaged(what: string): StoreError {
  return new StoreError(
    'SUPERBLOCK_DAMAGED',
    `The activity log passes its checksum, but its ${what} is not what it must be. It does not ` +
      'belong to this copy; remove the directory and let the copy be rebuilt.',
  );
}
