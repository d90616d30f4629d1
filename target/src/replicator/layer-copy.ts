import {
  BLOCK_BYTES,
  computeSegmentChecksums,
  EXTENT_BYTES,
  hasBit,
  segmentTableBytes,
} from '@openebs/replica/protocol';
import { REPLICATOR_LIMITS } from '../limits.ts';
import type { ByteRange } from './link.ts';
import type { Member } from './member.ts';
import { readFrom } from './verified-read.ts';

/** What one layer itself holds of a range, as one member tells it. */
export interface LayerHoldings {
  /** One bit for each block, LSB first: it has data. */
  readonly data: Uint8Array;
  /** It hides what older layers hold. */
  readonly zero: Uint8Array;
}

export type LayerAction = 'write' | 'zero' | 'clear';

export interface LayerRun {
  readonly action: LayerAction;
  readonly firstBlock: number;
  readonly blocks: number;
}

/** The answer to an allocation request of a layer: two bitmaps, one after the other. */
export const splitHoldings = (answer: Uint8Array): LayerHoldings => ({
  data: answer.subarray(0, answer.length / 2),
  zero: answer.subarray(answer.length / 2),
});

/** What a member has to do so that the layer holds there what it holds at the source. */
export const layerRuns = ({
  source,
  mine,
  blocks,
  sameData,
  maxRunBlocks,
}: {
  readonly source: LayerHoldings;
  readonly mine: LayerHoldings;
  readonly blocks: number;
  /** Whether a block that has data on both has the same. */
  readonly sameData: (block: number) => boolean;
  readonly maxRunBlocks: number;
}): LayerRun[] => {
  const runs: { action: LayerAction; firstBlock: number; blocks: number }[] = [];
  for (let block = 0; block < blocks; block++) {
    const action = actionFor(source, mine, block, sameData);
    if (action === null) continue;
    const last = runs.at(-1);
    const follows = last?.action === action && last.firstBlock + last.blocks === block;
    if (follows && (action !== 'write' || last.blocks < maxRunBlocks)) last.blocks++;
    else runs.push({ action, firstBlock: block, blocks: 1 });
  }
  return runs;
};

const actionFor = (
  source: LayerHoldings,
  mine: LayerHoldings,
  block: number,
  sameData: (block: number) => boolean,
): LayerAction | null => {
  if (hasBit(source.data, block)) {
    return hasBit(mine.data, block) && sameData(block) ? null : 'write';
  }
  if (hasBit(source.zero, block)) return hasBit(mine.zero, block) ? null : 'zero';
  return hasBit(mine.data, block) || hasBit(mine.zero, block) ? 'clear' : null;
};

export interface LayerCopy {
  readonly layer: number;
  readonly source: Member;
  readonly member: Member;
  readonly sizeBytes: number;
  /** The share of the volume that has been gone through, what is under way included. */
  readonly reached: (share: number) => void;
  /** Resolves when one more extent may be begun; `finished` follows. Throws when all is over. */
  readonly turn: () => Promise<void>;
  /** With what was copied. Bytes. */
  readonly finished: (bytes: number) => void;
}

/** An extent of the layer of which at least one of the two holds something. */
interface Piece {
  readonly range: ByteRange;
  readonly source: LayerHoldings;
  readonly mine: LayerHoldings;
}

/**
 * Makes one frozen layer of a member what it is at a source, block by block where they differ. The
 * layer changes at neither meanwhile: merges are paused at the source. Several extents are under
 * way at a time, as many as get a turn.
 */
export const copyLayer = async (copy: LayerCopy): Promise<void> => {
  const pieces = piecesOf(copy);
  const underWay = new Set<Promise<number>>();
  let failed = false;
  const worker = async (): Promise<void> => {
    for (;;) {
      let bytes = 0;
      try {
        await copy.turn();
        const next = await pieces.next();
        // Told by another one meanwhile, who waits for what is under way and for nothing later.
        if (failed || next.done === true) return;
        const work = copyExtent(copy, next.value);
        underWay.add(work);
        bytes = await work.finally(() => underWay.delete(work));
      } catch (error) {
        failed = true;
        throw error;
      } finally {
        copy.finished(bytes);
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: REPLICATOR_LIMITS.rebuildWidth }, worker));
  } catch (error) {
    // Nothing reads the layer any more when merges go on. Who waits for a turn is not waited for.
    await Promise.allSettled(underWay);
    throw error;
  }
};

const piecesOf = async function* (copy: LayerCopy): AsyncGenerator<Piece> {
  const { sizeBytes, layer } = copy;
  for (let at = 0; at < sizeBytes; at += REPLICATOR_LIMITS.layerRangeBytes) {
    const lengthBytes = Math.min(REPLICATOR_LIMITS.layerRangeBytes, sizeBytes - at);
    const range = { offsetBytes: at, lengthBytes };
    const answers = await Promise.all(
      [copy.source, copy.member].map((each) => each.layerAllocation(layer, range)),
    );
    const [theirs, mine] = answers.map(splitHoldings);
    if (theirs === undefined || mine === undefined) throw new RangeError('two members were asked');
    for (let from = 0; from < lengthBytes; from += EXTENT_BYTES) {
      const bytes = Math.min(EXTENT_BYTES, lengthBytes - from);
      const piece: Piece = {
        range: { offsetBytes: at + from, lengthBytes: bytes },
        source: cut(theirs, from, bytes),
        mine: cut(mine, from, bytes),
      };
      copy.reached((at + from) / sizeBytes);
      if (!isNothing(piece.source) || !isNothing(piece.mine)) yield piece;
    }
  }
  copy.reached(1);
};

const isNothing = ({ data, zero }: LayerHoldings): boolean => isEmpty(data) && isEmpty(zero);

const cut = ({ data, zero }: LayerHoldings, from: number, lengthBytes: number): LayerHoldings => {
  const first = from / BLOCK_BYTES / 8;
  const end = first + Math.ceil(lengthBytes / BLOCK_BYTES / 8);
  return { data: data.subarray(first, end), zero: zero.subarray(first, end) };
};

/** Returns how many bytes were copied. */
const copyExtent = async (copy: LayerCopy, { range, source, mine }: Piece): Promise<number> => {
  const both = source.data.some((byte, index) => (byte & (mine.data[index] ?? 0)) !== 0);
  const runs = layerRuns({
    source,
    mine,
    blocks: Math.ceil(range.lengthBytes / BLOCK_BYTES),
    sameData: both ? await sameSums(copy, range) : () => false,
    maxRunBlocks: REPLICATOR_LIMITS.copyBytes / BLOCK_BYTES,
  });
  return fillRuns({ ...copy, sourceLayer: copy.layer }, range, runs);
};

interface LayerPair {
  readonly source: Member;
  readonly sourceLayer: number;
  readonly member: Member;
  readonly layer: number;
}

/** Returns how many bytes were copied. */
const fillRuns = async (
  { layer, source, sourceLayer, member }: LayerPair,
  range: ByteRange,
  runs: readonly LayerRun[],
): Promise<number> => {
  const rangeEnd = range.offsetBytes + range.lengthBytes;
  let copiedBytes = 0;
  for (const { action, firstBlock, blocks } of runs) {
    const offsetBytes = range.offsetBytes + firstBlock * BLOCK_BYTES;
    const lengthBytes = Math.min(blocks * BLOCK_BYTES, rangeEnd - offsetBytes);
    if (action === 'write') {
      const { data, table, loan } = await readFrom(source, offsetBytes, lengthBytes, sourceLayer);
      const checksums = table ?? layerChecksumTable(offsetBytes, data);
      const chunks = [data];
      await member.fillLayer(layer, { kind: 'write', offsetBytes, lengthBytes, chunks, checksums });
      loan?.release();
      copiedBytes += lengthBytes;
    } else {
      await member.fillLayer(layer, { kind: action, offsetBytes, lengthBytes });
    }
  }
  return copiedBytes;
};

/**
 * An extent of a complete layer whose checksums the member has lost gets all of its content from
 * the source. The member reads nothing of it until it is sealed.
 */
export const renewExtent = async (
  pair: LayerPair,
  range: ByteRange,
  /** Throws when the source is one no more. */
  check: () => void,
): Promise<void> => {
  const { layer, source, sourceLayer, member } = pair;
  const holdings = splitHoldings(await source.layerAllocation(sourceLayer, range));
  check();
  const nothing = new Uint8Array(holdings.data.length);
  await member.fillLayer(layer, { kind: 'reset', ...range });
  const runs = layerRuns({
    source: holdings,
    mine: { data: nothing, zero: nothing },
    blocks: Math.ceil(range.lengthBytes / BLOCK_BYTES),
    sameData: () => false,
    maxRunBlocks: REPLICATOR_LIMITS.copyBytes / BLOCK_BYTES,
  });
  await fillRuns(pair, range, runs);
  check();
  await member.fillLayer(layer, { kind: 'seal', ...range });
};

export const layerChecksumTable = (offsetBytes: number, data: Buffer): Buffer => {
  const table = Buffer.alloc(segmentTableBytes(offsetBytes, data.length));
  computeSegmentChecksums(offsetBytes, [data], table);
  return table;
};

const isEmpty = (bits: Uint8Array): boolean => bits.every((byte) => byte === 0);

const sameSums = async (
  { layer, source, member }: LayerCopy,
  range: ByteRange,
): Promise<(block: number) => boolean> => {
  const [theirs, mine] = await Promise.all(
    [source, member].map((each) => each.layerChecksums(layer, range)),
  );
  return (block) => {
    const at = block * 4;
    for (let byte = at; byte < at + 4; byte++) if (theirs?.[byte] !== mine?.[byte]) return false;
    return true;
  };
};
