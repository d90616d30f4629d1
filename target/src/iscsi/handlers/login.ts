import type { Connection } from '../connection.ts';
import type { OperationalParameters } from '../login/keys.ts';
import { Login, Stage, type LoginAnswer, type LoginIdentity } from '../login/login.ts';
import { setUint16, setUint32 } from '../pdu/bytes.ts';
import type { PduView } from '../pdu/decoder.ts';
import {
  CONTINUE_BIT,
  LoginRequestFields,
  LoginResponseFields,
  Opcode,
  TRANSIT_BIT,
} from '../pdu/fields.ts';
import { Session } from '../session.ts';

/** What every response of a login copies from the request. */
interface RequestHeader {
  readonly isid: Uint8Array;
  readonly tsih: number;
  readonly cid: number;
  readonly initiatorTaskTag: number;
  readonly cmdSn: number;
}

/** Login PDUs of one connection, until full feature phase. RFC 7143 11.12, 11.13 */
export class LoginHandler {
  readonly #connection: Connection;
  readonly #login: Login;

  constructor(connection: Connection) {
    this.#connection = connection;
    const { context, portalGroupTag } = connection;
    this.#login = new Login({
      targetName: context.targetName,
      targetAlias: context.targetAlias,
      portalGroupTag,
      authentication: context.authentication,
      maxDataSegmentBytes: context.maxDataSegmentBytes,
      random: context.random,
      redirect: context.redirect,
      admit: (who) => context.registry.admit(who, portalGroupTag),
    });
  }

  handle(pdu: PduView): void {
    const connection = this.#connection;
    if (pdu.opcode !== Opcode.loginRequest) {
      connection.loginFailed('malformed', `opcode ${pdu.opcode} before login`);
      return;
    }
    const header: RequestHeader = {
      isid: pdu.copy(LoginRequestFields.isid[0], 6),
      tsih: pdu.uint16(LoginRequestFields.tsih[0]),
      cid: pdu.uint16(LoginRequestFields.cid[0]),
      initiatorTaskTag: pdu.uint32(LoginRequestFields.initiatorTaskTag[0]),
      cmdSn: pdu.uint32(LoginRequestFields.cmdSn[0]),
    };
    const { flags } = pdu;
    const answer = this.#login.step({
      transit: (flags & TRANSIT_BIT) !== 0,
      more: (flags & CONTINUE_BIT) !== 0,
      currentStage: (flags >> 2) & 3,
      nextStage: flags & 3,
      versionMin: pdu.byte(LoginRequestFields.versionMin[0]),
      isid: Buffer.from(header.isid).toString('hex'),
      tsih: header.tsih,
      cid: header.cid,
      text: Uint8Array.prototype.slice.call(pdu.data),
    });
    this.#answer(header, answer);
  }

  #answer(header: RequestHeader, answer: LoginAnswer): void {
    const connection = this.#connection;
    switch (answer.kind) {
      case 'drop':
        connection.loginFailed(answer.failure, answer.message);
        return;
      case 'fail': {
        const { peer } = connection;
        const { loginFailures, nowMs } = connection.context;
        const message = `login refused: ${answer.message}`;
        loginFailures.note(nowMs, answer.failure, { peer, status: answer.status }, message);
        this.#send(header, { status: answer.status, flags: 0, tsih: header.tsih, answer });
        connection.finish(answer.message);
        return;
      }
      case 'respond': {
        const { currentStage, nextStage } = answer;
        let flags = currentStage << 2;
        if (nextStage !== null) flags |= TRANSIT_BIT | nextStage;
        if (nextStage !== Stage.fullFeature) {
          this.#send(header, { status: 0, flags, tsih: header.tsih, answer });
          return;
        }
        const { identity, parameters } = this.#login;
        if (identity === null) throw new Error('a login without identity ended well');
        const session = this.#begin(header, identity, parameters);
        connection.loggedIn(session);
        this.#send(header, { status: 0, flags, tsih: session.tsih, answer });
        connection.useDigests(session.parameters);
        return;
      }
    }
  }

  /**
   * A new session, one in the place of an old one, or an old one that goes on here. RFC 7143 6.3.5,
   * 6.3.6
   */
  #begin(
    header: RequestHeader,
    identity: LoginIdentity,
    parameters: OperationalParameters,
  ): Session {
    const connection = this.#connection;
    const { context, portalGroupTag } = connection;
    const { registry } = context;
    connection.cid = header.cid;
    if (header.tsih !== 0) {
      const session = registry.get(header.tsih);
      if (session === undefined) throw new Error('the session ended while its login went on');
      const replaced = session.connection;
      session.connection = connection;
      replaced.abortTasks(session);
      replaced.close('connection reinstatement');
      // Digests and segment lengths belong to the connection, all else to the session.
      const { headerDigest, dataDigest, initiatorMaxDataSegmentBytes } = parameters;
      Object.assign(session.parameters, {
        headerDigest,
        dataDigest,
        initiatorMaxDataSegmentBytes,
      });
      return session;
    }
    if (!identity.discovery) {
      const old = registry.find(identity.initiatorName, identity.isid, portalGroupTag);
      old?.connection.close('session reinstatement');
    }
    const session = new Session({
      nexus: {
        id: context.nextNexusId++,
        initiatorName: identity.initiatorName,
        isid: identity.isid,
        portalGroupTag,
      },
      tsih: registry.newTsih(),
      discovery: identity.discovery,
      parameters,
      connection,
      cmdSn: header.cmdSn,
      nowMs: context.nowMs,
    });
    registry.add(session);
    context.counters.sessions++;
    if (!identity.discovery) context.device.nexusCreated(session.nexus);
    const { initiatorName, isid } = session.nexus;
    context.log.info(
      { peer: connection.peer, initiatorName, isid, discovery: identity.discovery },
      'session opened',
    );
    return session;
  }

  #send(
    header: RequestHeader,
    fields: { status: number; flags: number; tsih: number; answer: { text: Uint8Array } },
  ): void {
    const connection = this.#connection;
    const { outbox } = connection;
    const at = outbox.begin();
    const { slab } = outbox;
    slab[at] = Opcode.loginResponse;
    slab[at + 1] = fields.flags;
    slab.set(header.isid, at + LoginResponseFields.isid[0]);
    setUint16(slab, at + LoginResponseFields.tsih[0], fields.tsih);
    setUint32(slab, at + LoginResponseFields.initiatorTaskTag[0], header.initiatorTaskTag);
    setUint32(slab, at + LoginResponseFields.statSn[0], connection.statSn);
    connection.statSn = (connection.statSn + 1) >>> 0;
    const { session } = connection;
    const expCmdSn = session?.expCmdSn ?? header.cmdSn;
    setUint32(slab, at + LoginResponseFields.expCmdSn[0], expCmdSn);
    setUint32(slab, at + LoginResponseFields.maxCmdSn[0], session?.maxCmdSn ?? header.cmdSn);
    setUint16(slab, at + LoginResponseFields.statusClass[0], fields.status);
    outbox.load([fields.answer.text]);
    outbox.finish(at, fields.answer.text.length);
  }
}
