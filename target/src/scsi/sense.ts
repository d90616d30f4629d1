/** Sense data, fixed and descriptor format. SPC-4 4.5 */
import { writeU16, writeU32, writeU64 } from './cdb.ts';

/** SPC-4 4.5.6, table 46 */
export const SenseKey = {
  noSense: 0x0,
  notReady: 0x2,
  mediumError: 0x3,
  hardwareError: 0x4,
  illegalRequest: 0x5,
  unitAttention: 0x6,
  dataProtect: 0x7,
  copyAborted: 0xa,
  abortedCommand: 0xb,
  miscompare: 0xe,
} as const;
export type SenseKey = (typeof SenseKey)[keyof typeof SenseKey];

/** Additional sense code in the high byte, its qualifier in the low one. SPC-4 annex F */
export const Asc = {
  none: 0x0000,
  notReadyCauseNotReportable: 0x0400,
  notReadyBecomingReady: 0x0401,
  initializingCommandRequired: 0x0402,
  writeError: 0x0c00,
  unreachableCopyTarget: 0x0804,
  copyTargetDeviceNotReachable: 0x0d02,
  incorrectCopyTargetDeviceType: 0x0d03,
  invalidFieldInCommandInformationUnit: 0x0e03,
  unrecoveredReadError: 0x1100,
  parameterListLengthError: 0x1a00,
  miscompareDuringVerify: 0x1d00,
  invalidOperationCode: 0x2000,
  lbaOutOfRange: 0x2100,
  invalidFieldInCdb: 0x2400,
  logicalUnitNotSupported: 0x2500,
  invalidFieldInParameterList: 0x2600,
  invalidReleaseOfReservation: 0x2604,
  tooManyTargetDescriptors: 0x2606,
  unsupportedTargetDescriptorType: 0x2607,
  tooManySegmentDescriptors: 0x2608,
  unsupportedSegmentDescriptorType: 0x2609,
  inlineDataLengthExceeded: 0x260b,
  invalidCopyOperation: 0x260c,
  softwareWriteProtected: 0x2702,
  spaceAllocationFailed: 0x2707,
  mediumMayHaveChanged: 0x2800,
  powerOnResetOrBusDeviceReset: 0x2900,
  busDeviceResetFunctionOccurred: 0x2903,
  itNexusLossOccurred: 0x2907,
  modeParametersChanged: 0x2a01,
  reservationsPreempted: 0x2a03,
  reservationsReleased: 0x2a04,
  registrationsPreempted: 0x2a05,
  capacityDataHasChanged: 0x2a09,
  commandsClearedByAnotherInitiator: 0x2f00,
  savingParametersNotSupported: 0x3900,
  internalTargetFailure: 0x4400,
  invalidMessage: 0x4900,
  insufficientRegistrationResources: 0x5504,
} as const;

/**
 * Points at the field in error; `bit` is its leftmost bit, null for the whole byte. SPC-4 4.5.2.4.2
 */
export interface FieldPointer {
  readonly inCdb: boolean;
  readonly byte: number;
  readonly bit: number | null;
}

const FIXED_BYTES = 18;

function writeFieldPointer(sense: Uint8Array, at: number, pointer: FieldPointer): void {
  sense[at] =
    0x80 | (pointer.inCdb ? 0x40 : 0x00) | (pointer.bit === null ? 0x00 : 0x08 | pointer.bit);
  writeU16(sense, at + 1, pointer.byte);
}

/** `information` is the field of that name: an LBA, or the offset of a miscompare. */
export function buildSense(
  descriptorFormat: boolean,
  key: SenseKey,
  asc: number,
  information: number | null = null,
  pointer: FieldPointer | null = null,
): Uint8Array {
  return descriptorFormat
    ? buildDescriptorSense(key, asc, information, pointer)
    : buildFixedSense(key, asc, information, pointer);
}

/** SPC-4 4.5.3 */
function buildFixedSense(
  key: SenseKey,
  asc: number,
  information: number | null,
  pointer: FieldPointer | null,
): Uint8Array {
  const sense = new Uint8Array(FIXED_BYTES);
  sense[0] = 0x70;
  sense[2] = key;
  // An LBA beyond 32 bits cannot be told in this format: VALID stays zero.
  if (information !== null && information <= 0xffff_ffff) {
    sense[0] |= 0x80;
    writeU32(sense, 3, information);
  }
  sense[7] = FIXED_BYTES - 8;
  sense[12] = asc >>> 8;
  sense[13] = asc;
  if (pointer !== null) writeFieldPointer(sense, 15, pointer);
  return sense;
}

/** SPC-4 4.5.2 */
function buildDescriptorSense(
  key: SenseKey,
  asc: number,
  information: number | null,
  pointer: FieldPointer | null,
): Uint8Array {
  const additional = (information === null ? 0 : 12) + (pointer === null ? 0 : 8);
  const sense = new Uint8Array(8 + additional);
  sense[0] = 0x72;
  sense[1] = key;
  sense[2] = asc >>> 8;
  sense[3] = asc;
  sense[7] = additional;
  let at = 8;
  if (information !== null) {
    // SPC-4 4.5.2.2: information descriptor, VALID.
    sense[at] = 0x00;
    sense[at + 1] = 0x0a;
    sense[at + 2] = 0x80;
    writeU64(sense, at + 4, information);
    at += 12;
  }
  if (pointer !== null) {
    // SPC-4 4.5.2.4: sense key specific descriptor.
    sense[at] = 0x02;
    sense[at + 1] = 0x06;
    writeFieldPointer(sense, at + 4, pointer);
  }
  return sense;
}
