import { BLOCK_BYTES, hasBit, type WelcomeState } from '@openebs/replica/protocol';
import type { ByteRange } from './link.ts';
import { layerChecksumTable, renewExtent } from './layer-copy.ts';
import { MemberError } from './member-error.ts';
import type { Member } from './member.ts';
import { GONE, readFrom, whileThere, type Copy } from './verified-read.ts';

/**
 * What a member has lost of frozen layers it gets again from another member's copy of the same
 * layer. No lock is needed: what is frozen does not change, and the member takes only bytes that
 * have the checksum which its layer has for the block. Where it has lost those as well it takes the
 * whole extent.
 *
 * Returns how many blocks were mended. Others stay as they are: nobody else has them, or the two
 * have merged the layer differently.
 */
export const mendLayers = async (
  member: Member,
  others: readonly Member[],
  range: ByteRange,
  layers: ReadonlyMap<number, Uint8Array>,
): Promise<number> => {
  let mended = 0;
  for (const [layer, bad] of layers) {
    const blocks = [...blocksIn(bad)];
    if (await isPageLost(member, layer, range)) {
      if (await mendExtent(member, others, layer, range)) mended += blocks.length;
      continue;
    }
    for (const block of blocks) {
      const offsetBytes = range.offsetBytes + block * BLOCK_BYTES;
      const end = Math.min(range.offsetBytes + range.lengthBytes, offsetBytes + BLOCK_BYTES);
      const at = { offsetBytes, lengthBytes: end - offsetBytes };
      if (await mendBlock(member, others, layer, at)) mended++;
    }
  }
  return mended;
};

const mendBlock = (
  member: Member,
  others: readonly Member[],
  layer: number,
  range: ByteRange,
): Promise<boolean> =>
  fromAny(member, others, async (from) => {
    let copy: Copy | null = null;
    try {
      copy = await readFrom(from, range.offsetBytes, range.lengthBytes, layer);
      const checksums = copy.table ?? layerChecksumTable(range.offsetBytes, copy.data);
      await member.fillLayer(layer, { kind: 'write', ...range, chunks: [copy.data], checksums });
    } finally {
      copy?.loan?.release();
    }
    return true;
  });

const mendExtent = (
  member: Member,
  others: readonly Member[],
  layer: number,
  range: ByteRange,
): Promise<boolean> =>
  fromAny(member, others, async (source, sources) => {
    const check = (): void => {
      if (!source.inSync || !sources().includes(source))
        throw new MemberError(GONE, source.address);
    };
    const [theirs, mine] = await Promise.all([source.refresh(), member.refresh()]);
    check();
    if (!holdsAsMuch(layer, theirs, mine)) return false;
    await renewExtent({ layer, source, member }, range, check);
    return true;
  });

/** The first that does it. What goes wrong at one may go well at the next. */
const fromAny = async (
  member: Member,
  others: readonly Member[],
  work: (source: Member, sources: () => readonly Member[]) => Promise<boolean>,
): Promise<boolean> => {
  const sources = whileThere(others);
  for (const source of others) {
    try {
      if (await work(source, sources)) return true;
    } catch (error) {
      if (!(error instanceof MemberError) || !member.inSync) throw error;
    }
  }
  return false;
};

const isPageLost = async (member: Member, layer: number, range: ByteRange): Promise<boolean> => {
  try {
    await member.layerChecksums(layer, range);
    return false;
  } catch (error) {
    if (error instanceof MemberError && error.code === 'CHECKSUM_MISMATCH') return true;
    throw error;
  }
};

/**
 * Whether the source has merged into its layer all that the member has merged into its own: then
 * the layer below the source's is also below the member's. That the source's holds more than the
 * member's does no harm: the member has the same in layers that it merges later.
 */
export const holdsAsMuch = (
  layer: number,
  source: Pick<WelcomeState, 'layers'>,
  mine: Pick<WelcomeState, 'layers'>,
): boolean => {
  const there = source.layers.find(({ id }) => id === layer);
  const here = mine.layers.find(({ id }) => id === layer);
  if (there?.complete !== true || here?.complete !== true) return false;
  if (there.parent === null) return true;
  for (let below = here.parent; below !== null;) {
    if (below === there.parent) return true;
    const id = below;
    below = mine.layers.find((each) => each.id === id)?.parent ?? null;
  }
  return false;
};

const blocksIn = function* (bitmap: Uint8Array): Generator<number> {
  for (let block = 0; block < 8 * bitmap.length; block++) if (hasBit(bitmap, block)) yield block;
};
