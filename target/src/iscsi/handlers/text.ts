import { LIMITS } from '../../limits.ts';
import type { Connection } from '../connection.ts';
import { defaultParameters, negotiateKey, NOT_UNDERSTOOD, REJECT } from '../login/keys.ts';
import { parseText, serializeText, TextFormatError, type TextPair } from '../login/text.ts';
import { setUint32 } from '../pdu/bytes.ts';
import type { PduView } from '../pdu/decoder.ts';
import {
  CONTINUE_BIT,
  FINAL_BIT,
  Opcode,
  RejectReason,
  RESERVED_TAG,
  TextRequestFields,
  TextResponseFields,
} from '../pdu/fields.ts';
import { advanceStatSn, beginResponse } from '../responses.ts';
import type { Session } from '../session.ts';

/** A text negotiation that takes more than one PDU in either direction. RFC 7143 11.10, 11.11 */
export interface TextExchange {
  readonly initiatorTaskTag: number;
  readonly targetTransferTag: number;
  received: Uint8Array[];
  receivedBytes: number;
  /** What is left of an answer that does not fit one PDU. */
  answer: Uint8Array | null;
}

export const handleText = (
  connection: Connection,
  session: Session,
  pdu: PduView,
  immediate: boolean,
): void => {
  if (!immediate) session.openWindow();
  const initiatorTaskTag = pdu.uint32(TextRequestFields.initiatorTaskTag[0]);
  const targetTransferTag = pdu.uint32(TextRequestFields.targetTransferTag[0]);
  const final = (pdu.flags & FINAL_BIT) !== 0;
  const more = (pdu.flags & CONTINUE_BIT) !== 0;
  let exchange = connection.textExchange;
  if (targetTransferTag === RESERVED_TAG) {
    // RFC 7143 11.10.4: a request without a tag begins anew.
    exchange = null;
  } else if (
    exchange?.targetTransferTag !== targetTransferTag ||
    exchange.initiatorTaskTag !== initiatorTaskTag
  ) {
    return connection.reject(pdu, RejectReason.invalidPduField);
  }
  // RFC 7143 11.10.2
  if (final && more) return connection.reject(pdu, RejectReason.invalidPduField);

  exchange ??= {
    initiatorTaskTag,
    targetTransferTag: connection.newTransferTag(),
    received: [],
    receivedBytes: 0,
    answer: null,
  };
  connection.textExchange = exchange;
  if (exchange.answer !== null) {
    return send(connection, exchange, exchange.answer, final);
  }
  exchange.receivedBytes += pdu.dataBytes;
  if (exchange.receivedBytes > LIMITS.loginTextBytes) {
    return connection.reject(pdu, RejectReason.protocolError);
  }
  exchange.received.push(Uint8Array.prototype.slice.call(pdu.data));
  if (more) return send(connection, exchange, new Uint8Array(0), false);

  let pairs: TextPair[];
  try {
    pairs = parseText(Buffer.concat(exchange.received));
  } catch (error) {
    if (!(error instanceof TextFormatError)) throw error;
    return connection.reject(pdu, RejectReason.protocolError);
  }
  exchange.received = [];
  exchange.receivedBytes = 0;
  const answers: TextPair[] = [];
  for (const pair of pairs) answers.push(...answerKey(connection, session, pair));
  send(connection, exchange, serializeText(answers), final);
};

const answerKey = (connection: Connection, session: Session, pair: TextPair): TextPair[] => {
  const { key, value } = pair;
  if (key === 'SendTargets') return sendTargets(connection, session, value);
  if (key === 'InitiatorAlias') return [];
  // RFC 7143 13: in full feature phase only the initiator's segment length may change.
  const parameters =
    key === 'MaxRecvDataSegmentLength'
      ? session.parameters
      : defaultParameters(session.parameters.targetMaxDataSegmentBytes);
  const outcome = negotiateKey(parameters, key, value, {
    discovery: session.discovery,
    leading: false,
  });
  if (outcome.kind === 'protocol-error') return [{ key, value: REJECT }];
  if (outcome.value === null) {
    if (key === 'MaxRecvDataSegmentLength') connection.useParameters(session.parameters);
    return [];
  }
  return [{ key, value: outcome.value === NOT_UNDERSTOOD ? NOT_UNDERSTOOD : REJECT }];
};

/** RFC 7143 appendix C */
const sendTargets = (connection: Connection, session: Session, value: string): TextPair[] => {
  const { targetName } = connection.context;
  // All is for discovery sessions; a normal session asks with an empty value for the target that it
  // is logged in to.
  const known = session.discovery
    ? value === 'All' || value.toLowerCase() === targetName.toLowerCase()
    : value === '' || value.toLowerCase() === targetName.toLowerCase();
  if (!known) {
    // In discovery a name that is not here has an empty answer; All in a normal session is not
    // allowed.
    return session.discovery && value !== '' ? [] : [{ key: 'SendTargets', value: REJECT }];
  }
  return [
    { key: 'TargetName', value: targetName },
    ...connection.portals().map(({ address, portalGroupTag }) => ({
      key: 'TargetAddress',
      value: `${address},${portalGroupTag}`,
    })),
  ];
};

/** Sends as much of an answer as fits one PDU. RFC 7143 11.11 */
const send = (
  connection: Connection,
  exchange: TextExchange,
  answer: Uint8Array,
  final: boolean,
): void => {
  const piece = answer.subarray(0, connection.maxSendSegmentBytes);
  const rest = answer.subarray(piece.length);
  const goesOn = rest.length > 0;
  const ends = final && !goesOn;
  const flags = ends ? FINAL_BIT : goesOn ? CONTINUE_BIT : 0;
  exchange.answer = goesOn ? rest : null;
  if (ends) connection.textExchange = null;
  const at = beginResponse(connection, Opcode.textResponse, flags, exchange.initiatorTaskTag);
  setUint32(
    connection.outbox.slab,
    at + TextResponseFields.targetTransferTag[0],
    ends ? RESERVED_TAG : exchange.targetTransferTag,
  );
  advanceStatSn(connection, at);
  connection.outbox.load([piece]);
  connection.outbox.finish(at, piece.length);
};
