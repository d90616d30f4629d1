import { LIMITS } from '../../limits.ts';
import type { TaskAttribute } from '../../scsi/task.ts';
import type { Connection } from '../connection.ts';
import type { PduView } from '../pdu/decoder.ts';
import {
  ATTRIBUTE_MASK,
  FINAL_BIT,
  READ_BIT,
  RejectReason,
  RESERVED_TAG,
  ScsiCommandFields,
  WRITE_BIT,
} from '../pdu/fields.ts';
import { getUint16, getUint32 } from '../pdu/bytes.ts';
import type { Session } from '../session.ts';
import { IscsiTask } from '../task.ts';
import { beginDataOut, start } from '../transfer.ts';

const ITT = ScsiCommandFields.initiatorTaskTag[0];
const EXPECTED_BYTES = ScsiCommandFields.expectedBytes[0];
const CMD_SN = ScsiCommandFields.cmdSn[0];
const LUN = ScsiCommandFields.lun[0];
const CDB = ScsiCommandFields.cdb[0];

/** RFC 7143 11.3.1; 5 to 7 are reserved. */
const ATTRIBUTES: readonly (TaskAttribute | undefined)[] = [
  'untagged',
  'simple',
  'ordered',
  'head-of-queue',
  'aca',
];

/** RFC 7143 11.3. The CmdSN has been accepted already. */
export const handleScsiCommand = (
  connection: Connection,
  session: Session,
  pdu: PduView,
  immediate: boolean,
): void => {
  connection.context.counters.commands++;
  const initiatorTaskTag = pdu.uint32(ITT);
  const refused = refuse(session, pdu, initiatorTaskTag, immediate);
  if (refused !== null) {
    if (!immediate) session.openWindow();
    connection.reject(pdu, refused);
    return;
  }
  const { flags } = pdu;
  const reads = (flags & READ_BIT) !== 0;
  const writes = (flags & WRITE_BIT) !== 0;
  const expectedBytes = pdu.uint32(EXPECTED_BYTES);
  const additional = pdu.ahsBytes === 0 ? NO_AHS : parseAhs(pdu.ahs);
  if (additional === null) {
    if (!immediate) session.openWindow();
    connection.reject(pdu, RejectReason.invalidPduField);
    return;
  }
  const cdb = pdu.copy(CDB, 16);
  const task = new IscsiTask(connection, session, {
    lun: connection.lun(pdu, LUN),
    cdb: additional.cdb === null ? cdb : joined(cdb, additional.cdb),
    attribute: ATTRIBUTES[flags & ATTRIBUTE_MASK] as TaskAttribute,
    initiatorTaskTag,
    cmdSn: pdu.uint32(CMD_SN),
    immediate,
    reads,
    writes,
    expectedBytes,
    expectedReadBytes: reads ? (writes ? additional.readBytes : expectedBytes) : 0,
  });
  session.taskBegan(task);
  if (!writes) {
    task.costBytes = Math.min(expectedBytes, LIMITS.dataOutBytes);
    start(connection, session, task);
    return;
  }
  beginDataOut(connection, session, task, pdu);
};

/** What makes a command impossible before anything is known of its CDB; null is nothing. */
const refuse = (
  session: Session,
  pdu: PduView,
  initiatorTaskTag: number,
  immediate: boolean,
): RejectReason | null => {
  if (session.discovery) return RejectReason.protocolError;
  if (session.tasks.has(initiatorTaskTag)) return RejectReason.taskInProgress;
  if (initiatorTaskTag === RESERVED_TAG) return RejectReason.invalidPduField;
  if (immediate && session.immediateTasks >= LIMITS.immediateCommandsInFlight) {
    return RejectReason.immediateCommandReject;
  }
  const { flags } = pdu;
  if (ATTRIBUTES[flags & ATTRIBUTE_MASK] === undefined) return RejectReason.invalidPduField;
  // RFC 7143 11.3.4, 11.3.5: data comes only with W, and never more than expected.
  if (pdu.dataBytes > 0) {
    if ((flags & WRITE_BIT) === 0) return RejectReason.invalidPduField;
    if (pdu.dataBytes > pdu.uint32(EXPECTED_BYTES)) return RejectReason.invalidPduField;
  }
  // RFC 7143 11.3.1: F is set where no unsolicited Data-Out follows; without W nothing can.
  if ((flags & (FINAL_BIT | WRITE_BIT)) === 0) return RejectReason.invalidPduField;
  return null;
};

interface AdditionalHeaders {
  /** What follows the first 16 bytes of the CDB. */
  readonly cdb: Uint8Array | null;
  readonly readBytes: number;
}

const NO_AHS: AdditionalHeaders = { cdb: null, readBytes: 0 };

/** RFC 7143 11.2.2. Null when they do not add up. */
const parseAhs = (ahs: Uint8Array): AdditionalHeaders | null => {
  let cdb: Uint8Array | null = null;
  let readBytes = 0;
  let at = 0;
  while (at < ahs.length) {
    const length = getUint16(ahs, at);
    const type = (ahs[at + 2] as number) & 0x3f;
    // AHSLength counts what follows AHSType, its specific byte included.
    const end = at + 3 + length;
    if (length === 0 || end > ahs.length) return null;
    if (type === 1) {
      if (cdb !== null) return null;
      cdb = Uint8Array.prototype.slice.call(ahs, at + 4, end);
    } else if (type === 2) {
      if (length !== 5) return null;
      readBytes = getUint32(ahs, at + 4);
    } else {
      return null;
    }
    at = (end + 3) & ~3;
  }
  return { cdb, readBytes };
};

const joined = (cdb: Uint8Array, rest: Uint8Array): Uint8Array => {
  const whole = new Uint8Array(cdb.length + rest.length);
  whole.set(cdb);
  whole.set(rest, cdb.length);
  return whole;
};
