import type { Connection } from '../connection.ts';
import type { PduView } from '../pdu/decoder.ts';
import { DataOutFields, FINAL_BIT, RejectReason, RESERVED_TAG } from '../pdu/fields.ts';
import type { Session } from '../session.ts';
import { TaskPhase } from '../task.ts';
import { continueDataOut, DataOutFailure, takeSolicited, takeUnsolicited } from '../transfer.ts';

const ITT = DataOutFields.initiatorTaskTag[0];
const TTT = DataOutFields.targetTransferTag[0];
const DATA_SN = DataOutFields.dataSn[0];
const BUFFER_OFFSET = DataOutFields.bufferOffset[0];

/** RFC 7143 11.7 */
export const handleDataOut = (connection: Connection, session: Session, pdu: PduView): void => {
  const task = session.tasks.get(pdu.uint32(ITT));
  // RFC 7143 4.2.3.3: data for a task that was aborted may still be on its way.
  if (task?.phase !== TaskPhase.collecting || !task.writes) {
    connection.context.counters.strayDataOut++;
    return;
  }
  const tag = pdu.uint32(TTT);
  const piece = {
    dataSn: pdu.uint32(DATA_SN),
    offset: pdu.uint32(BUFFER_OFFSET),
    final: (pdu.flags & FINAL_BIT) !== 0,
    data: pdu.data,
  };
  if (tag === RESERVED_TAG) {
    if (task.unsolicitedOpen) takeUnsolicited(session, task, piece);
    else task.failureSense ??= DataOutFailure.unexpectedUnsolicitedData;
  } else if (!takeSolicited(task, tag, piece)) {
    connection.reject(pdu, RejectReason.invalidPduField);
    return;
  }
  if (piece.final) continueDataOut(connection, session, task);
};
