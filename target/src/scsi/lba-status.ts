/** GET LBA STATUS. SBC-3 5.4 */
import { readU32, readU64, writeU32, writeU64 } from './cdb.ts';
import type { Command } from './command.ts';
import { BLOCK_BYTES, PHYSICAL_BLOCK_BLOCKS, PHYSICAL_BLOCK_BYTES } from './geometry.ts';
import { checkRange } from './media-range.ts';

/** How far one command looks: 256 MiB. What lies beyond is for the next one. */
const WINDOW_BYTES = 256 * 1024 * 1024;
const HEADER_BYTES = 8;
const DESCRIPTOR_BYTES = 16;
/** More descriptors than this are cut; the initiator asks again from where they end. */
const MAX_DESCRIPTORS = 1024;

/** PROVISIONING STATUS, SBC-3 table 40 */
const Status = { mapped: 0, deallocated: 1 } as const;

interface Run {
  readonly lba: number;
  blocks: number;
  readonly status: number;
}

export function getLbaStatus(command: Command): void {
  const { cdb, unit } = command;
  const lba = readU64(cdb, 2);
  const allocationLength = readU32(cdb, 10);
  if (!checkRange(command, lba, 0)) return;
  // SBC-3 5.4.1: there must be room for one descriptor.
  if (allocationLength !== 0 && allocationLength < HEADER_BYTES + DESCRIPTOR_BYTES) {
    command.invalidCdbField(10);
    return;
  }
  const first = Math.floor(lba / PHYSICAL_BLOCK_BLOCKS) * PHYSICAL_BLOCK_BYTES;
  const window = Math.min(WINDOW_BYTES, unit.blocks * BLOCK_BYTES - first);
  command.busy = true;
  unit.volume.allocation(first, window, (error, bitmap) => {
    command.busy = false;
    if (command.aborted) unit.taskEnded(command);
    else if (error !== null) command.fail(error);
    else if (bitmap !== null) {
      const end = (first + window) / BLOCK_BYTES;
      const room = Math.floor((allocationLength - HEADER_BYTES) / DESCRIPTOR_BYTES);
      const runs = findRuns(bitmap, lba, end, Math.min(room, MAX_DESCRIPTORS));
      command.goodWithData(encode(runs), allocationLength);
    }
  });
}

/** Runs of blocks of one status from `lba` to `end`; the first begins at `lba`. */
function findRuns(bitmap: Uint8Array, lba: number, end: number, most: number): Run[] {
  const runs: Run[] = [];
  let at = lba;
  for (let index = 0; at < end; index += 1) {
    const block = Math.floor(lba / PHYSICAL_BLOCK_BLOCKS) + index;
    const next = Math.min((block + 1) * PHYSICAL_BLOCK_BLOCKS, end);
    const allocated = ((bitmap[index >>> 3] ?? 0) & (1 << (index & 7))) !== 0;
    const status = allocated ? Status.mapped : Status.deallocated;
    const last = runs.at(-1);
    if (last?.status === status) {
      last.blocks += next - at;
    } else {
      if (runs.length === most) break;
      runs.push({ lba: at, blocks: next - at, status });
    }
    at = next;
  }
  return runs;
}

/** SBC-3 5.4.2 */
function encode(runs: readonly Run[]): Uint8Array {
  const data = new Uint8Array(HEADER_BYTES + DESCRIPTOR_BYTES * runs.length);
  writeU32(data, 0, data.length - 4);
  runs.forEach((run, i) => {
    const at = HEADER_BYTES + DESCRIPTOR_BYTES * i;
    writeU64(data, at, run.lba);
    writeU32(data, at + 8, run.blocks);
    data[at + 12] = run.status;
  });
  return data;
}
