import type { TaskManagementFunction } from '../../scsi/task.ts';
import type { Connection } from '../connection.ts';
import { serialBefore } from '../pdu/bytes.ts';
import type { PduView } from '../pdu/decoder.ts';
import {
  TaskManagementCode,
  TaskManagementRequestFields,
  TaskManagementResponse,
  RejectReason,
} from '../pdu/fields.ts';
import { sendTaskManagementResponse } from '../responses.ts';
import type { Session } from '../session.ts';
import { IscsiTask, TaskPhase } from '../task.ts';

const FUNCTION_MASK = 0x7f;

/** RFC 7143 11.5 */
export const handleTaskManagement = (
  connection: Connection,
  session: Session,
  pdu: PduView,
  immediate: boolean,
): void => {
  if (!immediate) session.openWindow();
  if (session.discovery) return connection.reject(pdu, RejectReason.protocolError);
  const initiatorTaskTag = pdu.uint32(TaskManagementRequestFields.initiatorTaskTag[0]);
  const lun = pdu.copy(TaskManagementRequestFields.lun[0], 8);
  const respond = (response: TaskManagementResponse): void => {
    if (!connection.sending) return;
    sendTaskManagementResponse(connection, initiatorTaskTag, response);
    connection.flushSoon();
  };
  switch (pdu.flags & FUNCTION_MASK) {
    case TaskManagementCode.abortTask:
      return respond(abortTask(connection, session, pdu, lun));
    case TaskManagementCode.abortTaskSet:
      return manage(connection, session, 'abort-task-set', lun, respond);
    case TaskManagementCode.clearTaskSet:
      return manage(connection, session, 'clear-task-set', lun, respond);
    case TaskManagementCode.logicalUnitReset:
      return manage(connection, session, 'logical-unit-reset', lun, respond);
    case TaskManagementCode.targetWarmReset:
      return manage(connection, session, 'target-warm-reset', lun, respond);
    case TaskManagementCode.targetColdReset:
      return manage(connection, session, 'target-cold-reset', lun, (response) => {
        respond(response);
        if (response !== TaskManagementResponse.functionComplete) return;
        // RFC 7143 11.5.1: after a cold reset all sessions with this target are gone.
        for (const each of [...connection.context.connections]) {
          if (each.session?.discovery === false) each.finish('target cold reset');
        }
      });
    case TaskManagementCode.taskReassign:
      return respond(TaskManagementResponse.reassignNotSupported);
    default:
      // CLEAR ACA is among them: NACA is refused, so there is never an ACA condition.
      return respond(TaskManagementResponse.functionNotSupported);
  }
};

/** RFC 7143 11.5.1, 11.6.1: what the response says about a task that is not there. */
const abortTask = (
  connection: Connection,
  session: Session,
  pdu: PduView,
  lun: Uint8Array,
): TaskManagementResponse => {
  const task = session.tasks.get(pdu.uint32(TaskManagementRequestFields.referencedTaskTag[0]));
  if (task !== undefined) {
    if (!sameLun(task.lun, lun)) return TaskManagementResponse.taskDoesNotExist;
    abort(connection, task);
    return TaskManagementResponse.functionComplete;
  }
  const refCmdSn = pdu.uint32(TaskManagementRequestFields.refCmdSn[0]);
  const cmdSn = pdu.uint32(TaskManagementRequestFields.cmdSn[0]);
  // A command that is still on its way: it counts as received from now on, so that it will be
  // ignored.
  if (session.place(refCmdSn) !== 'outside' && serialBefore(refCmdSn, cmdSn)) {
    connection.skipCommand(session, refCmdSn);
    return TaskManagementResponse.functionComplete;
  }
  return TaskManagementResponse.taskDoesNotExist;
};

const manage = (
  connection: Connection,
  session: Session,
  fn: TaskManagementFunction,
  lun: Uint8Array,
  respond: (response: TaskManagementResponse) => void,
): void => {
  const { registry, device } = connection.context;
  // Tasks that the device server has not seen yet belong to the task set too. SAM-5 7.2 to 7.7
  const sessions = fn === 'abort-task-set' ? [session] : [...registry];
  const wholeTarget = fn === 'target-warm-reset' || fn === 'target-cold-reset';
  for (const each of sessions) {
    for (const task of [...each.tasks.values()]) {
      const affected = wholeTarget || sameLun(task.lun, lun);
      if (affected && task.phase !== TaskPhase.executing) abort(connection, task);
    }
  }
  device.manage(fn, session.nexus, lun, (outcome, aborted) => {
    if (outcome === 'lun-does-not-exist') return respond(TaskManagementResponse.lunDoesNotExist);
    if (outcome === 'rejected') return respond(TaskManagementResponse.functionRejected);
    for (const task of aborted) {
      connection.context.counters.tasksAborted++;
      if (task instanceof IscsiTask) task.end();
    }
    respond(TaskManagementResponse.functionComplete);
  });
};

/** Ends a task without a response. */
export const abort = (connection: Connection, task: IscsiTask): void => {
  connection.context.counters.tasksAborted++;
  if (task.phase === TaskPhase.executing) connection.context.device.abort(task);
  task.end();
};

const sameLun = (a: Uint8Array, b: Uint8Array): boolean => {
  for (let index = 0; index < 8; index++) if (a[index] !== b[index]) return false;
  return true;
};
