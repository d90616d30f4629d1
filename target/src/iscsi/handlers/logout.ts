import type { Connection } from '../connection.ts';
import type { Session } from '../session.ts';
import { setUint16 } from '../pdu/bytes.ts';
import type { PduView } from '../pdu/decoder.ts';
import {
  FINAL_BIT,
  LogoutRequestFields,
  LogoutResponseFields,
  Opcode,
  RejectReason,
} from '../pdu/fields.ts';
import { advanceStatSn, beginResponse } from '../responses.ts';

const REASON_MASK = 0x7f;

/** RFC 7143 11.14.1 */
const Reason = { closeSession: 0, closeConnection: 1, removeForRecovery: 2 } as const;

/** RFC 7143 11.15.1 */
const Response = { closed: 0, cidNotFound: 1, recoveryNotSupported: 2 } as const;

export const handleLogout = (
  connection: Connection,
  session: Session,
  pdu: PduView,
  immediate: boolean,
): void => {
  if (!immediate) session.openWindow();
  const reason = pdu.flags & REASON_MASK;
  switch (reason) {
    case Reason.closeSession:
      return close(connection, session, pdu);
    case Reason.closeConnection:
      // RFC 7143 11.14: a discovery session is only closed as a whole.
      if (session.discovery) return connection.reject(pdu, RejectReason.protocolError);
      if (pdu.uint16(LogoutRequestFields.cid[0]) !== connection.cid) {
        return respond(connection, pdu, Response.cidNotFound);
      }
      return close(connection, session, pdu);
    case Reason.removeForRecovery:
      if (session.discovery) return connection.reject(pdu, RejectReason.protocolError);
      // RFC 7143 11.15.1: that takes error recovery level 2.
      return respond(connection, pdu, Response.recoveryNotSupported);
    default:
      return connection.reject(pdu, RejectReason.invalidPduField);
  }
};

/**
 * RFC 7143 6.4.3: the session's only connection closes, so its tasks and the session end either
 * way.
 */
const close = (connection: Connection, session: Session, pdu: PduView): void => {
  connection.abortTasks(session);
  respond(connection, pdu, Response.closed);
  connection.finish('logged out');
};

const respond = (connection: Connection, pdu: PduView, response: number): void => {
  const initiatorTaskTag = pdu.uint32(LogoutRequestFields.initiatorTaskTag[0]);
  const at = beginResponse(connection, Opcode.logoutResponse, FINAL_BIT, initiatorTaskTag);
  const { slab } = connection.outbox;
  slab[at + LogoutResponseFields.response[0]] = response;
  advanceStatSn(connection, at);
  // Nothing is retained, and nobody has to wait before logging in again.
  setUint16(slab, at + LogoutResponseFields.time2Wait[0], 0);
  setUint16(slab, at + LogoutResponseFields.time2Retain[0], 0);
  connection.outbox.finish(at, 0);
};
