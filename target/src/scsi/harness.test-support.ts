/** Runs single commands against a device server on a memory volume. */
import { createMemoryVolume, type MemoryVolume } from '../memory-volume.ts';
import { ScsiDeviceServer } from './device-server.ts';
import type { UnitLog, UnitOptions } from './logical-unit.ts';
import { ScsiStatus, type Loan, type Nexus, type ScsiTask, type TaskAttribute } from './task.ts';

const NO_LOG: UnitLog = {
  error: () => undefined,
  warn: () => undefined,
  info: () => undefined,
  debug: () => undefined,
};

export const IQN = 'iqn.2016-09.com.openebs:test';

export class TestTask implements ScsiTask {
  readonly nexus: Nexus;
  readonly cdb: Uint8Array;
  lun: Uint8Array = new Uint8Array(8);
  attribute: TaskAttribute = 'simple';
  dataOut: readonly Uint8Array[] = [];
  dataOutLengthBytes = 0;
  expectedBytes = 0;
  deviceState: unknown = null;
  /** Null while it has not completed. */
  status: ScsiStatus | null = null;
  sense: Uint8Array | null = null;
  dataIn: Uint8Array = new Uint8Array(0);
  requiredBytes = 0;

  constructor(nexus: Nexus, cdb: Uint8Array, dataOut: readonly Uint8Array[] = []) {
    this.nexus = nexus;
    this.cdb = cdb;
    this.dataOut = dataOut;
    this.dataOutLengthBytes = dataOut.reduce((total, chunk) => total + chunk.length, 0);
    this.expectedBytes = this.dataOutLengthBytes;
  }

  complete(
    status: ScsiStatus,
    sense: Uint8Array | null,
    dataIn: readonly Uint8Array[],
    dataInLengthBytes: number,
    requiredBytes: number,
    loan: Loan | null,
  ): void {
    if (this.status !== null) throw new Error('completed twice');
    this.status = status;
    this.sense = sense;
    this.dataIn = new Uint8Array(Buffer.concat(dataIn));
    if (this.dataIn.length !== dataInLengthBytes) throw new Error('the length is not the data');
    this.requiredBytes = requiredBytes;
    loan?.release();
  }

  /**
   * Sense key, additional sense code and qualifier in fixed format, such as '5/24/00'; 'good' or
   * another status.
   */
  get outcome(): string {
    if (this.status === null) return 'none';
    if (this.status !== ScsiStatus.checkCondition || this.sense === null) {
      const names = Object.entries(ScsiStatus);
      return names.find(([, value]) => value === this.status)?.[0] ?? 'unknown';
    }
    const { sense } = this;
    const descriptor = sense[0] === 0x72;
    const hex = (value: number | undefined): string => (value ?? 0).toString(16).padStart(2, '0');
    const key = ((descriptor ? sense[1] : sense[2]) ?? 0) & 0xf;
    const [asc, ascq] = descriptor ? [sense[2], sense[3]] : [sense[12], sense[13]];
    return `${key.toString(16)}/${hex(asc)}/${hex(ascq)}`;
  }
}

/** Bytes written as hexadecimal, blanks between them. */
export function hex(text: string): Uint8Array {
  return Uint8Array.from(text.trim().split(/\s+/u), (byte) => Number.parseInt(byte, 16));
}

export class Bench {
  readonly volume: MemoryVolume;
  readonly options: UnitOptions;
  readonly server: ScsiDeviceServer;
  #nexuses = 0;

  constructor(sizeBytes = 1024 * 1024) {
    this.volume = createMemoryVolume(sizeBytes);
    this.options = {
      volume: this.volume,
      iqn: IQN,
      productRevision: '0.1',
      log: NO_LOG,
    };
    this.server = new ScsiDeviceServer(this.options);
  }

  /** A nexus whose power-on condition has been taken already. */
  nexus(name = 'iqn.1994-05.com.example:a', isid = '400001370000'): Nexus {
    const nexus = this.freshNexus(name, isid);
    this.run(nexus, '00 00 00 00 00 00');
    return nexus;
  }

  freshNexus(name = 'iqn.1994-05.com.example:a', isid = '400001370000'): Nexus {
    this.#nexuses += 1;
    const nexus = { id: this.#nexuses, initiatorName: name, isid, portalGroupTag: 1 };
    this.server.nexusCreated(nexus);
    return nexus;
  }

  /**
   * `change` adjusts the task before it is executed. The Data-Out is lent as a front end lends it:
   * overwritten as soon as execute() has returned.
   */
  run(
    nexus: Nexus,
    cdb: string | Uint8Array,
    dataOut: readonly Uint8Array[] = [],
    change: (task: TestTask) => void = () => undefined,
  ): TestTask {
    const lent = dataOut.map((chunk) => chunk.slice());
    const task = new TestTask(nexus, typeof cdb === 'string' ? hex(cdb) : cdb, lent);
    change(task);
    this.server.execute(task);
    for (const chunk of lent) chunk.fill(0xee);
    return task;
  }
}
