/** EXTENDED COPY within the unit. SPC-4 6.4 */
import { SCSI_LIMITS } from '../limits.ts';
import { gather, readU32 } from './cdb.ts';
import type { Command } from './command.ts';
import { HEADER_BYTES, parseCopyList, type CopySegment } from './copy-parameters.ts';
import { rememberCopy } from './copy-results.ts';
import { isUnitDesignator } from './designators.ts';
import { BLOCK_BYTES } from './geometry.ts';
import { finishWrite } from './read-write.ts';
import { Asc, SenseKey } from './sense.ts';

/** A list that is a little too long is still looked at, to refuse it for what is wrong with it. */
const MAX_LIST_BYTES = HEADER_BYTES + 2 * SCSI_LIMITS.copyDescriptorBytes;

export function extendedCopyBytes(cdb: Uint8Array): number {
  const length = readU32(cdb, 10);
  return length > MAX_LIST_BYTES ? 0 : length;
}

interface Progress {
  readonly listId: number | null;
  readonly segments: readonly CopySegment[];
  index: number;
  /** Bytes of the current segment that are copied. */
  copiedBytes: number;
  totalBytes: number;
}

export function extendedCopy(command: Command): void {
  const { cdb, unit } = command;
  const length = readU32(cdb, 10);
  command.transferBytes = extendedCopyBytes(cdb);
  // SPC-4 6.4.2: an empty list is not an error.
  if (length === 0) {
    command.good();
    return;
  }
  if (length > MAX_LIST_BYTES || command.dataOutBytes < length) {
    command.parameterListLengthError();
    return;
  }
  const parsed = parseCopyList(gather(command.dataOut, length), {
    blocks: unit.blocks,
    isNamedBy: (codeSet, type, designator) =>
      isUnitDesignator(unit.volume.volumeId, codeSet, type, designator),
  });
  if (parsed.kind === 'refused') {
    const { key, asc, pointer } = parsed.refusal;
    command.check(key, asc, null, pointer);
    return;
  }
  // The list says what is written, so the check is here and not in the operation's row.
  if (unit.mode.softwareWriteProtect && parsed.segments.length > 0) {
    command.check(SenseKey.dataProtect, Asc.softwareWriteProtected);
    return;
  }
  const progress: Progress = {
    listId: parsed.listId,
    segments: parsed.segments,
    index: 0,
    copiedBytes: 0,
    totalBytes: 0,
  };
  command.context = progress;
  copyNext(command);
}

function pieceOf(segment: CopySegment, copiedBytes: number): { at: number; lengthBytes: number } {
  const total = segment.blocks * BLOCK_BYTES;
  const lengthBytes = Math.min(total - copiedBytes, SCSI_LIMITS.copyPieceBytes);
  // Where the destination lies behind the source the copy begins at the end, so that an overlap is
  // not overwritten before it is read.
  const backwards = segment.destinationLba > segment.sourceLba;
  return { at: backwards ? total - copiedBytes - lengthBytes : copiedBytes, lengthBytes };
}

function copyNext(command: Command): void {
  const progress = command.context as Progress;
  const segment = progress.segments[progress.index];
  if (segment === undefined) {
    if (progress.listId !== null) {
      rememberCopy(command.nexus, progress.listId, {
        segments: progress.segments.length,
        bytes: progress.totalBytes,
      });
    }
    finishWrite(command);
    return;
  }
  const { at, lengthBytes } = pieceOf(segment, progress.copiedBytes);
  if (lengthBytes === 0) {
    progress.index += 1;
    progress.copiedBytes = 0;
    copyNext(command);
    return;
  }
  command.read(segment.sourceLba * BLOCK_BYTES + at, lengthBytes, writePiece);
}

function writePiece(command: Command): void {
  const progress = command.context as Progress;
  const segment = progress.segments[progress.index];
  if (segment === undefined) return;
  const { at, lengthBytes } = pieceOf(segment, progress.copiedBytes);
  progress.copiedBytes += lengthBytes;
  progress.totalBytes += lengthBytes;
  const offsetBytes = segment.destinationLba * BLOCK_BYTES + at;
  command.submit('write', offsetBytes, lengthBytes, command.chunks, copyNext);
}
