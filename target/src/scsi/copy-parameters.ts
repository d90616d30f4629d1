/** The parameter list of EXTENDED COPY (LID1). SPC-4 6.4.3 */
import { SCSI_LIMITS } from '../limits.ts';
import { readU16, readU24, readU32, readU64 } from './cdb.ts';
import { BLOCK_BYTES } from './geometry.ts';
import { Asc, SenseKey, type FieldPointer } from './sense.ts';

export const HEADER_BYTES = 16;
/** SPC-4 6.4.5.1: a CSCD descriptor has 32 bytes. */
const TARGET_BYTES = 32;
/** SPC-4 6.4.6.5 */
const SEGMENT_BYTES = 28;

export const IDENTIFICATION_TARGET = 0xe4;
export const BLOCK_TO_BLOCK_SEGMENT = 0x02;

/** LIST ID USAGE. SPC-4 table 108 */
const ListUsage = { discard: 0, reserved: 1, hold: 2, none: 3 } as const;

export interface CopySegment {
  readonly sourceLba: number;
  readonly destinationLba: number;
  readonly blocks: number;
}

export interface CopyRefusal {
  readonly key: SenseKey;
  readonly asc: number;
  readonly pointer: FieldPointer | null;
}

export type CopyList =
  | {
      readonly kind: 'copy';
      /** Null where the initiator does not want to ask for the result. */
      readonly listId: number | null;
      readonly segments: readonly CopySegment[];
    }
  | { readonly kind: 'refused'; readonly refusal: CopyRefusal };

/** The unit that is addressed, which is the only one that can be copied from and to. */
export interface CopyUnit {
  readonly blocks: number;
  /** Whether the designator, in the form of VPD page 83h, names this unit. */
  isNamedBy(codeSet: number, type: number, designator: Uint8Array): boolean;
}

function refuse(key: SenseKey, asc: number, pointer: FieldPointer | null = null): CopyList {
  return { kind: 'refused', refusal: { key, asc, pointer } };
}

function illegal(asc: number): CopyList {
  return refuse(SenseKey.illegalRequest, asc);
}

function badField(byte: number, bit: number | null = null): CopyList {
  const pointer = { inCdb: false, byte, bit };
  return refuse(SenseKey.illegalRequest, Asc.invalidFieldInParameterList, pointer);
}

/** Nothing is copied when anything in the list is wrong. */
export function parseCopyList(list: Uint8Array, unit: CopyUnit): CopyList {
  if (list.length < HEADER_BYTES) return illegal(Asc.parameterListLengthError);
  const usage = ((list[1] ?? 0) >>> 3) & 0x03;
  if (usage === ListUsage.reserved) return badField(1, 4);
  const listId = usage === ListUsage.none ? null : (list[0] ?? 0);
  // SPC-4 6.4.3.2: without a list identifier the field must be zero.
  if (listId === null && list[0] !== 0) return badField(0);
  const targetBytes = readU16(list, 2);
  const segmentBytes = readU32(list, 8);
  const inlineBytes = readU32(list, 12);
  if (
    targetBytes + segmentBytes > SCSI_LIMITS.copyDescriptorBytes ||
    HEADER_BYTES + targetBytes + segmentBytes + inlineBytes > list.length
  ) {
    return illegal(Asc.parameterListLengthError);
  }
  if (inlineBytes > 0) return illegal(Asc.inlineDataLengthExceeded);
  if (targetBytes % TARGET_BYTES !== 0) return badField(2);
  const targets = targetBytes / TARGET_BYTES;
  if (targets > SCSI_LIMITS.copyTargetDescriptors) return illegal(Asc.tooManyTargetDescriptors);
  for (let i = 0; i < targets; i += 1) {
    const refused = checkTarget(list, HEADER_BYTES + i * TARGET_BYTES, unit);
    if (refused !== null) return refused;
  }
  return parseSegments(list, HEADER_BYTES + targetBytes, segmentBytes, {
    listId,
    targets,
    blocks: unit.blocks,
  });
}

/**
 * Null when the descriptor names this unit. LU ID TYPE and NUL are obsolete and ignored. SPC-4
 * 6.4.5, SBC-3 7.1
 */
function checkTarget(list: Uint8Array, at: number, unit: CopyUnit): CopyList | null {
  if (list[at] !== IDENTIFICATION_TARGET) return illegal(Asc.unsupportedTargetDescriptorType);
  const second = list[at + 1] ?? 0;
  if ((second & 0x1f) !== 0) return refuse(SenseKey.copyAborted, Asc.incorrectCopyTargetDeviceType);
  const designatorBytes = list[at + 7] ?? 0;
  if (designatorBytes > 20) return badField(at + 7);
  const designator = list.subarray(at + 8, at + 8 + designatorBytes);
  if (!unit.isNamedBy((list[at + 4] ?? 0) & 0x0f, (list[at + 5] ?? 0) & 0x3f, designator)) {
    return refuse(SenseKey.copyAborted, Asc.copyTargetDeviceNotReachable);
  }
  // SBC-3 7.1: DISK BLOCK LENGTH; zero is taken for "as it is".
  const blockBytes = readU24(list, at + 29);
  if (blockBytes !== 0 && blockBytes !== BLOCK_BYTES) return badField(at + 29);
  return null;
}

function parseSegments(
  list: Uint8Array,
  from: number,
  lengthBytes: number,
  known: { readonly listId: number | null; readonly targets: number; readonly blocks: number },
): CopyList {
  const segments: CopySegment[] = [];
  const end = from + lengthBytes;
  for (let at = from; at < end; at += SEGMENT_BYTES) {
    if (segments.length === SCSI_LIMITS.copySegmentDescriptors) {
      return illegal(Asc.tooManySegmentDescriptors);
    }
    if (list[at] !== BLOCK_TO_BLOCK_SEGMENT) return illegal(Asc.unsupportedSegmentDescriptorType);
    if (at + SEGMENT_BYTES > end) return illegal(Asc.parameterListLengthError);
    if (readU16(list, at + 2) !== SEGMENT_BYTES - 4) return badField(at + 2);
    // SPC-4 6.4.6.1: an index beyond the list of targets.
    if (readU16(list, at + 4) >= known.targets || readU16(list, at + 6) >= known.targets) {
      return refuse(SenseKey.copyAborted, Asc.unreachableCopyTarget);
    }
    const segment: CopySegment = {
      blocks: readU16(list, at + 10),
      sourceLba: readU64(list, at + 12),
      destinationLba: readU64(list, at + 20),
    };
    if (
      segment.sourceLba + segment.blocks > known.blocks ||
      segment.destinationLba + segment.blocks > known.blocks
    ) {
      return refuse(SenseKey.copyAborted, Asc.none);
    }
    segments.push(segment);
  }
  return { kind: 'copy', listId: known.listId, segments };
}
