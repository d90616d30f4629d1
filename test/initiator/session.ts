import type { Socket } from 'node:net';
import type { Negotiated } from './login.ts';
import type { Pdu } from './pdu.ts';
import {
  At,
  encodePdu,
  flagsOf,
  newHeader,
  Opcode,
  opcodeOf,
  ProtocolViolation,
  RESERVED_TAG,
  taskTagOf,
} from './pdu.ts';

/** The session is gone; commands without an answer may or may not have been executed. */
export class SessionLost extends Error {
  override readonly name = 'SessionLost';
}

export interface Command {
  readonly cdb: Uint8Array;
  readonly lun?: number;
  readonly dataOut?: Uint8Array;
  /** Expected Data-In. */
  readonly dataInBytes?: number;
  /** RFC 7143 11.3.1: 1 simple, 2 ordered, 3 head of queue. */
  readonly attribute?: number;
}

export interface Outcome {
  readonly status: number;
  readonly sense: Buffer | null;
  /** As much as the target sent. */
  readonly dataIn: Buffer;
  /** Positive: it transferred less than expected; negative: it would have transferred more. */
  readonly residualBytes: number;
}

interface Task {
  readonly command: Command;
  readonly dataIn: Buffer;
  received: number;
  dataSn: number;
  r2tSn: number;
  readonly startedAt: number;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: Error) => void;
}

/** A request that is answered by one PDU: text, logout, task management, NOP. */
interface Request {
  readonly resolve: (pdu: Pdu) => void;
  readonly reject: (error: Error) => void;
}

const NOTHING = Buffer.alloc(0);

/**
 * One session of one connection in full feature phase. Strict: sequence numbers, offsets, lengths
 * and residuals that the target gets wrong end the session with a ProtocolViolation.
 */
export class Session {
  readonly negotiated: Negotiated;
  /** Resolves when the session is over: null after logout or destroy(), else why. */
  readonly ended: Promise<Error | null>;
  readonly #socket: Socket;
  readonly #timeoutMs: number;
  readonly #tasks = new Map<number, Task>();
  readonly #requests = new Map<number, Request>();
  readonly #waiting: Task[] = [];
  readonly #timer: NodeJS.Timeout;
  #resolveEnded: (error: Error | null) => void = () => undefined;
  #nextTag = 1;
  #cmdSn: number;
  #maxCmdSn: number;
  #expStatSn: number;
  #over = false;
  #corked = false;

  /** Use openSession: it logs in first. */
  constructor(socket: Socket, negotiated: Negotiated, timeoutMs: number) {
    this.#socket = socket;
    this.negotiated = negotiated;
    this.#timeoutMs = timeoutMs;
    this.#cmdSn = negotiated.cmdSn;
    this.#maxCmdSn = negotiated.maxCmdSn;
    this.#expStatSn = negotiated.expStatSn;
    this.ended = new Promise((resolve) => (this.#resolveEnded = resolve));
    this.#timer = setInterval(() => this.#checkTimeouts(), 1000).unref();
  }

  get inFlight(): number {
    return this.#tasks.size + this.#waiting.length;
  }

  /** Runs one SCSI command; waits its turn when the target's command window is closed. */
  execute(command: Command): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      if (this.#over) {
        reject(new SessionLost('the session is over'));
        return;
      }
      this.#waiting.push({
        command,
        dataIn: Buffer.allocUnsafe(command.dataInBytes ?? 0),
        received: 0,
        dataSn: 0,
        r2tSn: 0,
        startedAt: performance.now(),
        resolve,
        reject,
      });
      this.#sendWaiting();
    });
  }

  /** RFC 7143 11.18: a ping that the target echoes. */
  async ping(data: Uint8Array = NOTHING): Promise<Buffer> {
    const header = newHeader(0x40 | Opcode.nopOut, 0x80);
    header.writeUInt32BE(RESERVED_TAG, At.transferTag);
    return (await this.#ask(header, data)).data;
  }

  /** RFC 7143 11.10: SendTargets and the like. */
  async text(data: Uint8Array): Promise<Buffer> {
    const header = newHeader(0x40 | Opcode.text, 0x80);
    header.writeUInt32BE(RESERVED_TAG, At.transferTag);
    return (await this.#ask(header, data)).data;
  }

  /**
   * RFC 7143 11.5: the function (1 abort task, 5 logical unit reset...); resolves to the response
   * code.
   */
  async manage(
    fn: number,
    options: { lun?: number; referencedTag?: number } = {},
  ): Promise<number> {
    const header = newHeader(0x40 | Opcode.taskManagement, 0x80 | fn);
    header.writeUInt8(options.lun ?? 0, At.lun + 1);
    header.writeUInt32BE(options.referencedTag ?? RESERVED_TAG, 20);
    header.writeUInt32BE(this.#cmdSn, 32);
    return (await this.#ask(header, NOTHING)).header.readUInt8(At.response);
  }

  /** RFC 7143 11.14: closes the session in order. */
  async logout(): Promise<void> {
    if (this.#over) return;
    await this.#ask(newHeader(0x40 | Opcode.logout, 0x80), NOTHING);
    this.end(null);
  }

  /** Takes nothing more from the connection, and keeps it. */
  stopReading(): void {
    this.#socket.pause();
  }

  /** Drops the connection. */
  destroy(): void {
    this.end(null);
  }

  end(error: Error | null): void {
    if (this.#over) return;
    this.#over = true;
    clearInterval(this.#timer);
    this.#socket.destroy();
    const lost =
      error instanceof ProtocolViolation
        ? error
        : new SessionLost(error === null ? 'the session was closed' : error.message);
    for (const task of [...this.#tasks.values(), ...this.#waiting.splice(0)]) task.reject(lost);
    for (const request of this.#requests.values()) request.reject(lost);
    this.#tasks.clear();
    this.#requests.clear();
    this.#resolveEnded(error);
  }

  #ask(header: Buffer, data: Uint8Array): Promise<Pdu> {
    return new Promise((resolve, reject) => {
      if (this.#over) {
        reject(new SessionLost('the session is over'));
        return;
      }
      const tag = this.#newTag();
      header.writeUInt32BE(tag, At.taskTag);
      header.writeUInt32BE(this.#cmdSn, At.cmdSn);
      this.#requests.set(tag, { resolve, reject });
      this.#send(header, data);
    });
  }

  #newTag(): number {
    const tag = this.#nextTag;
    this.#nextTag = tag === RESERVED_TAG - 1 ? 1 : tag + 1;
    return tag;
  }

  #send(header: Buffer, data: Uint8Array): void {
    header.writeUInt32BE(this.#expStatSn, At.expStatSn);
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      process.nextTick(() => {
        this.#corked = false;
        this.#socket.uncork();
      });
    }
    for (const piece of encodePdu(header, data, this.negotiated.digests)) this.#socket.write(piece);
  }

  /** RFC 7143 4.2.2.1: commands are sent as long as CmdSN is inside the window. */
  #sendWaiting(): void {
    while (this.#waiting.length > 0 && ((this.#maxCmdSn - this.#cmdSn) | 0) >= 0) {
      this.#sendCommand(this.#waiting.shift()!);
    }
  }

  #sendCommand(task: Task): void {
    const { command } = task;
    const out = command.dataOut ?? NOTHING;
    const { negotiated } = this;
    const tag = this.#newTag();
    this.#tasks.set(tag, task);
    // RFC 7143 11.3.4: immediate and unsolicited data together are at most FirstBurstLength.
    const burst = Math.min(out.length, negotiated.firstBurstBytes);
    const immediate = negotiated.immediateData ? Math.min(burst, negotiated.maxSendBytes) : 0;
    const unsolicited = negotiated.initialR2t ? 0 : burst - immediate;
    const header = newHeader(
      Opcode.scsiCommand,
      (unsolicited > 0 ? 0 : 0x80) |
        (task.dataIn.length > 0 ? 0x40 : 0) |
        (out.length > 0 ? 0x20 : 0) |
        (command.attribute ?? 1),
    );
    header.writeUInt8(command.lun ?? 0, At.lun + 1);
    header.writeUInt32BE(tag, At.taskTag);
    header.writeUInt32BE(out.length > 0 ? out.length : task.dataIn.length, At.transferTag);
    header.writeUInt32BE(this.#cmdSn, At.cmdSn);
    this.#cmdSn = (this.#cmdSn + 1) >>> 0;
    header.set(command.cdb.subarray(0, 16), At.cdb);
    this.#send(header, out.subarray(0, immediate));
    if (unsolicited > 0) {
      this.#sendDataOut(task, { tag, transferTag: RESERVED_TAG, from: immediate, to: burst });
    }
  }

  /** RFC 7143 11.7 */
  #sendDataOut(
    task: Task,
    sequence: { tag: number; transferTag: number; from: number; to: number },
  ): void {
    const out = task.command.dataOut ?? NOTHING;
    let dataSn = 0;
    for (let at = sequence.from; at < sequence.to; dataSn++) {
      const next = Math.min(at + this.negotiated.maxSendBytes, sequence.to);
      const header = newHeader(Opcode.dataOut, next === sequence.to ? 0x80 : 0);
      header.writeUInt8(task.command.lun ?? 0, At.lun + 1);
      header.writeUInt32BE(sequence.tag, At.taskTag);
      header.writeUInt32BE(sequence.transferTag, At.transferTag);
      header.writeUInt32BE(dataSn, At.dataSn);
      header.writeUInt32BE(at, At.bufferOffset);
      this.#send(header, out.subarray(at, next));
      at = next;
    }
  }

  /** Called by the connection for every PDU. */
  receive(pdu: Pdu): void {
    const opcode = opcodeOf(pdu);
    const flags = flagsOf(pdu);
    // R2T, a NOP-In ping and Data-In without status carry the next StatSN; all else consumes one.
    // RFC 7143 11.7, 11.8, 11.19
    const consumes =
      opcode !== Opcode.r2t &&
      !(opcode === Opcode.dataIn && (flags & 1) === 0) &&
      !(opcode === Opcode.nopIn && taskTagOf(pdu) === RESERVED_TAG);
    if (consumes) {
      const statSn = pdu.header.readUInt32BE(At.statSn);
      if (statSn !== this.#expStatSn) {
        throw new ProtocolViolation(`StatSN ${statSn}, expected ${this.#expStatSn}`);
      }
      this.#expStatSn = (statSn + 1) >>> 0;
    }
    const maxCmdSn = pdu.header.readUInt32BE(At.maxCmdSn);
    if (((maxCmdSn - this.#maxCmdSn) | 0) > 0) this.#maxCmdSn = maxCmdSn;
    this.#dispatch(pdu, opcode, flags);
    this.#sendWaiting();
  }

  #dispatch(pdu: Pdu, opcode: number, flags: number): void {
    switch (opcode) {
      case Opcode.dataIn:
        this.#dataIn(pdu, flags);
        return;
      case Opcode.scsiResponse:
        this.#response(pdu, flags);
        return;
      case Opcode.r2t:
        this.#r2t(pdu);
        return;
      case Opcode.nopIn:
        if (taskTagOf(pdu) === RESERVED_TAG) this.#pong(pdu);
        else this.#answer(pdu);
        return;
      case Opcode.textResponse:
      case Opcode.logoutResponse:
      case Opcode.taskManagementResponse:
        this.#answer(pdu);
        return;
      case Opcode.asyncMessage:
        return; // what it announces follows by itself
      case Opcode.reject:
        throw new ProtocolViolation(`rejected with reason ${pdu.header.readUInt8(At.response)}`);
      default:
        throw new ProtocolViolation(`opcode ${opcode} from a target`);
    }
  }

  #task(pdu: Pdu): Task {
    const task = this.#tasks.get(taskTagOf(pdu));
    if (task === undefined) throw new ProtocolViolation(`no task has tag ${taskTagOf(pdu)}`);
    return task;
  }

  #dataIn(pdu: Pdu, flags: number): void {
    const task = this.#task(pdu);
    const offset = pdu.header.readUInt32BE(At.bufferOffset);
    if (pdu.header.readUInt32BE(At.dataSn) !== task.dataSn) throw new ProtocolViolation('DataSN');
    if (offset !== task.received) throw new ProtocolViolation('Data-In out of order');
    if (offset + pdu.data.length > task.dataIn.length)
      throw new ProtocolViolation('too much Data-In');
    pdu.data.copy(task.dataIn, offset);
    task.received += pdu.data.length;
    task.dataSn++;
    if ((flags & 1) !== 0) this.#complete(pdu, task, flags, null);
  }

  #response(pdu: Pdu, flags: number): void {
    const task = this.#task(pdu);
    const code = pdu.header.readUInt8(At.response);
    if (code !== 0) throw new ProtocolViolation(`SCSI response ${code}: target failure`);
    // RFC 7143 11.4.8 wants zero where no Data-In was sent, and the number of R2Ts as well: both
    // are met.
    if (task.dataSn > 0 && pdu.header.readUInt32BE(At.expDataSn) !== task.dataSn) {
      throw new ProtocolViolation('ExpDataSN is not the number of Data-In PDUs');
    }
    const sense = pdu.data.length > 2 ? pdu.data.subarray(2, 2 + pdu.data.readUInt16BE(0)) : null;
    this.#complete(pdu, task, flags, sense);
  }

  #complete(pdu: Pdu, task: Task, flags: number, sense: Buffer | null): void {
    const residual = pdu.header.readUInt32BE(At.residual);
    const under = (flags & 0x02) !== 0;
    const over = (flags & 0x04) !== 0;
    if (under && over) throw new ProtocolViolation('residual underflow and overflow at once');
    const status = pdu.header.readUInt8(At.status);
    if (status === 0 && task.dataIn.length > 0) {
      // RFC 7143 11.4.5: what is missing must be said.
      if (task.received + (under ? residual : 0) !== task.dataIn.length) {
        throw new ProtocolViolation(
          `${task.received} of ${task.dataIn.length} bytes, residual ${residual}`,
        );
      }
    }
    this.#tasks.delete(taskTagOf(pdu));
    task.resolve({
      status,
      sense,
      dataIn: task.dataIn.subarray(0, task.received),
      residualBytes: under ? residual : over ? -residual : 0,
    });
  }

  /** RFC 7143 11.8 */
  #r2t(pdu: Pdu): void {
    const task = this.#task(pdu);
    const from = pdu.header.readUInt32BE(At.bufferOffset);
    const length = pdu.header.readUInt32BE(At.desiredLength);
    if (pdu.header.readUInt32BE(At.r2tSn) !== task.r2tSn) throw new ProtocolViolation('R2TSN');
    if (length === 0 || length > this.negotiated.maxBurstBytes) {
      throw new ProtocolViolation(`R2T for ${length} bytes`);
    }
    if (from + length > (task.command.dataOut?.length ?? 0)) {
      throw new ProtocolViolation('R2T beyond the expected length');
    }
    task.r2tSn++;
    const transferTag = pdu.header.readUInt32BE(At.transferTag);
    this.#sendDataOut(task, { tag: taskTagOf(pdu), transferTag, from, to: from + length });
  }

  /** RFC 7143 11.18: a target's ping is answered with its transfer tag. */
  #pong(pdu: Pdu): void {
    const transferTag = pdu.header.readUInt32BE(At.transferTag);
    if (transferTag === RESERVED_TAG) return;
    const header = newHeader(0x40 | Opcode.nopOut, 0x80);
    pdu.header.copy(header, At.lun, At.lun, At.lun + 8);
    header.writeUInt32BE(RESERVED_TAG, At.taskTag);
    header.writeUInt32BE(transferTag, At.transferTag);
    header.writeUInt32BE(this.#cmdSn, At.cmdSn);
    this.#send(header, NOTHING);
  }

  #answer(pdu: Pdu): void {
    const request = this.#requests.get(taskTagOf(pdu));
    if (request === undefined) throw new ProtocolViolation('an answer that nobody asked for');
    this.#requests.delete(taskTagOf(pdu));
    request.resolve(pdu);
  }

  #checkTimeouts(): void {
    const oldest = performance.now() - this.#timeoutMs;
    for (const [tag, task] of this.#tasks) {
      if (task.startedAt < oldest) {
        this.end(new SessionLost(`no answer to task ${tag} for ${this.#timeoutMs} ms`));
        return;
      }
    }
  }
}
