import { BLOCK_BYTES, EXTENT_BYTES } from '@openebs/replica/protocol';
import type { Layer } from '@openebs/replica/protocol';
import { REPLICATOR_LIMITS } from '../limits.ts';
import { splitHoldings } from './layer-copy.ts';
import type { ByteRange } from './link.ts';
import { MemberError } from './member-error.ts';
import type { Member } from './member.ts';

const VERSION_BYTES = 16;
const BITMAP_BYTES_PER_EXTENT = EXTENT_BYTES / BLOCK_BYTES / 8;

/**
 * Extents, counted from the start of the range, of which a member holds anything: what the volume
 * has ever shown of it since its oldest layer, and what only snapshots have from which the volume
 * was reverted. `range`: whole extents, at most REPLICATOR_LIMITS.versionExtents. Rejects with
 * MemberError.
 */
export const extentsHeld = async (member: Member, range: ByteRange): Promise<Set<number>> => {
  const held = new Set<number>();
  const versions = await member.extentVersions(range.offsetBytes, range.lengthBytes);
  for (let at = 0; at < versions.length; at += VERSION_BYTES) {
    if (versions.subarray(at, at + VERSION_BYTES).some(isSet)) held.add(at / VERSION_BYTES);
  }
  const { layers, headLayer } = await member.refresh();
  for (const layer of hiddenLayers(layers, headLayer)) {
    for (let from = 0; from < range.lengthBytes; from += REPLICATOR_LIMITS.layerRangeBytes) {
      const lengthBytes = Math.min(REPLICATOR_LIMITS.layerRangeBytes, range.lengthBytes - from);
      const piece = { offsetBytes: range.offsetBytes + from, lengthBytes };
      const first = from / EXTENT_BYTES;
      for (const extent of await extentsOfLayer(member, layer, piece)) held.add(first + extent);
    }
  }
  return held;
};

/** Those of which the volume shows nothing now. */
const hiddenLayers = (layers: readonly Layer[], headLayer: number): number[] => {
  const shown = new Set<number>();
  for (let id: number | null = headLayer; id !== null && !shown.has(id);) {
    shown.add(id);
    const current: number = id;
    id = layers.find((layer) => layer.id === current)?.parent ?? null;
  }
  return layers.filter(({ id, complete }) => complete && !shown.has(id)).map(({ id }) => id);
};

const extentsOfLayer = async (
  member: Member,
  layer: number,
  range: ByteRange,
): Promise<number[]> => {
  const extents = Array.from(
    { length: Math.ceil(range.lengthBytes / EXTENT_BYTES) },
    (_, extent) => extent,
  );
  try {
    const { data, zero } = splitHoldings(await member.layerAllocation(layer, range));
    return extents.filter((extent) => {
      const from = extent * BITMAP_BYTES_PER_EXTENT;
      const end = from + BITMAP_BYTES_PER_EXTENT;
      return data.subarray(from, end).some(isSet) || zero.subarray(from, end).some(isSet);
    });
  } catch (error) {
    if (!(error instanceof MemberError) || error.code === 'LINK_CLOSED') throw error;
    // A page of it is damaged, or the layer has just been merged: the scrub itself will tell.
    return extents;
  }
};

const isSet = (byte: number): boolean => byte !== 0;
