/**
 * The seam between the iSCSI front end and the SCSI device server (SAM-5: the execute command
 * procedure call).
 */
import type { Loan } from '../volume.ts';

export type { Loan } from '../volume.ts';

/** An I_T nexus: one session's path to one target port. SAM-5 4.7. */
export interface Nexus {
  /** Unique among live and past nexuses of this process. */
  readonly id: number;
  readonly initiatorName: string;
  /** Six bytes as hex; with the name it makes the initiator port's TransportID (SPC-4 7.6.4.6). */
  readonly isid: string;
  /** Target portal group tag, also the relative target port identifier. */
  readonly portalGroupTag: number;
}

/** RFC 7143 11.3.1 */
export type TaskAttribute = 'untagged' | 'simple' | 'ordered' | 'head-of-queue' | 'aca';

/** SAM-5 5.3.1 */
export const ScsiStatus = {
  good: 0x00,
  checkCondition: 0x02,
  conditionMet: 0x04,
  busy: 0x08,
  reservationConflict: 0x18,
  taskSetFull: 0x28,
  acaActive: 0x30,
  taskAborted: 0x40,
} as const;
export type ScsiStatus = (typeof ScsiStatus)[keyof typeof ScsiStatus];

/**
 * One SCSI command. The front end makes it when the command PDU has arrived, asks `dataOutBytes`
 * what to solicit, fills `dataOut` and calls `execute`. The front end implements `complete` on its
 * class: no closure per command.
 */
export interface ScsiTask {
  readonly nexus: Nexus;
  /** The eight bytes of the LUN field as they came. SAM-5 4.6 */
  readonly lun: Uint8Array;
  /** 16 bytes; longer CDBs through the additional header segment. */
  readonly cdb: Uint8Array;
  readonly attribute: TaskAttribute;
  /** The initiator's expected data transfer length: of the Data-Out where the command has one. */
  readonly expectedBytes: number;
  /**
   * Borrowed: valid until execute() returns. Data-Out in order, possibly shorter than the CDB asks
   * for when the expected length was smaller.
   */
  dataOut: readonly Uint8Array[];
  dataOutLengthBytes: number;
  /**
   * Set by the device server for its own use (for example the operation in flight), so that abort
   * finds it.
   */
  deviceState: unknown;

  /**
   * Called exactly once unless the task was aborted before. `dataIn` are slices in order, not to be
   * changed after; `loan`, where not null, is the memory behind them, which the front end releases
   * when they are sent or dropped. `sense` (fixed or descriptor format) comes with CHECK CONDITION. `requiredBytes`
   * is what the command would have transferred in its direction; with the initiator's expected
   * length it gives the residual.
   */
  complete(
    status: ScsiStatus,
    sense: Uint8Array | null,
    dataIn: readonly Uint8Array[],
    dataInLengthBytes: number,
    requiredBytes: number,
    loan: Loan | null,
  ): void;
}

export type TaskManagementFunction =
  | 'abort-task-set'
  | 'clear-task-set'
  | 'logical-unit-reset'
  | 'target-warm-reset'
  | 'target-cold-reset';

/** The logical unit and its task set, serving every nexus. */
export interface DeviceServer {
  /**
   * How many bytes of Data-Out the command needs, from the CDB alone: 0 where none or where the CDB
   * will be refused (execute then refuses it). Never more than the limits allow to buffer.
   */
  dataOutBytes(cdb: Uint8Array): number;
  /** Payload of reads and writes that are under way on the volume. Bytes. */
  readonly bytesInFlight: number;
  /** Runs the command; completes through task.complete, possibly before it returns. */
  execute(task: ScsiTask): void;
  /** ABORT TASK: the task completes no more. False when it is not in the task set. */
  abort(task: ScsiTask): boolean;
  /**
   * Task set and reset functions, with unit attentions to other nexuses (SAM-5 7, SPC-4 5.14).
   * Calls back when every affected task has ended; `aborted` tasks complete no more.
   */
  manage(
    fn: TaskManagementFunction,
    nexus: Nexus,
    lun: Uint8Array,
    done: (
      outcome: 'complete' | 'lun-does-not-exist' | 'rejected',
      aborted: readonly ScsiTask[],
    ) => void,
  ): void;
  /** A session began or ended: I_T nexus loss clears what it held (not persistent reservations). */
  nexusCreated(nexus: Nexus): void;
  nexusLost(nexus: Nexus): void;
}
