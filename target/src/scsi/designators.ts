/** Designation descriptors of the unit, its port and its device. SPC-4 7.8.6 */
import { writeAscii, writeU16 } from './cdb.ts';
import { localNaa, VENDOR, volumeIdBytes } from './identity.ts';

/** SPC-4 7.8.6.1, tables 599 to 602 */
const CodeSet = { binary: 0x1, ascii: 0x2, utf8: 0x3 } as const;
const Association = { logicalUnit: 0x00, targetPort: 0x10, targetDevice: 0x20 } as const;
const DesignatorType = {
  t10VendorId: 0x1,
  naa: 0x3,
  relativeTargetPort: 0x4,
  targetPortGroup: 0x5,
  scsiNameString: 0x8,
  uuid: 0xa,
} as const;
/** SPC-4 7.6.1: PROTOCOL IDENTIFIER iSCSI; PIV says that it is valid. */
const PROTOCOL_ISCSI = 0x50;
const PIV = 0x80;

function designator(
  association: number,
  type: number,
  codeSet: number,
  content: Uint8Array,
): Uint8Array {
  const bytes = new Uint8Array(4 + content.length);
  const ofUnit = association === Association.logicalUnit;
  bytes[0] = (ofUnit ? 0x00 : PROTOCOL_ISCSI) | codeSet;
  bytes[1] = (ofUnit ? 0x00 : PIV) | association | type;
  bytes[3] = content.length;
  bytes.set(content, 4);
  return bytes;
}

/** Those that name the logical unit, the shortest first. */
export function unitDesignators(volumeId: string): Uint8Array[] {
  const uuid = new Uint8Array(18);
  // SPC-5 7.7.6.13: a UUID.
  uuid[0] = 0x10;
  uuid.set(volumeIdBytes(volumeId), 2);
  const t10 = new Uint8Array(8 + volumeId.length);
  writeAscii(t10, 0, 8, VENDOR);
  writeAscii(t10, 8, volumeId.length, volumeId);
  return [
    designator(Association.logicalUnit, DesignatorType.naa, CodeSet.binary, localNaa(volumeId)),
    designator(Association.logicalUnit, DesignatorType.uuid, CodeSet.binary, uuid),
    designator(Association.logicalUnit, DesignatorType.t10VendorId, CodeSet.ascii, t10),
  ];
}

/** Those that name the port through which it is asked, and the device. */
export function portDesignators(iqn: string, portalGroupTag: number): Uint8Array[] {
  const number = new Uint8Array(4);
  writeU16(number, 2, portalGroupTag);
  const port = `${iqn},t,0x${portalGroupTag.toString(16).padStart(4, '0')}`;
  const { targetPort, targetDevice } = Association;
  const { relativeTargetPort, targetPortGroup, scsiNameString } = DesignatorType;
  return [
    designator(targetPort, relativeTargetPort, CodeSet.binary, number),
    designator(targetPort, targetPortGroup, CodeSet.binary, number),
    designator(targetPort, scsiNameString, CodeSet.utf8, nameString(port)),
    designator(targetDevice, scsiNameString, CodeSet.utf8, nameString(iqn)),
  ];
}

/** SPC-4 7.8.6.11: UTF-8, null-terminated, padded to a multiple of four. */
function nameString(name: string): Uint8Array {
  const text = new TextEncoder().encode(name);
  const bytes = new Uint8Array(Math.ceil((text.length + 1) / 4) * 4);
  bytes.set(text);
  return bytes;
}

/**
 * Whether a designator that came from outside is one of the unit's; a long one may be cut to
 * `content`.
 */
export function isUnitDesignator(
  volumeId: string,
  codeSet: number,
  type: number,
  content: Uint8Array,
): boolean {
  return unitDesignators(volumeId).some(
    (own) =>
      own[0] === codeSet &&
      own[1] === type &&
      content.length === Math.min(own.length - 4, 20) &&
      Buffer.compare(own.subarray(4, 4 + content.length), content) === 0,
  );
}
