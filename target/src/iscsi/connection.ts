import assert from 'node:assert';
import type { Socket } from 'node:net';
import { Receiver } from '@openebs/replica/runtime';
import { LIMITS } from '../limits.ts';
import { isTransitionValid, type ConnectionState } from './connection-state.ts';
import type { AdvertisedPortal, IscsiContext } from './context.ts';
import { handleDataOut } from './handlers/data-out.ts';
import { LoginHandler } from './handlers/login.ts';
import { handleLogout } from './handlers/logout.ts';
import { handleNopOut } from './handlers/nop-out.ts';
import { handleScsiCommand } from './handlers/scsi-command.ts';
import { abort, handleTaskManagement } from './handlers/task-management.ts';
import { handleText, type TextExchange } from './handlers/text.ts';
import type { OperationalParameters } from './login/keys.ts';
import type { LoginFailure } from './login/status.ts';
import { PduDecoder, type DecodeFault, type PduSink, type PduView } from './pdu/decoder.ts';
import { Opcode, RejectReason, RESERVED_TAG, ScsiCommandFields } from './pdu/fields.ts';
import { Outbox } from './pdu/outbox.ts';
import { sendNopIn, sendReject, sendScsiResponse, type ScsiOutcome } from './responses.ts';
import type { Session } from './session.ts';
import type { IscsiTask } from './task.ts';
import { runWaiting } from './transfer.ts';

/**
 * Reasons for a Reject after which the connection can go on; all others end it, as there is no
 * recovery. RFC 7143 7.3
 */
const HARMLESS: ReadonlySet<RejectReason> = new Set([
  RejectReason.snackReject,
  RejectReason.commandNotSupported,
  RejectReason.immediateCommandReject,
  RejectReason.taskInProgress,
]);

const CMD_SN = ScsiCommandFields.cmdSn[0];

/** How long a finishing connection waits for the initiator to take the last response and close. */
const FINISH_MS = 2_000;

/** One TCP connection of an initiator. */
export class Connection implements PduSink {
  readonly context: IscsiContext;
  readonly outbox: Outbox;
  readonly portalGroupTag: number;
  readonly remoteAddress: string;
  readonly openedMs: number;
  session: Session | null = null;
  cid = 0;
  statSn = 1;
  textExchange: TextExchange | null = null;
  /** What the initiator takes in one PDU, a multiple of four so that only last PDUs are padded. */
  maxSendSegmentBytes = 8192;
  maxBurstBytes = 262_144;
  /** Responses that the socket holds because the initiator does not take them. */
  backlogBytes = 0;
  /** The outbox waits for the end of the current callback. */
  flushPending = false;

  #state: ConnectionState = 'login';
  readonly #socket: Socket;
  readonly #receiver: Receiver;
  readonly #decoder: PduDecoder;
  #login: LoginHandler | null;
  #consuming = false;
  #nextTransferTag = 1;
  #lastReceivedMs: number;
  #pingedMs = 0;
  #finishingMs = 0;
  #lun: Uint8Array = new Uint8Array(8);

  constructor(context: IscsiContext, accepted: Socket, portalGroupTag: number) {
    this.context = context;
    this.portalGroupTag = portalGroupTag;
    this.openedMs = context.nowMs;
    this.#lastReceivedMs = context.nowMs;
    this.#decoder = new PduDecoder(this, LIMITS.loginDataSegmentBytes);
    this.#receiver = new Receiver(
      (buffer, start, end) => this.#consume(buffer, start, end),
      context.pool,
    );
    this.remoteAddress = accepted.remoteAddress ?? 'unknown';
    this.#socket = this.#receiver.adopt(accepted);
    this.outbox = new Outbox(this.#socket, context.pool);
    this.#login = new LoginHandler(this);
    this.#socket.setNoDelay(true);
    this.#socket.on('error', (error) => {
      context.log.debug({ err: error, address: this.remoteAddress }, 'connection error');
    });
    this.#socket.on('close', () => this.close('closed by the initiator'));
    this.#socket.on('end', () => this.close('closed by the initiator'));
    this.#socket.on('drain', () => this.#drained());
    context.connections.add(this);
    context.counters.connections++;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Whether responses still go out. */
  get sending(): boolean {
    return this.#state === 'full-feature';
  }

  get peer(): string {
    return `${this.remoteAddress}:${this.#socket.remotePort ?? 0}`;
  }

  #move(to: ConnectionState): void {
    assert(isTransitionValid(this.#state, to), `connection: ${this.#state} -> ${to}`);
    this.#state = to;
  }

  // Receiving.

  #consume(buffer: Uint8Array, start: number, end: number): number {
    if (this.#state === 'finishing' || this.#state === 'closed') return end;
    this.#lastReceivedMs = this.context.nowMs;
    this.#pingedMs = 0;
    this.#consuming = true;
    const at = this.#decoder.consume(buffer, start, end);
    this.#consuming = false;
    this.context.counters.bytesIn += at - start;
    this.flush();
    this.context.throttle.check(this);
    return at;
  }

  reserve(bytes: number): void {
    this.#receiver.reserve(bytes);
  }

  fault(fault: DecodeFault): void {
    if (fault === 'header-digest') this.context.counters.digestErrors++;
    if (this.#login !== null) {
      this.loginFailed('malformed', `unreadable PDU: ${fault}`);
      return;
    }
    // RFC 7143 7.8: without a header there is nothing to reject; the connection ends.
    this.context.counters.malformed++;
    this.close(`unreadable PDU: ${fault}`);
  }

  pdu(pdu: PduView): boolean {
    this.context.counters.pdusIn++;
    if (this.#login !== null) {
      this.#login.handle(pdu);
    } else if (this.session !== null) {
      this.#dispatch(this.session, pdu);
    }
    return (this.#state === 'full-feature' || this.#state === 'login') && !this.#receiver.paused;
  }

  #dispatch(session: Session, pdu: PduView): void {
    if (!pdu.dataIntact) {
      // RFC 7143 7.8
      this.context.counters.digestErrors++;
      this.reject(pdu, RejectReason.dataDigestError);
      return;
    }
    switch (pdu.opcode) {
      case Opcode.dataOut:
        return handleDataOut(this, session, pdu);
      case Opcode.scsiCommand:
      case Opcode.nopOut:
      case Opcode.taskManagementRequest:
      case Opcode.textRequest:
      case Opcode.logoutRequest:
        return this.#sequence(session, pdu);
      case Opcode.snackRequest:
        // RFC 7143 11.16: there is nothing to be sent again at error recovery level 0.
        return this.reject(pdu, RejectReason.snackReject);
      case Opcode.loginRequest:
        // RFC 7143 7.9: a login in full feature phase is a protocol error.
        return this.reject(pdu, RejectReason.protocolError);
      default:
        return this.reject(pdu, RejectReason.commandNotSupported);
    }
  }

  /** Puts commands into the order of their CmdSN. RFC 7143 4.2.2.1 */
  #sequence(session: Session, pdu: PduView): void {
    if (pdu.immediate) {
      this.#command(session, pdu, true);
      return;
    }
    const cmdSn = pdu.uint32(CMD_SN);
    switch (session.place(cmdSn)) {
      case 'next':
        session.accept();
        this.#command(session, pdu, false);
        if (session.early.size > 0) this.#catchUp(session);
        return;
      case 'early':
        if (!session.early.has(cmdSn)) session.early.set(cmdSn, pdu.retain());
        return;
      case 'outside':
        this.context.counters.outsideWindow++;
        return;
    }
  }

  #catchUp(session: Session): void {
    while (this.#state === 'full-feature') {
      const cmdSn = session.expCmdSn;
      const pdu = session.early.get(cmdSn);
      if (pdu === undefined) return;
      session.early.delete(cmdSn);
      session.accept();
      if (pdu === null) session.openWindow();
      else this.#command(session, pdu, false);
    }
  }

  /**
   * The command with this number was aborted before it arrived: it counts as received. RFC 7143
   * 11.6.1
   */
  skipCommand(session: Session, cmdSn: number): void {
    session.early.set(cmdSn, null);
    this.#catchUp(session);
  }

  #command(session: Session, pdu: PduView, immediate: boolean): void {
    switch (pdu.opcode) {
      case Opcode.scsiCommand:
        return handleScsiCommand(this, session, pdu, immediate);
      case Opcode.nopOut:
        return handleNopOut(this, session, pdu, immediate);
      case Opcode.taskManagementRequest:
        return handleTaskManagement(this, session, pdu, immediate);
      case Opcode.textRequest:
        return handleText(this, session, pdu, immediate);
      default:
        return handleLogout(this, session, pdu, immediate);
    }
  }

  /** The LUN of a PDU; nearly always that of the PDU before, which is then shared. */
  lun(pdu: PduView, offset: number): Uint8Array {
    const known = this.#lun;
    for (let index = 0; index < 8; index++) {
      if (known[index] !== pdu.byte(offset + index)) return (this.#lun = pdu.copy(offset, 8));
    }
    return known;
  }

  newTransferTag(): number {
    const tag = this.#nextTransferTag;
    this.#nextTransferTag = tag + 1 === RESERVED_TAG ? 1 : tag + 1;
    return tag;
  }

  // Sending.

  respond(task: IscsiTask, outcome: ScsiOutcome): void {
    this.context.throttle.ease();
    if (!this.sending) return;
    sendScsiResponse(this, task, outcome);
    this.flushSoon();
    const { session } = this;
    if (session !== null && session.waiting.length > 0) runWaiting(this, session);
  }

  /** RFC 7143 7.3, 11.17 */
  reject(pdu: PduView, reason: RejectReason): void {
    this.context.counters.rejects++;
    sendReject(this, pdu, reason);
    if (HARMLESS.has(reason)) return;
    this.context.counters.malformed++;
    this.finish(`protocol error, reject reason ${reason}`);
  }

  flushSoon(): void {
    if (this.#consuming || this.flushPending) return;
    this.flushPending = true;
    this.context.flushSoon(this);
  }

  flush(): void {
    this.flushPending = false;
    if (this.#state === 'closed' || this.outbox.empty) return;
    this.backlogBytes = this.outbox.flush();
    const { counters } = this.context;
    counters.pdusOut += this.outbox.pdus;
    counters.bytesOut += this.outbox.bytes;
    this.outbox.pdus = 0;
    this.outbox.bytes = 0;
    // An initiator that does not take its responses gets no more of them.
    if (this.backlogBytes > LIMITS.unsentBytes) this.stopReading();
  }

  #drained(): void {
    this.backlogBytes = this.#socket.writableLength;
    if (this.#state !== 'full-feature') return;
    if (this.session !== null && this.session.waiting.length > 0) {
      runWaiting(this, this.session);
      this.flush();
    }
    if (!this.context.throttle.stops(this)) this.readOn();
  }

  stopReading(): void {
    if (!this.#receiver.paused) this.#receiver.pause();
  }

  readOn(): void {
    if (this.backlogBytes <= LIMITS.unsentBytes) this.#receiver.resume();
  }

  // Login.

  /** Full feature phase begins after this PDU. */
  loggedIn(session: Session): void {
    this.#move('full-feature');
    this.#login = null;
    this.session = session;
    this.useParameters(session.parameters);
    this.context.counters.loginsSucceeded++;
  }

  useParameters(parameters: OperationalParameters): void {
    this.maxSendSegmentBytes = parameters.initiatorMaxDataSegmentBytes & ~3;
    this.maxBurstBytes = parameters.maxBurstBytes;
  }

  /** The parameters hold from the PDU after the last Login Response. RFC 7143 6.3.4 */
  useDigests(parameters: OperationalParameters): void {
    this.#decoder.headerDigest = parameters.headerDigest;
    this.#decoder.dataDigest = parameters.dataDigest;
    this.#decoder.ahsAllowed = true;
    this.#decoder.maxDataSegmentBytes = parameters.targetMaxDataSegmentBytes;
    this.outbox.headerDigest = parameters.headerDigest;
    this.outbox.dataDigest = parameters.dataDigest;
  }

  /** Ends a login without a response. */
  loginFailed(failure: LoginFailure, message: string): void {
    const { loginFailures, counters, nowMs } = this.context;
    if (failure === 'malformed') counters.malformed++;
    loginFailures.note(nowMs, failure, { peer: this.peer }, `login failed: ${message}`);
    this.close(message);
  }

  /** What SendTargets tells. */
  portals(): readonly AdvertisedPortal[] {
    const { portals } = this.context;
    if (portals.length > 0) return portals;
    const { localAddress = '127.0.0.1', localPort = 3260 } = this.#socket;
    // An IPv4 client of a dual-stack listener.
    const host = localAddress.replace(/^::ffff:/, '');
    const address = `${host.includes(':') ? `[${host}]` : host}:${localPort}`;
    return [{ address, portalGroupTag: this.portalGroupTag }];
  }

  // The end.

  abortTasks(session: Session): void {
    session.early.clear();
    for (const task of [...session.tasks.values()]) abort(this, task);
  }

  /**
   * Sends what is there, closes our half, and waits a little for the initiator to close its own.
   */
  finish(reason: string): void {
    if (this.#state === 'finishing' || this.#state === 'closed') return;
    this.#move('finishing');
    this.#finishingMs = this.context.nowMs;
    this.#detach(reason);
    this.flush();
    this.#socket.end();
    // Reads on only to see the end.
    this.#receiver.resume();
  }

  /** Closes at once; responses that are not sent yet are lost. */
  close(reason: string): void {
    if (this.#state === 'closed') return;
    this.#move('closed');
    this.#detach(reason);
    this.#socket.destroy();
    this.outbox.close();
    this.context.throttle.forget(this);
    this.context.connections.delete(this);
    this.context.counters.connections--;
  }

  /**
   * Leaves the session; a session without its connection is over at error recovery level 0. RFC
   * 7143 6.3.5
   */
  #detach(reason: string): void {
    const { session } = this;
    this.session = null;
    // Another connection may have taken over.
    if (session?.connection !== this) return;
    this.abortTasks(session);
    const { context } = this;
    context.registry.delete(session);
    context.counters.sessions--;
    if (!session.discovery) context.device.nexusLost(session.nexus);
    const { initiatorName, isid } = session.nexus;
    context.log.info({ peer: this.peer, initiatorName, isid, reason }, 'session closed');
  }

  /** Once a second. */
  tick(): void {
    const { nowMs } = this.context;
    switch (this.#state) {
      case 'login':
        if (nowMs - this.openedMs >= LIMITS.loginTimeoutMs) {
          this.loginFailed('timeout', 'no login in time');
        }
        return;
      case 'full-feature':
        this.#keepAlive(nowMs);
        return;
      case 'finishing':
        if (nowMs - this.#finishingMs >= FINISH_MS) this.close('the initiator did not close');
        return;
      case 'closed':
        return;
    }
  }

  /** RFC 7143 11.19: a NOP-In with a TTT asks for a sign of life. */
  #keepAlive(nowMs: number): void {
    const idleMs = nowMs - this.#lastReceivedMs;
    if (idleMs >= LIMITS.keepaliveTimeoutMs && !this.#receiver.paused) {
      this.context.counters.keepaliveTimeouts++;
      this.close('the initiator gives no sign of life');
    } else if (idleMs >= LIMITS.keepaliveIdleMs && this.#pingedMs === 0) {
      this.#pingedMs = nowMs;
      sendNopIn(this, {
        initiatorTaskTag: RESERVED_TAG,
        targetTransferTag: this.newTransferTag(),
        lun: null,
        data: new Uint8Array(0),
      });
      this.flush();
    }
  }
}
