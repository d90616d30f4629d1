/** PRE-FETCH (10) and (16). SBC-3 5.14 */
import { SCSI_LIMITS } from '../limits.ts';
import type { Command } from './command.ts';
import { BLOCK_BYTES } from './geometry.ts';
import { blocksOf, checkRange, lbaOf } from './media-range.ts';
import { ScsiStatus } from './task.ts';

const IMMED = 0x02;

/** CONDITION MET: all of it is in the page cache of a replica now. GOOD: not all of it is. */
export function prefetch(command: Command): void {
  const { cdb, unit } = command;
  const lba = lbaOf(cdb);
  if (!checkRange(command, lba, blocksOf(cdb))) return;
  // No blocks: to the end of the medium.
  const blocks = blocksOf(cdb) === 0 ? unit.blocks - lba : blocksOf(cdb);
  if (((cdb[1] ?? 0) & IMMED) !== 0 || blocks > SCSI_LIMITS.transferBlocks) {
    command.good();
    return;
  }
  command.read(lba * BLOCK_BYTES, blocks * BLOCK_BYTES, finishPrefetch);
}

function finishPrefetch(command: Command): void {
  command.status(ScsiStatus.conditionMet);
}
