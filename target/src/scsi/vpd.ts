/** Vital product data pages. SPC-4 7.8, SBC-3 6.6 */
import { SCSI_LIMITS } from '../limits.ts';
import { writeAscii, writeU16, writeU32, writeU64 } from './cdb.ts';
import { PHYSICAL_BLOCK_BLOCKS } from './geometry.ts';
import { portDesignators, unitDesignators } from './designators.ts';
import type { LogicalUnit } from './logical-unit.ts';
import type { NexusState } from './nexus.ts';
import { thirdPartyCopyDescriptors } from './third-party-copy-page.ts';
import { ATOMIC_UNIT_BLOCKS, atomicBlocks, offersAtomicWrites } from './write-atomic.ts';

type PageBuilder = (unit: LogicalUnit, nexus: NexusState) => Uint8Array;

/** In ascending order: this is what page 00h lists. SPC-4 7.8.14 */
const PAGES: ReadonlyMap<number, PageBuilder> = new Map<number, PageBuilder>([
  [0x00, () => page(0x00, Uint8Array.from(PAGES.keys()))],
  [0x80, (unit) => page(0x80, ascii(unit.volume.volumeId))],
  [0x83, (unit, nexus) => page(0x83, deviceIdentification(unit, nexus))],
  [0x86, () => extendedInquiry()],
  [0x8f, () => page(0x8f, concatenate(thirdPartyCopyDescriptors()))],
  [0xb0, (unit) => blockLimits(unit)],
  [0xb1, () => blockDeviceCharacteristics()],
  [0xb2, () => logicalBlockProvisioning()],
]);

/** Null for a page that is not supported. */
export function buildVpdPage(
  code: number,
  unit: LogicalUnit,
  nexus: NexusState,
): Uint8Array | null {
  return PAGES.get(code)?.(unit, nexus) ?? null;
}

function deviceIdentification(unit: LogicalUnit, nexus: NexusState): Uint8Array {
  return concatenate([
    ...unitDesignators(unit.volume.volumeId),
    ...portDesignators(unit.iqn, nexus.nexus.portalGroupTag),
  ]);
}

function page(code: number, content: Uint8Array): Uint8Array {
  const data = new Uint8Array(4 + content.length);
  data[1] = code;
  writeU16(data, 2, content.length);
  data.set(content, 4);
  return data;
}

function ascii(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  writeAscii(bytes, 0, text.length, text);
  return bytes;
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** SPC-4 7.8.7 */
function extendedInquiry(): Uint8Array {
  const data = new Uint8Array(64);
  data[1] = 0x86;
  data[3] = 60;
  // HEADSUP, ORDSUP, SIMPSUP: these task attributes are supported.
  data[5] = 0x07;
  // V_SUP: there is a volatile cache, the page caches of the replicas.
  data[6] = 0x01;
  return data;
}

/**
 * SBC-3 6.6.3 (SBC-4 6.6.5 for the atomic fields): the limits that commands are checked against,
 * and no others.
 */
function blockLimits(unit: LogicalUnit): Uint8Array {
  const data = new Uint8Array(64);
  data[1] = 0xb0;
  data[3] = 60;
  // WSNZ: WRITE SAME of 0 blocks, which would be to the end of the medium, is refused.
  data[4] = 0x01;
  data[5] = SCSI_LIMITS.compareAndWriteBlocks;
  writeU16(data, 6, PHYSICAL_BLOCK_BLOCKS);
  writeU32(data, 8, SCSI_LIMITS.transferBlocks);
  writeU32(data, 12, SCSI_LIMITS.optimalTransferBlocks);
  writeU32(data, 16, SCSI_LIMITS.transferBlocks);
  writeU32(data, 20, SCSI_LIMITS.unmapBlocks);
  writeU32(data, 24, SCSI_LIMITS.unmapDescriptors);
  writeU32(data, 28, PHYSICAL_BLOCK_BLOCKS);
  // UGAVALID: the alignment, zero, is meant.
  data[32] = 0x80;
  writeU64(data, 36, SCSI_LIMITS.writeSameBlocks);
  // Atomic writes: their length, alignment and granularity. None with a boundary.
  if (offersAtomicWrites(unit)) {
    writeU32(data, 44, atomicBlocks(unit));
    writeU32(data, 48, ATOMIC_UNIT_BLOCKS);
    writeU32(data, 52, ATOMIC_UNIT_BLOCKS);
  }
  return data;
}

/** SBC-3 6.6.2 */
function blockDeviceCharacteristics(): Uint8Array {
  const data = new Uint8Array(64);
  data[1] = 0xb1;
  data[3] = 60;
  // MEDIUM ROTATION RATE 0001h: non-rotating.
  writeU16(data, 4, 0x0001);
  return data;
}

/** SBC-3 6.6.4 */
function logicalBlockProvisioning(): Uint8Array {
  const data = new Uint8Array(8);
  data[1] = 0xb2;
  data[3] = 4;
  // LBPU, LBPWS, LBPWS10: UNMAP and both WRITE SAMEs deallocate. LBPRZ: what is deallocated reads
  // zero.
  data[5] = 0x80 | 0x40 | 0x20 | 0x04;
  // PROVISIONING TYPE: thin.
  data[6] = 0x02;
  return data;
}
