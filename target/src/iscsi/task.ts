import type { Loan, Nexus, ScsiStatus, ScsiTask, TaskAttribute } from '../scsi/task.ts';
import type { Slab } from '@openebs/replica/runtime';
import type { Connection } from './connection.ts';
import type { Session } from './session.ts';

/** What a task is doing in the front end. */
export const TaskPhase = {
  /** Data-Out is on its way. */
  collecting: 0,
  /** Complete, or about to ask for data, but the session has too much in flight. */
  waiting: 1,
  /** The device server has it. */
  executing: 2,
  /** Answered or aborted. */
  ended: 3,
} as const;
export type TaskPhase = (typeof TaskPhase)[keyof typeof TaskPhase];

/** One R2T that is not fully answered. */
export interface OutstandingR2T {
  readonly targetTransferTag: number;
  readonly offset: number;
  readonly bytes: number;
  received: number;
  nextDataSn: number;
}

const NO_DATA: readonly Uint8Array[] = [];

/** One SCSI command of one session, from its PDU to its response. */
export class IscsiTask implements ScsiTask {
  readonly connection: Connection;
  readonly session: Session;
  readonly nexus: Nexus;
  readonly lun: Uint8Array;
  readonly cdb: Uint8Array;
  readonly attribute: TaskAttribute;
  readonly initiatorTaskTag: number;
  readonly cmdSn: number;
  readonly immediate: boolean;
  readonly reads: boolean;
  readonly writes: boolean;
  /** The expected data transfer length; of the write where the command is bidirectional. */
  readonly expectedBytes: number;
  /** Of the read. */
  readonly expectedReadBytes: number;

  phase: TaskPhase = TaskPhase.collecting;
  dataOut: readonly Uint8Array[] = NO_DATA;
  dataOutLengthBytes = 0;
  deviceState: unknown = null;

  /** How much Data-Out is wanted before the command is executed. */
  neededBytes = 0;
  /**
   * What it counts against the session's limit of transfers in flight, from when it is admitted.
   */
  costBytes = 0;
  admitted = false;
  /**
   * Data-Out so far, from the start and without a gap; what lies beyond neededBytes is not kept.
   */
  receivedBytes = 0;
  /** Unsolicited Data-Out PDUs follow until one has the F bit. */
  unsolicitedOpen = false;
  unsolicitedDataSn = 0;
  /** Data that came in more than one PDU is gathered here. */
  gathered: Slab | null = null;
  r2ts: OutstandingR2T[] | null = null;
  /** Up to where R2Ts have been sent. */
  solicitedBytes = 0;
  /** Next DataSN or R2TSN of what we send. */
  nextDataSn = 0;
  nextR2TSn = 0;
  /**
   * Set when Data-Out broke the rules: the command ends with it once the initiator has stopped
   * sending.
   */
  failureSense: Uint8Array | null = null;

  constructor(
    connection: Connection,
    session: Session,
    fields: {
      lun: Uint8Array;
      cdb: Uint8Array;
      attribute: TaskAttribute;
      initiatorTaskTag: number;
      cmdSn: number;
      immediate: boolean;
      reads: boolean;
      writes: boolean;
      expectedBytes: number;
      expectedReadBytes: number;
    },
  ) {
    this.connection = connection;
    this.session = session;
    this.nexus = session.nexus;
    this.lun = fields.lun;
    this.cdb = fields.cdb;
    this.attribute = fields.attribute;
    this.initiatorTaskTag = fields.initiatorTaskTag;
    this.cmdSn = fields.cmdSn;
    this.immediate = fields.immediate;
    this.reads = fields.reads;
    this.writes = fields.writes;
    this.expectedBytes = fields.expectedBytes;
    this.expectedReadBytes = fields.expectedReadBytes;
  }

  complete(
    status: ScsiStatus,
    sense: Uint8Array | null,
    dataIn: readonly Uint8Array[],
    dataInLengthBytes: number,
    requiredBytes: number,
    loan: Loan | null,
  ): void {
    if (this.phase !== TaskPhase.ended) {
      this.end();
      const outcome = { status, sense, dataIn, dataInLengthBytes, requiredBytes, loan };
      this.connection.respond(this, outcome);
    }
    // What goes out by reference is held by the outbox.
    loan?.release();
  }

  /** Takes the task out of its session without an answer. */
  end(): void {
    if (this.phase === TaskPhase.ended) return;
    this.phase = TaskPhase.ended;
    this.dataOut = NO_DATA;
    this.gathered?.release();
    this.gathered = null;
    this.session.taskEnded(this);
  }
}
