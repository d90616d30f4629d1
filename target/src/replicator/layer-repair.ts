import { BLOCK_BYTES, hasBit, type Layer, type WelcomeState } from '@openebs/replica/protocol';
import type { ByteRange } from './link.ts';
import { layerChecksumTable, renewExtent } from './layer-copy.ts';
import { MemberError } from './member-error.ts';
import type { Member } from './member.ts';
import { GONE, readFrom, whileThere, type Copy } from './verified-read.ts';

/**
 * What a member has lost of frozen layers it gets again from another member's copy of the same
 * layer, or of one that the other has merged it into, or has still to merge into it. No lock is
 * needed: what is frozen does not change, and the member takes only bytes that have the checksum
 * which its layer has for the block. Where it has lost those as well it takes the whole extent.
 *
 * Returns how many blocks were mended. Others stay as they are: nobody else has them, or newer ones
 * have hidden them there, or the other has merged less into the layer.
 */
export const mendLayers = async (
  member: Member,
  others: readonly Member[],
  range: ByteRange,
  layers: ReadonlyMap<number, Uint8Array>,
): Promise<number> => {
  const { layers: mine } = await member.refresh();
  const theirs = await Promise.all(others.map(layersOf));
  let mended = 0;
  for (const [layer, bad] of layers) {
    const blocks = [...blocksIn(bad)];
    const placesIn = (layersOfOne: (index: number) => readonly number[]): Place[] =>
      others.flatMap((source, index) => layersOfOne(index).map((id) => ({ source, layer: id })));
    const above = [layer, ...mergedInto(layer, mine)];
    if (await isPageLost(member, layer, range)) {
      const places = placesIn(() => above);
      if (await mendExtent(member, places, layer, range)) mended += blocks.length;
      continue;
    }
    const places = placesIn((index) => [...above, ...mergedFrom(layer, mine, theirs[index] ?? [])]);
    for (const block of blocks) {
      const offsetBytes = range.offsetBytes + block * BLOCK_BYTES;
      const end = Math.min(range.offsetBytes + range.lengthBytes, offsetBytes + BLOCK_BYTES);
      const at = { offsetBytes, lengthBytes: end - offsetBytes };
      if (await mendBlock(member, places, layer, at)) mended++;
    }
  }
  return mended;
};

/** None where it is lost meanwhile. */
const layersOf = async (source: Member): Promise<readonly Layer[]> => {
  try {
    return (await source.refresh()).layers;
  } catch (error) {
    if (!(error instanceof MemberError)) throw error;
    return [];
  }
};

/** A layer of another member. */
interface Place {
  readonly source: Member;
  readonly layer: number;
}

const mendBlock = (
  member: Member,
  places: readonly Place[],
  layer: number,
  range: ByteRange,
): Promise<boolean> =>
  fromAny(member, places, async (from) => {
    let copy: Copy | null = null;
    try {
      copy = await readFrom(from.source, range.offsetBytes, range.lengthBytes, from.layer);
      const checksums = copy.table ?? layerChecksumTable(range.offsetBytes, copy.data);
      await member.fillLayer(layer, { kind: 'write', ...range, chunks: [copy.data], checksums });
    } finally {
      copy?.loan?.release();
    }
    return true;
  });

const mendExtent = (
  member: Member,
  places: readonly Place[],
  layer: number,
  range: ByteRange,
): Promise<boolean> => {
  const sources = whileThere(places.map(({ source }) => source));
  return fromAny(member, places, async ({ source, layer: sourceLayer }) => {
    const check = (): void => {
      if (!source.inSync || !sources().includes(source))
        throw new MemberError(GONE, source.address);
    };
    const [theirs, mine] = await Promise.all([source.refresh(), member.refresh()]);
    check();
    if (!holdsAsMuch({ layer: sourceLayer, of: theirs }, { layer, of: mine })) return false;
    await renewExtent({ source, sourceLayer, member, layer }, range, check);
    return true;
  });
};

/** What goes wrong at one place may go well at the next, unless the member left. */
const fromAny = async (
  member: Member,
  places: readonly Place[],
  work: (place: Place) => Promise<boolean>,
): Promise<boolean> => {
  for (const place of places) {
    try {
      if (await work(place)) return true;
    } catch (error) {
      if (!(error instanceof MemberError) || !member.inSync) throw error;
    }
  }
  return false;
};

/**
 * Layers into which other members may have merged this one, the next one first: what nobody needs
 * by itself is merged into the one layer on top of it.
 */
export const mergedInto = (layer: number, mine: readonly Layer[]): number[] => {
  const layers: number[] = [];
  for (let top = mine.find(({ id }) => id === layer); top?.name === null;) {
    const { id } = top;
    const above = mine.filter(({ parent }) => parent === id);
    if (above.length !== 1) break;
    top = above[0];
    if (top !== undefined) layers.push(top.id);
  }
  return layers;
};

/** Layers of another member below this one, which this member has merged into it. */
export const mergedFrom = (
  layer: number,
  mine: readonly Layer[],
  theirs: readonly Layer[],
): number[] => {
  const layers: number[] = [];
  const held = new Set(mine.map(({ id }) => id));
  for (let below = parentOf(layer, theirs); below !== null && !held.has(below);) {
    layers.push(below);
    below = parentOf(below, theirs);
  }
  return layers;
};

const parentOf = (layer: number, layers: readonly Layer[]): number | null =>
  layers.find(({ id }) => id === layer)?.parent ?? null;

const isPageLost = async (member: Member, layer: number, range: ByteRange): Promise<boolean> => {
  try {
    await member.layerChecksums(layer, range);
    return false;
  } catch (error) {
    if (error instanceof MemberError && error.code === 'CHECKSUM_MISMATCH') return true;
    throw error;
  }
};

interface PlacedLayer {
  readonly layer: number;
  readonly of: Pick<WelcomeState, 'layers'>;
}

/**
 * Whether the source's layer, the same or one that the same was merged into, has all that the
 * member has merged into its own: then the layer below the source's is also below the member's.
 * That the source's holds more does no harm: the member has the same in layers that it merges
 * later, or on top, where it is looked for first.
 */
export const holdsAsMuch = (source: PlacedLayer, mine: PlacedLayer): boolean => {
  const there = source.of.layers.find(({ id }) => id === source.layer);
  const here = mine.of.layers.find(({ id }) => id === mine.layer);
  if (there?.complete !== true || here?.complete !== true) return false;
  if (there.parent === null) return true;
  for (let below = here.parent; below !== null; below = parentOf(below, mine.of.layers)) {
    if (below === there.parent) return true;
  }
  return false;
};

const blocksIn = function* (bitmap: Uint8Array): Generator<number> {
  for (let block = 0; block < 8 * bitmap.length; block++) if (hasBit(bitmap, block)) yield block;
};
