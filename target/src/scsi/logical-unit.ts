/** The state of logical unit 0 that its commands share. */
import type { Volume } from '../volume.ts';
import type { Command } from './command.ts';
import { BLOCK_BYTES } from './geometry.ts';
import { defaultModeParameters, type ModeParameters } from './mode-parameters.ts';
import type { NexusState } from './nexus.ts';
import { ReservationKeeper } from './reservation-keeper.ts';
import { Asc, buildSense, type FieldPointer, type SenseKey } from './sense.ts';

/** What of a logger is used; pino's fits. */
export interface UnitLog {
  error(details: object, message: string): void;
  warn(details: object, message: string): void;
  info(details: object, message: string): void;
  debug(details: object, message: string): void;
}

export interface UnitOptions {
  readonly volume: Volume;
  /** The target's iSCSI name. */
  readonly iqn: string;
  /** Four characters of the INQUIRY data. */
  readonly productRevision: string;
  readonly log: UnitLog;
}

/** What the unit's commands need of the task set that they are in. */
export interface TaskControl {
  ended(command: Command): void;
  /** Aborts the tasks that `wanted` names and calls back when the last has ended. */
  abort(wanted: (command: Command) => boolean, done: () => void): void;
}

export class LogicalUnit {
  readonly volume: Volume;
  readonly iqn: string;
  readonly productRevision: string;
  readonly log: UnitLog;
  /** Capacity in logical blocks. */
  blocks: number;
  mode: ModeParameters = defaultModeParameters();
  /**
   * START STOP UNIT with START zero: media commands are NOT READY until it is started again. SBC-3
   * 5.20
   */
  stopped = false;
  /** RESERVE (6): the nexus that holds the unit. SPC-2 7.21 */
  reserve6Holder: NexusState | null = null;
  readonly reservations: ReservationKeeper;
  readonly nexuses = new Map<number, NexusState>();
  readonly #tasks: TaskControl;

  constructor(options: UnitOptions, tasks: TaskControl) {
    this.#tasks = tasks;
    this.reservations = new ReservationKeeper(options.volume);
    this.volume = options.volume;
    this.iqn = options.iqn;
    this.productRevision = options.productRevision;
    this.log = options.log;
    this.blocks = Math.floor(options.volume.sizeBytes / BLOCK_BYTES);
    options.volume.onChange((change) => {
      if (change === 'size') this.#resized();
      // Whatever an initiator keeps of the blocks is of another volume.
      if (change === 'content') this.attendOthers(null, Asc.mediumMayHaveChanged);
    });
  }

  /** Takes over what the volume's documents keep for this unit. */
  async restore(): Promise<void> {
    await this.reservations.restore();
  }

  /** In the format that the control mode page asks for. */
  sense(
    key: SenseKey,
    asc: number,
    information: number | null,
    pointer: FieldPointer | null,
  ): Uint8Array {
    return buildSense(this.mode.descriptorSense, key, asc, information, pointer);
  }

  taskEnded(command: Command): void {
    this.#tasks.ended(command);
  }

  /** Establishes a unit attention condition for every nexus but one. */
  attendOthers(except: NexusState | null, asc: number): void {
    for (const nexus of this.nexuses.values()) {
      if (nexus !== except) nexus.addAttention(asc);
    }
  }

  /**
   * Establishes a unit attention condition for the sessions of one I_T nexus; none may be there.
   */
  attendPort(portKey: string, asc: number): void {
    for (const nexus of this.nexuses.values()) {
      if (nexus.portKey === portKey) nexus.addAttention(asc);
    }
  }

  abortTasksOf(portKeys: readonly string[], except: Command, done: () => void): void {
    this.#tasks.abort(
      (command) => command !== except && portKeys.includes(command.nexus.portKey),
      done,
    );
  }

  /** SAM-5 6.3.3: what a logical unit reset puts back; persistent reservations stay. */
  reset(): void {
    this.mode = defaultModeParameters();
    this.stopped = false;
    this.reserve6Holder = null;
    for (const nexus of this.nexuses.values()) nexus.copyResults.clear();
  }

  /** SAM-5 6.3.4: what the nexus held goes with it; persistent reservations stay. */
  nexusLost(nexus: NexusState): void {
    if (this.reserve6Holder === nexus) this.reserve6Holder = null;
  }

  /** SBC-3 4.7: the capacity changed; every initiator is told. */
  #resized(): void {
    this.blocks = Math.floor(this.volume.sizeBytes / BLOCK_BYTES);
    this.attendOthers(null, Asc.capacityDataHasChanged);
  }
}
