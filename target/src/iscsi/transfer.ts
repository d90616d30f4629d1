import { LIMITS } from '../limits.ts';
import { ScsiStatus } from '../scsi/task.ts';
import type { Connection } from './connection.ts';
import type { PduView } from './pdu/decoder.ts';
import { FINAL_BIT, RESERVED_TAG } from './pdu/fields.ts';
import { sendReadyToTransfer } from './responses.ts';
import type { Session } from './session.ts';
import { TaskPhase, type IscsiTask, type OutstandingR2T } from './task.ts';

/** What a command with broken Data-Out ends with: ABORTED COMMAND. RFC 7143 11.4.7.2 */
export const DataOutFailure = {
  unexpectedUnsolicitedData: abortedCommand(0x0c, 0x0c),
  incorrectAmountOfData: abortedCommand(0x0c, 0x0d),
  protocolServiceCrcError: abortedCommand(0x47, 0x05),
} as const;

/** Fixed-format sense data, sense key 0Bh. SPC-4 4.5.3 */
function abortedCommand(asc: number, ascq: number): Uint8Array {
  const sense = new Uint8Array(18);
  sense[0] = 0x70;
  sense[2] = 0x0b;
  sense[7] = 10;
  sense[12] = asc;
  sense[13] = ascq;
  return sense;
}

/** The immediate data, and what is to come. RFC 7143 4.2.5 */
export const beginDataOut = (
  connection: Connection,
  session: Session,
  task: IscsiTask,
  pdu: PduView,
): void => {
  const { parameters } = session;
  const wanted = connection.context.device.dataOutBytes(task.cdb);
  task.neededBytes = Math.min(wanted, task.expectedBytes, LIMITS.dataOutBytes);
  task.costBytes = task.neededBytes;
  task.unsolicitedOpen = (pdu.flags & FINAL_BIT) === 0;
  if (pdu.dataBytes > 0) {
    if (!parameters.immediateData) {
      task.failureSense = DataOutFailure.unexpectedUnsolicitedData;
    } else if (pdu.dataBytes > parameters.firstBurstBytes) {
      // RFC 7143 13.14
      task.failureSense = DataOutFailure.incorrectAmountOfData;
    } else {
      task.receivedBytes = pdu.dataBytes;
    }
  }
  if (task.unsolicitedOpen && parameters.initialR2T) {
    task.failureSense ??= DataOutFailure.unexpectedUnsolicitedData;
  }
  const complete = !task.unsolicitedOpen && task.receivedBytes >= task.neededBytes;
  if (complete && task.failureSense === null) {
    // The usual way: everything is here and is lent to the device server from the receive buffer.
    if (task.neededBytes > 0) {
      const from = pdu.dataAt;
      task.dataOut = [pdu.buffer.subarray(from, from + task.neededBytes)];
      task.dataOutLengthBytes = task.neededBytes;
    }
    admit(session, task);
    execute(connection, task);
    return;
  }
  if (task.receivedBytes > 0 && task.failureSense === null) gather(task, 0, pdu.data);
  continueDataOut(connection, session, task);
};

/** Keeps a piece of Data-Out; what the command does not need is dropped. */
const gather = (task: IscsiTask, offset: number, data: Uint8Array): void => {
  const keep = Math.min(data.length, task.neededBytes - offset);
  if (keep <= 0) return;
  task.gathered ??= task.connection.context.pool.take(task.neededBytes);
  task.gathered.buffer.set(keep === data.length ? data : data.subarray(0, keep), offset);
};

/** Goes on after a sequence of Data-Out has ended. */
export const continueDataOut = (
  connection: Connection,
  session: Session,
  task: IscsiTask,
): void => {
  if (task.unsolicitedOpen) return;
  if (task.failureSense !== null) {
    // RFC 7143 7.8: the response waits until the initiator has sent everything that it was asked
    // for.
    if (task.r2ts !== null && task.r2ts.length > 0) return;
    task.complete(ScsiStatus.checkCondition, task.failureSense, [], 0, task.neededBytes, null);
    return;
  }
  if (task.admitted) proceed(connection, session, task);
  else start(connection, session, task);
};

/** Executes or solicits: at once, or when less is in flight. */
export const start = (connection: Connection, session: Session, task: IscsiTask): void => {
  // What moves no data needs no room and waits for nobody.
  if (task.costBytes > 0 && (session.waiting.length > 0 || !fits(connection, session, task))) {
    task.phase = TaskPhase.waiting;
    session.waiting.push(task);
    return;
  }
  admit(session, task);
  proceed(connection, session, task);
};

/** Starts waiting tasks, in order, as far as there is room again. */
export const runWaiting = (connection: Connection, session: Session): void => {
  for (;;) {
    const task = session.waiting[0];
    if (task === undefined || !fits(connection, session, task)) return;
    session.waiting.shift();
    admit(session, task);
    proceed(connection, session, task);
  }
};

/** One task always fits: a limit below its size would stop it for good. */
const fits = (connection: Connection, session: Session, task: IscsiTask): boolean =>
  connection.backlogBytes < LIMITS.unsentBytes &&
  (session.transferBytes === 0 ||
    session.transferBytes + task.costBytes <= LIMITS.transferBytesInFlight);

const admit = (session: Session, task: IscsiTask): void => {
  task.admitted = true;
  session.transferBytes += task.costBytes;
};

const proceed = (connection: Connection, session: Session, task: IscsiTask): void => {
  if (task.receivedBytes < task.neededBytes) {
    task.phase = TaskPhase.collecting;
    solicit(connection, session, task);
    return;
  }
  if (task.gathered !== null) {
    task.dataOut = [task.gathered.buffer.subarray(0, task.neededBytes)];
    task.dataOutLengthBytes = task.neededBytes;
  }
  execute(connection, task);
};

const execute = (connection: Connection, task: IscsiTask): void => {
  task.phase = TaskPhase.executing;
  const lent = task.gathered;
  task.gathered = null;
  connection.context.device.execute(task);
  lent?.release();
};

/** As many R2Ts as may be outstanding. RFC 7143 11.8, 13.17 */
const solicit = (connection: Connection, session: Session, task: IscsiTask): void => {
  const { maxOutstandingR2T, maxBurstBytes } = session.parameters;
  task.r2ts ??= [];
  if (task.solicitedBytes < task.receivedBytes) task.solicitedBytes = task.receivedBytes;
  while (task.r2ts.length < maxOutstandingR2T && task.solicitedBytes < task.neededBytes) {
    const r2t: OutstandingR2T = {
      targetTransferTag: connection.newTransferTag(),
      offset: task.solicitedBytes,
      bytes: Math.min(maxBurstBytes, task.neededBytes - task.solicitedBytes),
      received: 0,
      nextDataSn: 0,
    };
    task.r2ts.push(r2t);
    task.solicitedBytes += r2t.bytes;
    sendReadyToTransfer(connection, task, r2t);
  }
};

/** One unsolicited Data-Out PDU. RFC 7143 4.2.5.2 */
export const takeUnsolicited = (session: Session, task: IscsiTask, piece: DataOutPiece): void => {
  const { firstBurstBytes } = session.parameters;
  const end = piece.offset + piece.data.length;
  if (piece.dataSn !== task.unsolicitedDataSn || piece.offset !== task.receivedBytes) {
    task.failureSense ??= DataOutFailure.protocolServiceCrcError;
  } else if (end > firstBurstBytes || end > task.expectedBytes) {
    task.failureSense ??= DataOutFailure.incorrectAmountOfData;
  } else if (task.failureSense === null) {
    gather(task, piece.offset, piece.data);
    task.receivedBytes = end;
  }
  task.unsolicitedDataSn = (piece.dataSn + 1) >>> 0;
  if (piece.final) task.unsolicitedOpen = false;
};

/**
 * One Data-Out PDU that an R2T asked for; false when its target transfer tag is not that of the R2T
 * in turn.
 */
export const takeSolicited = (task: IscsiTask, tag: number, piece: DataOutPiece): boolean => {
  const r2t = task.r2ts?.[0];
  // RFC 7143 13.19: with DataSequenceInOrder the R2Ts are answered in the order in which they were
  // sent.
  if (r2t?.targetTransferTag !== tag || tag === RESERVED_TAG) return false;
  const expected = r2t.offset + r2t.received;
  if (piece.dataSn !== r2t.nextDataSn || piece.offset !== expected) {
    // RFC 7143 7.9: a gap means a PDU that was lost.
    task.failureSense ??= DataOutFailure.protocolServiceCrcError;
  } else if (r2t.received + piece.data.length > r2t.bytes) {
    task.failureSense ??= DataOutFailure.incorrectAmountOfData;
  } else if (task.failureSense === null) {
    gather(task, piece.offset, piece.data);
    r2t.received += piece.data.length;
    task.receivedBytes = piece.offset + piece.data.length;
  }
  r2t.nextDataSn = (r2t.nextDataSn + 1) >>> 0;
  if (piece.final) {
    if (r2t.received !== r2t.bytes) {
      task.failureSense ??= DataOutFailure.incorrectAmountOfData;
    }
    task.r2ts?.shift();
  }
  return true;
};

export interface DataOutPiece {
  readonly dataSn: number;
  readonly offset: number;
  readonly final: boolean;
  /** Borrowed. */
  readonly data: Uint8Array;
}
