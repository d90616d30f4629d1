import { ScsiStatus, type Loan } from '../scsi/task.ts';
import type { Connection } from './connection.ts';
import { setUint16, setUint32 } from './pdu/bytes.ts';
import type { PduView } from './pdu/decoder.ts';
import {
  AsyncEvent,
  AsyncMessageFields,
  BHS_BYTES,
  BIDI_OVERFLOW_BIT,
  BIDI_UNDERFLOW_BIT,
  DataInFields,
  FINAL_BIT,
  NopInFields,
  Opcode,
  OVERFLOW_BIT,
  ReadyToTransferFields,
  RejectFields,
  type RejectReason,
  RESERVED_TAG,
  ScsiResponseFields,
  STATUS_BIT,
  TaskManagementResponseFields,
  type TaskManagementResponse,
  UNDERFLOW_BIT,
} from './pdu/fields.ts';
import type { IscsiTask, OutstandingR2T } from './task.ts';

// Offsets of the fields in the hot path, out of their tables once.
const ITT = DataInFields.initiatorTaskTag[0];
const TTT = DataInFields.targetTransferTag[0];
const STAT_SN = DataInFields.statSn[0];
const EXP_CMD_SN = DataInFields.expCmdSn[0];
const MAX_CMD_SN = DataInFields.maxCmdSn[0];
const DATA_SN = DataInFields.dataSn[0];
const BUFFER_OFFSET = DataInFields.bufferOffset[0];
const RESIDUAL = DataInFields.residual[0];
const DATA_IN_STATUS = DataInFields.status[0];

/** Opcode, flags, ITT and the command window; returns where the header is. */
export const beginResponse = (
  connection: Connection,
  opcode: number,
  flags: number,
  initiatorTaskTag: number,
): number => {
  const { outbox } = connection;
  const at = outbox.begin();
  const { slab } = outbox;
  slab[at] = opcode;
  slab[at + 1] = flags;
  setUint32(slab, at + ITT, initiatorTaskTag);
  const { session } = connection;
  if (session !== null) {
    setUint32(slab, at + EXP_CMD_SN, session.expCmdSn);
    setUint32(slab, at + MAX_CMD_SN, session.maxCmdSn);
  }
  return at;
};

/** The response takes a StatSN. */
export const advanceStatSn = (connection: Connection, at: number): void => {
  setUint32(connection.outbox.slab, at + STAT_SN, connection.statSn);
  connection.statSn = (connection.statSn + 1) >>> 0;
};

export interface ScsiOutcome {
  readonly status: ScsiStatus;
  readonly sense: Uint8Array | null;
  readonly dataIn: readonly Uint8Array[];
  readonly dataInLengthBytes: number;
  readonly requiredBytes: number;
  /** The memory behind dataIn. */
  readonly loan: Loan | null;
}

/**
 * Data-In PDUs and the status: in the last Data-In where that may be, else in a SCSI Response. RFC
 * 7143 11.4, 11.7
 */
export const sendScsiResponse = (
  connection: Connection,
  task: IscsiTask,
  outcome: ScsiOutcome,
): void => {
  const { status, sense } = outcome;
  const sendBytes = Math.min(outcome.dataInLengthBytes, task.expectedReadBytes);
  // RFC 7143 11.7.3: only without an exception; a bidirectional command needs both residual counts.
  const collapse =
    sendBytes > 0 &&
    sense === null &&
    !task.writes &&
    (status === ScsiStatus.good || status === ScsiStatus.conditionMet);
  if (sendBytes > 0) sendDataIn(connection, task, outcome, sendBytes, collapse);
  if (collapse) return;

  const at = beginResponse(connection, Opcode.scsiResponse, FINAL_BIT, task.initiatorTaskTag);
  const { slab } = connection.outbox;
  slab[at + ScsiResponseFields.status[0]] = status;
  advanceStatSn(connection, at);
  setUint32(slab, at + ScsiResponseFields.expDataSn[0], task.nextDataSn + task.nextR2TSn);
  setResiduals(slab, at, task, outcome);
  if (sense === null) {
    connection.outbox.finish(at, 0);
    return;
  }
  // RFC 7143 11.4.7: the data segment begins with SenseLength.
  const length = new Uint8Array(2);
  setUint16(length, 0, sense.length);
  connection.outbox.load([length, sense]);
  connection.outbox.finish(at, 2 + sense.length);
};

const sendDataIn = (
  connection: Connection,
  task: IscsiTask,
  outcome: ScsiOutcome,
  sendBytes: number,
  collapse: boolean,
): void => {
  const { outbox, maxSendSegmentBytes } = connection;
  const maxBurstBytes = connection.maxBurstBytes;
  outbox.load(outcome.dataIn, outcome.loan);
  let offset = 0;
  let burstBytes = 0;
  while (offset < sendBytes) {
    const bytes = Math.min(sendBytes - offset, maxSendSegmentBytes, maxBurstBytes - burstBytes);
    burstBytes += bytes;
    const last = offset + bytes === sendBytes;
    // RFC 7143 11.7.1: F ends a sequence, and a sequence is at most MaxBurstLength.
    const endsBurst = last || burstBytes === maxBurstBytes;
    if (endsBurst) burstBytes = 0;
    const at = beginResponse(
      connection,
      Opcode.dataIn,
      endsBurst ? FINAL_BIT : 0,
      task.initiatorTaskTag,
    );
    const { slab } = outbox;
    setUint32(slab, at + TTT, RESERVED_TAG);
    setUint32(slab, at + DATA_SN, task.nextDataSn++);
    setUint32(slab, at + BUFFER_OFFSET, offset);
    if (last && collapse) {
      slab[at + 1] = FINAL_BIT | STATUS_BIT;
      slab[at + DATA_IN_STATUS] = outcome.status;
      advanceStatSn(connection, at);
      setResiduals(slab, at, task, outcome);
    }
    outbox.finish(at, bytes);
    offset += bytes;
  }
};

/** RFC 7143 11.4.5: how the command's own length differs from what the initiator expected. */
const setResiduals = (
  slab: Uint8Array,
  at: number,
  task: IscsiTask,
  outcome: ScsiOutcome,
): void => {
  const required = outcome.requiredBytes;
  if (task.reads && task.writes) {
    // No command of this target moves data both ways, so its length belongs to the one direction
    // that it uses.
    const isRead = outcome.dataInLengthBytes > 0;
    setResidual(slab, at, isRead ? 0 : required, task.expectedBytes);
    const read = (isRead ? required : 0) - task.expectedReadBytes;
    if (read !== 0) {
      const flags = slab[at + 1] as number;
      slab[at + 1] = flags | (read > 0 ? BIDI_OVERFLOW_BIT : BIDI_UNDERFLOW_BIT);
      setUint32(slab, at + ScsiResponseFields.bidiResidual[0], Math.abs(read));
    }
    return;
  }
  setResidual(slab, at, required, task.expectedBytes);
};

const setResidual = (slab: Uint8Array, at: number, required: number, expected: number): void => {
  if (required === expected) return;
  const flags = slab[at + 1] as number;
  if (required > expected) {
    slab[at + 1] = flags | OVERFLOW_BIT;
    setUint32(slab, at + RESIDUAL, required - expected);
  } else {
    slab[at + 1] = flags | UNDERFLOW_BIT;
    setUint32(slab, at + RESIDUAL, expected - required);
  }
};

/** RFC 7143 11.8 */
export const sendReadyToTransfer = (
  connection: Connection,
  task: IscsiTask,
  r2t: OutstandingR2T,
): void => {
  const at = beginResponse(connection, Opcode.readyToTransfer, FINAL_BIT, task.initiatorTaskTag);
  const { slab } = connection.outbox;
  slab.set(task.lun, at + ReadyToTransferFields.lun[0]);
  setUint32(slab, at + TTT, r2t.targetTransferTag);
  // RFC 7143 11.8.2: the next StatSN, which is not used up.
  setUint32(slab, at + STAT_SN, connection.statSn);
  setUint32(slab, at + ReadyToTransferFields.r2tSn[0], task.nextR2TSn++);
  setUint32(slab, at + ReadyToTransferFields.bufferOffset[0], r2t.offset);
  setUint32(slab, at + ReadyToTransferFields.desiredBytes[0], r2t.bytes);
  connection.outbox.finish(at, 0);
};

/** RFC 7143 11.6 */
export const sendTaskManagementResponse = (
  connection: Connection,
  initiatorTaskTag: number,
  response: TaskManagementResponse,
): void => {
  const at = beginResponse(connection, Opcode.taskManagementResponse, FINAL_BIT, initiatorTaskTag);
  connection.outbox.slab[at + TaskManagementResponseFields.response[0]] = response;
  advanceStatSn(connection, at);
  connection.outbox.finish(at, 0);
};

/** RFC 7143 11.17: the header of the bad PDU comes back. */
export const sendReject = (connection: Connection, pdu: PduView, reason: RejectReason): void => {
  const header = pdu.copy(0, BHS_BYTES);
  const at = beginResponse(connection, Opcode.reject, FINAL_BIT, RESERVED_TAG);
  connection.outbox.slab[at + RejectFields.reason[0]] = reason;
  advanceStatSn(connection, at);
  connection.outbox.load([header]);
  connection.outbox.finish(at, BHS_BYTES);
};

/** An answer to a ping (its ITT, no TTT) or a ping of our own (no ITT, a TTT). RFC 7143 11.19 */
export const sendNopIn = (
  connection: Connection,
  fields: {
    initiatorTaskTag: number;
    targetTransferTag: number;
    lun: Uint8Array | null;
    data: Uint8Array;
  },
): void => {
  const { initiatorTaskTag, targetTransferTag, lun, data } = fields;
  const at = beginResponse(connection, Opcode.nopIn, FINAL_BIT, initiatorTaskTag);
  const { outbox } = connection;
  if (lun !== null) outbox.slab.set(lun, at + NopInFields.lun[0]);
  setUint32(outbox.slab, at + TTT, targetTransferTag);
  // RFC 7143 11.19.2: only the answer to a ping takes a StatSN.
  if (initiatorTaskTag === RESERVED_TAG) setUint32(outbox.slab, at + STAT_SN, connection.statSn);
  else advanceStatSn(connection, at);
  outbox.load([data]);
  outbox.finish(at, data.length);
};

/** RFC 7143 11.9 */
export const sendAsyncMessage = (
  connection: Connection,
  event: AsyncEvent,
  parameters: { parameter1: number; parameter2: number; parameter3: number },
): void => {
  const at = beginResponse(connection, Opcode.asyncMessage, FINAL_BIT, RESERVED_TAG);
  const { slab } = connection.outbox;
  advanceStatSn(connection, at);
  slab[at + AsyncMessageFields.event[0]] = event;
  setUint16(slab, at + AsyncMessageFields.parameter1[0], parameters.parameter1);
  setUint16(slab, at + AsyncMessageFields.parameter2[0], parameters.parameter2);
  setUint16(slab, at + AsyncMessageFields.parameter3[0], parameters.parameter3);
  connection.outbox.finish(at, 0);
};
