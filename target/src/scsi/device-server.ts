/**
 * SAM-5's device server of logical unit 0: takes tasks of every nexus and runs them by the
 * operation code table.
 */
import { Command } from './command.ts';
import { isLunZero } from './cdb.ts';
import { LogicalUnit, type UnitOptions } from './logical-unit.ts';
import { NexusState } from './nexus.ts';
import { findOperation, hasServiceActions } from './operations.ts';
import type { Operation } from './operation.ts';
import { conflicts } from './reservation-conflict.ts';
import { Asc, SenseKey } from './sense.ts';
import { TaskSet } from './task-set.ts';
import { ScsiStatus } from './task.ts';
import type { DeviceServer, Nexus, ScsiTask, TaskManagementFunction } from './task.ts';
import { runOnAbsentUnit } from './absent-unit.ts';

export class ScsiDeviceServer implements DeviceServer {
  readonly unit: LogicalUnit;
  readonly #tasks: TaskSet;
  /** Called whenever an aborted task has ended, until they are content. */
  #abortWaiters: (() => boolean)[] = [];

  constructor(options: UnitOptions) {
    this.unit = new LogicalUnit(options, {
      ended: (command) => this.#ended(command),
      abort: (wanted, done) => this.#abortAll(this.#tasks.select(wanted), done),
    });
    this.#tasks = new TaskSet((command) => this.#start(command));
  }

  dataOutBytes(cdb: Uint8Array): number {
    const operation = findOperation(cdb);
    if (operation === null || operation.dataOutBytes === null) return 0;
    return operation.dataOutBytes(cdb);
  }

  get bytesInFlight(): number {
    return this.unit.volume.bytesInFlight;
  }

  execute(task: ScsiTask): void {
    const nexus = this.#nexusOf(task.nexus);
    const command = new Command(this.unit, task, nexus);
    task.deviceState = command;
    this.#tasks.add(command);
  }

  abort(task: ScsiTask): boolean {
    const command = task.deviceState;
    if (!(command instanceof Command) || command.state === 'ended') return false;
    this.#abort(command);
    return true;
  }

  manage(
    fn: TaskManagementFunction,
    nexus: Nexus,
    lun: Uint8Array,
    done: (
      outcome: 'complete' | 'lun-does-not-exist' | 'rejected',
      aborted: readonly ScsiTask[],
    ) => void,
  ): void {
    const wholeTarget = fn === 'target-warm-reset' || fn === 'target-cold-reset';
    if (!wholeTarget && !isLunZero(lun)) {
      done('lun-does-not-exist', []);
      return;
    }
    const own = this.#nexusOf(nexus);
    const affected = this.#tasks.select(
      // SAM-5 7.3: ABORT TASK SET takes the tasks of its own nexus only.
      fn === 'abort-task-set' ? (command) => command.nexus === own : () => true,
    );
    this.#tellOthers(fn, own, affected);
    if (fn !== 'abort-task-set' && fn !== 'clear-task-set') this.unit.reset();
    this.#abortAll(affected, () =>
      done(
        'complete',
        affected.map((command) => command.task),
      ),
    );
  }

  nexusCreated(nexus: Nexus): void {
    const state = new NexusState(nexus);
    // SAM-5 5.14, 6.3.1: whatever the initiator knew of this unit is from before.
    state.addAttention(Asc.powerOnResetOrBusDeviceReset);
    this.unit.nexuses.set(nexus.id, state);
  }

  nexusLost(nexus: Nexus): void {
    const state = this.unit.nexuses.get(nexus.id);
    if (state === undefined) return;
    for (const command of this.#tasks.select((candidate) => candidate.nexus === state)) {
      this.#abort(command);
    }
    this.unit.nexuses.delete(nexus.id);
    this.unit.nexusLost(state);
  }

  #nexusOf(nexus: Nexus): NexusState {
    const known = this.unit.nexuses.get(nexus.id);
    if (known !== undefined) return known;
    throw new Error(`a command came for nexus ${nexus.id}, which was never announced or is lost`);
  }

  #start(command: Command): void {
    const { task, nexus } = command;
    const operation = findOperation(task.cdb);
    command.operation = operation;
    if (!isLunZero(task.lun)) {
      runOnAbsentUnit(command, operation);
      return;
    }
    if (operation === null) {
      if (!this.#reportAttention(command)) this.#refuseUnknown(command);
      return;
    }
    // SAM-5 5.3.1: RESERVATION CONFLICT takes precedence over a unit attention condition.
    if (conflicts(this.unit, nexus, operation, task.cdb)) {
      command.status(ScsiStatus.reservationConflict);
      return;
    }
    if (!operation.sparesAttention && this.#reportAttention(command)) return;
    // SAM-5 8.9.1: the unit does not implement ACA (NORMACA is zero in INQUIRY data).
    if (task.attribute === 'aca') {
      command.check(SenseKey.abortedCommand, Asc.invalidMessage);
      return;
    }
    if (!this.#validCdb(command, operation)) return;
    if (operation.accessesMedium && this.unit.stopped) {
      command.check(SenseKey.notReady, Asc.initializingCommandRequired);
      return;
    }
    if (operation.writes && this.unit.mode.softwareWriteProtect) {
      command.check(SenseKey.dataProtect, Asc.softwareWriteProtected);
      return;
    }
    operation.run(command);
  }

  /** SPC-4 5.14.1: told once, instead of running the command. */
  #reportAttention(command: Command): boolean {
    const asc = command.nexus.attentions.shift();
    if (asc === undefined) return false;
    command.check(SenseKey.unitAttention, asc);
    return true;
  }

  #refuseUnknown(command: Command): void {
    const opcode = command.cdb[0] ?? 0;
    if (hasServiceActions(opcode)) command.invalidCdbField(1, 4);
    else command.check(SenseKey.illegalRequest, Asc.invalidOperationCode);
  }

  /** SPC-4 4.2.5.2: a bit that the unit neither evaluates nor ignores must be zero. */
  #validCdb(command: Command, operation: Operation): boolean {
    const { usage } = operation;
    const cdb = command.cdb;
    for (let i = 1; i < usage.length; i += 1) {
      const wrong = (cdb[i] ?? 0) & ~(usage[i] ?? 0);
      if (wrong !== 0) {
        command.invalidCdbField(i, 31 - Math.clz32(wrong));
        return false;
      }
    }
    return true;
  }

  #ended(command: Command): void {
    command.task.deviceState = null;
    command.giveBack();
    if (command.lock !== null) {
      const lock = command.lock;
      command.lock = null;
      this.unit.volume.release(lock);
    }
    this.#tasks.remove(command);
    if (command.aborted && this.#abortWaiters.length > 0) {
      this.#abortWaiters = this.#abortWaiters.filter((content) => !content());
    }
  }

  #abort(command: Command): void {
    command.aborted = true;
    // An operation on the volume is not interrupted: the range lock orders whatever comes after it.
    if (!command.busy) this.#ended(command);
  }

  /** Calls back when the last of the tasks has ended. */
  #abortAll(commands: readonly Command[], done: () => void): void {
    for (const command of commands) {
      if (command.state !== 'ended') this.#abort(command);
    }
    const content = (): boolean => {
      if (commands.some((command) => command.state !== 'ended')) return false;
      done();
      return true;
    };
    if (!content()) this.#abortWaiters.push(content);
  }

  #tellOthers(fn: TaskManagementFunction, own: NexusState, affected: readonly Command[]): void {
    switch (fn) {
      case 'abort-task-set':
        return;
      case 'clear-task-set':
        // SAM-5 7.5: the nexuses whose tasks were cleared, but for the one that asked. TAS is zero.
        for (const command of affected) {
          if (command.nexus !== own) {
            command.nexus.addAttention(Asc.commandsClearedByAnotherInitiator);
          }
        }
        return;
      case 'logical-unit-reset':
      case 'target-warm-reset':
      case 'target-cold-reset':
        // SAM-5 6.3.3: every nexus, and the one that asked for it.
        this.unit.attendOthers(null, Asc.busDeviceResetFunctionOccurred);
    }
  }
}

/**
 * The device server of one volume, ready to serve: persistent reservations that survive a loss of
 * power (APTPL) are restored from the volume's documents before the first command can come.
 */
export async function createDeviceServer(options: UnitOptions): Promise<DeviceServer> {
  const server = new ScsiDeviceServer(options);
  await server.unit.restore();
  return server;
}
