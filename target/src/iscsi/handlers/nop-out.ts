import type { Connection } from '../connection.ts';
import type { Session } from '../session.ts';
import type { PduView } from '../pdu/decoder.ts';
import { NopOutFields, RejectReason, RESERVED_TAG } from '../pdu/fields.ts';
import { sendNopIn } from '../responses.ts';

/** RFC 7143 11.18 */
export const handleNopOut = (
  connection: Connection,
  session: Session,
  pdu: PduView,
  immediate: boolean,
): void => {
  if (!immediate) session.openWindow();
  const initiatorTaskTag = pdu.uint32(NopOutFields.initiatorTaskTag[0]);
  if (initiatorTaskTag === RESERVED_TAG) {
    // RFC 7143 11.18.1: the answer to a ping of ours, or just a new ExpStatSN; both are immediate.
    if (!immediate) connection.reject(pdu, RejectReason.protocolError);
    return;
  }
  // RFC 7143 11.18.3, 11.19: the ping's data comes back, as far as the initiator can take it.
  const data = pdu.data.subarray(0, connection.maxSendSegmentBytes);
  sendNopIn(connection, {
    initiatorTaskTag,
    targetTransferTag: RESERVED_TAG,
    lun: null,
    // The outbox keeps long data by reference, and this lies in the receive buffer.
    data: Uint8Array.prototype.slice.call(data),
  });
};
