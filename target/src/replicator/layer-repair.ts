import { BLOCK_BYTES, hasBit } from '@openebs/replica/protocol';
import type { ByteRange } from './link.ts';
import { MemberError } from './member-error.ts';
import type { Member } from './member.ts';
import { layerChecksumTable } from './layer-copy.ts';
import { readFrom, type Copy } from './verified-read.ts';

/**
 * Blocks of frozen layers that a member has lost are written again from another member's copy of
 * the same layer. No lock is needed: what is frozen does not change, and the member takes only
 * bytes that have the checksum which its layer has for the block.
 *
 * Returns how many blocks were mended. Others stay as they are: nobody else has them, or the two
 * have merged the layer differently, or the layer's checksums are lost as well.
 */
export const mendLayers = async (
  member: Member,
  others: readonly Member[],
  range: ByteRange,
  layers: ReadonlyMap<number, Uint8Array>,
): Promise<number> => {
  let mended = 0;
  for (const [layer, bad] of layers) {
    for (const block of blocksIn(bad)) {
      const offsetBytes = range.offsetBytes + block * BLOCK_BYTES;
      const end = Math.min(range.offsetBytes + range.lengthBytes, offsetBytes + BLOCK_BYTES);
      const at = { offsetBytes, lengthBytes: end - offsetBytes };
      if (await mendBlock(member, others, layer, at)) mended++;
    }
  }
  return mended;
};

const mendBlock = async (
  member: Member,
  others: readonly Member[],
  layer: number,
  range: ByteRange,
): Promise<boolean> => {
  for (const from of others) {
    let copy: Copy | null = null;
    try {
      copy = await readFrom(from, range.offsetBytes, range.lengthBytes, layer);
      const checksums = copy.table ?? layerChecksumTable(range.offsetBytes, copy.data);
      await member.fillLayer(layer, { kind: 'write', ...range, chunks: [copy.data], checksums });
      return true;
    } catch (error) {
      if (!(error instanceof MemberError) || !member.inSync) throw error;
    } finally {
      copy?.loan?.release();
    }
  }
  return false;
};

const blocksIn = function* (bitmap: Uint8Array): Generator<number> {
  for (let block = 0; block < 8 * bitmap.length; block++) if (hasBit(bitmap, block)) yield block;
};
