import { BLOCK_BYTES, EXTENT_BYTES } from '../protocol/types.ts';
import type { DiskFile } from './disk.ts';
import { BLOCKS_PER_EXTENT } from './extent-page.ts';
import type { ExtentPage } from './extent-page.ts';

type ZeroedFile = Pick<DiskFile, 'seekData' | 'write'>;

const zeroes = new Uint8Array(BLOCK_BYTES);

/**
 * Of an extent that only hides blocks, one block of zeroes stays in the data file. A page that
 * turned into zeroes would say there that nothing was ever written, and what it hides would show;
 * with data in the file it is known as lost. To be called before the data are synced for the page.
 *
 * Where there is no room for it, and in directories of older releases, nothing tells the two apart.
 */
export function keepZeroes(page: ExtentPage, data: ZeroedFile): void {
  const kept = keptBlock(page);
  if (kept === null || hasData(data, page.extent, kept, kept + 1)) return;
  try {
    data.write(zeroes, page.extent * EXTENT_BYTES + kept * BLOCK_BYTES);
  } catch {
    // Nobody reads the block: a disk that fails is found by what is read and synced.
  }
}

/** Gives back the space of blocks that the page hides. Where that fails they stay as zeroes. */
export function punchHidden(page: ExtentPage, data: DiskFile): void {
  if (!page.hidesAny) return;
  keepZeroes(page, data);
  const kept = keptBlock(page);
  const isHidden = (block: number): boolean =>
    page.hides(block) && !page.isAllocated(block) && block !== kept;
  for (let block = 0; block < BLOCKS_PER_EXTENT; block += 1) {
    if (!isHidden(block)) continue;
    let end = block + 1;
    while (end < BLOCKS_PER_EXTENT && isHidden(end)) end += 1;
    if (hasData(data, page.extent, block, end)) {
      const from = page.extent * EXTENT_BYTES + block * BLOCK_BYTES;
      data.punchHole(from, (end - block) * BLOCK_BYTES);
    }
    block = end;
  }
}

/** The first that it hides, where it has no data; null for all other pages. */
function keptBlock(page: ExtentPage): number | null {
  if (!page.hidesAny || page.next(true, 0, BLOCKS_PER_EXTENT) < BLOCKS_PER_EXTENT) return null;
  let block = 0;
  while (!page.hides(block)) block += 1;
  return block;
}

function hasData(data: ZeroedFile, extent: number, from: number, end: number): boolean {
  const start = extent * EXTENT_BYTES;
  const used = data.seekData(start + from * BLOCK_BYTES);
  return used !== null && used < start + end * BLOCK_BYTES;
}
