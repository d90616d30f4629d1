/** SYNCHRONIZE CACHE (10) and (16). SBC-3 5.22, 5.23 */
import { finishGood, type Command } from './command.ts';
import { blocksOf, checkRange, lbaOf } from './media-range.ts';

/** Zero blocks: to the end. All of the volume is flushed, which is more than any range asks for. */
export function synchronizeCache(command: Command): void {
  const { cdb } = command;
  if (!checkRange(command, lbaOf(cdb), blocksOf(cdb))) return;
  // IMMED allows an answer before the flush; waiting for it is correct and tells of failure.
  command.flush(finishGood);
}
