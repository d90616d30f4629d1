import { LIMITS } from '../limits.ts';
import type { Nexus } from '../scsi/task.ts';
import type { Connection } from './connection.ts';
import type { OperationalParameters } from './login/keys.ts';
import { serialBefore, serialNext } from './pdu/bytes.ts';
import type { PduView } from './pdu/decoder.ts';
import type { IscsiTask } from './task.ts';

/** Where a CmdSN lies. RFC 7143 4.2.2.1 */
export type CommandPlace = 'next' | 'early' | 'outside';

/**
 * One session: an I_T nexus with its command window and its tasks. It has one connection
 * (MaxConnections is 1).
 */
export class Session {
  readonly nexus: Nexus;
  readonly tsih: number;
  readonly discovery: boolean;
  readonly parameters: OperationalParameters;
  readonly startedMs: number;
  connection: Connection;

  readonly tasks = new Map<number, IscsiTask>();
  /**
   * Commands that arrived before those in front of them, by CmdSN; null was aborted before it
   * arrived.
   */
  readonly early = new Map<number, PduView | null>();
  /** Tasks that wait until less is in flight, first come first served. */
  readonly waiting: IscsiTask[] = [];
  immediateTasks = 0;
  transferBytes = 0;
  expCmdSn: number;
  maxCmdSn: number;

  constructor(fields: {
    nexus: Nexus;
    tsih: number;
    discovery: boolean;
    parameters: OperationalParameters;
    connection: Connection;
    cmdSn: number;
    nowMs: number;
  }) {
    this.nexus = fields.nexus;
    this.tsih = fields.tsih;
    this.discovery = fields.discovery;
    this.parameters = fields.parameters;
    this.connection = fields.connection;
    this.startedMs = fields.nowMs;
    this.expCmdSn = fields.cmdSn;
    this.maxCmdSn = (fields.cmdSn + LIMITS.commandsInFlight - 1) >>> 0;
  }

  /** RFC 7143 4.2.2.1: what lies outside of the window is ignored. */
  place(cmdSn: number): CommandPlace {
    if (cmdSn === this.expCmdSn && !serialBefore(this.maxCmdSn, cmdSn)) return 'next';
    if (serialBefore(cmdSn, this.expCmdSn) || serialBefore(this.maxCmdSn, cmdSn)) return 'outside';
    return 'early';
  }

  /** The command with ExpCmdSN has arrived; it takes a place in the window until `openWindow`. */
  accept(): void {
    this.expCmdSn = serialNext(this.expCmdSn);
  }

  /** A command that was accepted has ended. MaxCmdSN only grows. */
  openWindow(): void {
    this.maxCmdSn = serialNext(this.maxCmdSn);
  }

  taskBegan(task: IscsiTask): void {
    this.tasks.set(task.initiatorTaskTag, task);
    if (task.immediate) this.immediateTasks++;
  }

  taskEnded(task: IscsiTask): void {
    this.tasks.delete(task.initiatorTaskTag);
    if (task.immediate) this.immediateTasks--;
    else this.openWindow();
    if (task.admitted) {
      this.transferBytes -= task.costBytes;
    } else if (this.waiting.length > 0) {
      const index = this.waiting.indexOf(task);
      if (index !== -1) this.waiting.splice(index, 1);
    }
  }
}
