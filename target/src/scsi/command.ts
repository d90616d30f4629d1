/**
 * One SCSI command on its way through the device server: also the operation that it makes on the
 * volume.
 */
import { strict as assert } from 'node:assert';
import type { Loan, RangeLock, VolumeError, VolumeIo } from '../volume.ts';
import { copyOf } from './cdb.ts';
import { ERROR_TREATMENT } from './errors.ts';
import type { LogicalUnit } from './logical-unit.ts';
import type { NexusState } from './nexus.ts';
import type { Operation } from './operation.ts';
import { Asc, SenseKey, type FieldPointer } from './sense.ts';
import { BLOCK_BYTES, PHYSICAL_BLOCK_BYTES } from './geometry.ts';
import { ScsiStatus, type ScsiTask } from './task.ts';

const NO_CHUNKS: readonly Uint8Array[] = [];

/**
 * waiting: behind an ORDERED or HEAD OF QUEUE task. running: entered the enabled state. SAM-5 8.5
 */
export type CommandState = 'waiting' | 'running' | 'ended';

export class Command implements VolumeIo {
  kind: VolumeIo['kind'] = 'read';
  offsetBytes = 0;
  lengthBytes = 0;
  chunks: readonly Uint8Array[] = NO_CHUNKS;
  loan: Loan | null = null;
  lock: RangeLock | null = null;

  readonly unit: LogicalUnit;
  readonly task: ScsiTask;
  readonly nexus: NexusState;
  /** Data-Out, borrowed from the front end until execute() returns; see keepDataOut(). */
  dataOut: readonly Uint8Array[];
  readonly dataOutBytes: number;
  operation: Operation | null = null;
  state: CommandState = 'waiting';
  /**
   * By task management: sends no status any more, but ends only when its operation on the volume
   * has.
   */
  aborted = false;
  /** An operation on the volume, a lock or a document is under way and will come back. */
  busy = false;

  /** What follows when the volume has done what was submitted. */
  #next: (command: Command) => void = finishGood;
  /** What a command of several steps keeps between them. */
  context: unknown = null;
  /** Told to the front end with the status: the bytes that the command transfers. */
  transferBytes = 0;

  /** Links of the task set: older and newer. */
  older: Command | null = null;
  newer: Command | null = null;

  constructor(unit: LogicalUnit, task: ScsiTask, nexus: NexusState) {
    this.unit = unit;
    this.task = task;
    this.nexus = nexus;
    this.dataOut = task.dataOut;
    this.dataOutBytes = task.dataOutLengthBytes;
  }

  get cdb(): Uint8Array {
    return this.task.cdb;
  }

  /**
   * Copies the Data-Out: for commands that look at it after something else has happened, and for
   * tasks that wait. A plain write hands the borrowed slices to the volume at once and needs no
   * copy.
   */
  keepDataOut(): void {
    if (this.dataOutBytes > 0) this.dataOut = [copyOf(this.dataOut, this.dataOutBytes)];
  }

  /** Hands this object to the volume; `next` runs when it succeeds and the task still lives. */
  submit(
    kind: VolumeIo['kind'],
    offsetBytes: number,
    lengthBytes: number,
    chunks: readonly Uint8Array[],
    next: (command: Command) => void,
  ): void {
    this.kind = kind;
    this.offsetBytes = offsetBytes;
    this.lengthBytes = lengthBytes;
    this.chunks = chunks;
    this.#next = next;
    this.busy = true;
    // What an earlier step has read may be what is written now: it is lent until submit() returns.
    const { loan } = this;
    this.loan = null;
    this.unit.volume.submit(this);
    loan?.release();
  }

  /** Nobody looks at what the command has read any more. */
  giveBack(): void {
    this.loan?.release();
    this.loan = null;
  }

  read(offsetBytes: number, lengthBytes: number, next: (command: Command) => void): void {
    this.submit('read', offsetBytes, lengthBytes, NO_CHUNKS, next);
  }

  flush(next: (command: Command) => void): void {
    this.submit('flush', 0, 0, NO_CHUNKS, next);
  }

  /**
   * For answers out of this process's memory: `next` runs when the volume has answered something
   * under its lease, so that no other target can have changed what is remembered here before now.
   */
  confirm(next: (command: Command) => void): void {
    this.#next = next;
    this.busy = true;
    this.unit.volume.allocation(0, PHYSICAL_BLOCK_BYTES, (error) => this.done(error));
  }

  done(error: VolumeError | null): void {
    assert(this.busy, 'the volume ended an operation twice');
    this.busy = false;
    if (this.aborted) this.unit.taskEnded(this);
    else if (error !== null) this.fail(error);
    else this.#next(this);
  }

  /** Waits for a lock over the range and keeps it until the command ends. */
  acquire(
    offsetBytes: number,
    lengthBytes: number,
    mode: RangeLock['mode'],
    next: (command: Command) => void,
  ): void {
    this.busy = true;
    this.unit.volume.acquire({ offsetBytes, lengthBytes, mode }, (lock) => {
      this.busy = false;
      this.lock = lock;
      if (this.aborted) this.unit.taskEnded(this);
      else next(this);
    });
  }

  /** GOOD with no data. */
  good(): void {
    this.#end(ScsiStatus.good, null, NO_CHUNKS, 0);
  }

  status(status: ScsiStatus): void {
    this.#end(status, null, NO_CHUNKS, 0);
  }

  /** GOOD with the data of the media, or with what the volume has put into `chunks`. */
  goodWithChunks(chunks: readonly Uint8Array[], lengthBytes: number): void {
    this.transferBytes = lengthBytes;
    this.#end(ScsiStatus.good, null, chunks, lengthBytes);
  }

  /** GOOD with parameter data, cut at the CDB's allocation length. SPC-4 4.2.5.6 */
  goodWithData(data: Uint8Array, allocationLength: number): void {
    const cut = data.length > allocationLength ? data.subarray(0, allocationLength) : data;
    this.transferBytes = cut.length;
    this.#end(ScsiStatus.good, null, cut.length === 0 ? NO_CHUNKS : [cut], cut.length);
  }

  check(
    key: SenseKey,
    asc: number,
    information: number | null = null,
    pointer: FieldPointer | null = null,
  ): void {
    const sense = this.unit.sense(key, asc, information, pointer);
    this.#end(ScsiStatus.checkCondition, sense, NO_CHUNKS, 0);
  }

  /** ILLEGAL REQUEST, INVALID FIELD IN CDB, pointing at the field. */
  invalidCdbField(byte: number, bit: number | null = null): void {
    this.check(SenseKey.illegalRequest, Asc.invalidFieldInCdb, null, { inCdb: true, byte, bit });
  }

  /** ILLEGAL REQUEST, INVALID FIELD IN PARAMETER LIST, pointing at the field. */
  invalidParameter(byte: number, bit: number | null = null): void {
    this.check(SenseKey.illegalRequest, Asc.invalidFieldInParameterList, null, {
      inCdb: false,
      byte,
      bit,
    });
  }

  parameterListLengthError(): void {
    this.check(SenseKey.illegalRequest, Asc.parameterListLengthError);
  }

  fail(error: VolumeError): void {
    const treatment = ERROR_TREATMENT[error.code];
    this.unit.log[treatment.logLevel](
      { code: error.code, operation: this.operation?.name, err: error },
      treatment.explanation,
    );
    if (treatment.sense === null) {
      this.aborted = true;
      this.unit.taskEnded(this);
      return;
    }
    const { key, asc, withLba } = treatment.sense;
    const offset = error.offsetBytes ?? this.offsetBytes;
    this.check(key, asc, withLba ? Math.floor(offset / BLOCK_BYTES) : null);
  }

  #end(
    status: ScsiStatus,
    sense: Uint8Array | null,
    dataIn: readonly Uint8Array[],
    dataInLengthBytes: number,
  ): void {
    assert(this.state !== 'ended', 'a command ended twice');
    // It goes with the data to the front end.
    const { loan } = this;
    this.loan = null;
    this.unit.taskEnded(this);
    this.task.complete(status, sense, dataIn, dataInLengthBytes, this.transferBytes, loan);
  }
}

export function finishGood(command: Command): void {
  command.good();
}
