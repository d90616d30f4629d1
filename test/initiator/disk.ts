import {
  inquiry,
  read16,
  readCapacity16,
  synchronizeCache16,
  testUnitReady,
  unmap,
  unmapParameters,
  write16,
} from './cdb.ts';
import type { SessionOptions } from './connect.ts';
import { openSession } from './connect.ts';
import type { Command, Outcome, Session } from './session.ts';

const SECTOR_BYTES = 512;
const CHECK_CONDITION = 0x02;
const UNIT_ATTENTION = 6;
const MAX_ATTENTIONS = 5;

/** A status other than GOOD. */
export class ScsiError extends Error {
  override readonly name = 'ScsiError';
  readonly status: number;
  readonly senseKey: number;
  /** Additional sense code and its qualifier. */
  readonly asc: number;
  readonly ascq: number;

  constructor(outcome: Outcome, cdb: Uint8Array) {
    const sense = decodeSense(outcome.sense);
    super(
      `operation ${hex(cdb[0] ?? 0)} ended with status ${hex(outcome.status)}, ` +
        `sense ${hex(sense.key)}/${hex(sense.asc)}/${hex(sense.ascq)}`,
    );
    this.status = outcome.status;
    this.senseKey = sense.key;
    this.asc = sense.asc;
    this.ascq = sense.ascq;
  }
}

const hex = (value: number): string => `${value.toString(16).padStart(2, '0')}h`;

/** SPC-4 4.5: fixed and descriptor format. */
export function decodeSense(sense: Buffer | null): { key: number; asc: number; ascq: number } {
  if (sense === null || sense.length < 4) return { key: 0, asc: 0, ascq: 0 };
  const format = sense.readUInt8(0) & 0x7f;
  if (format === 0x72 || format === 0x73) {
    return {
      key: sense.readUInt8(1) & 0xf,
      asc: sense.readUInt8(2),
      ascq: sense.readUInt8(3),
    };
  }
  return {
    key: sense.readUInt8(2) & 0xf,
    asc: sense.length > 13 ? sense.readUInt8(12) : 0,
    ascq: sense.length > 13 ? sense.readUInt8(13) : 0,
  };
}

/**
 * One logical unit by byte offsets; a unit attention is taken and the command, which was not
 * executed, sent again.
 */
export class Disk {
  readonly session: Session;
  readonly #lun: number;

  constructor(session: Session, lun = 0) {
    this.session = session;
    this.#lun = lun;
  }

  async run(command: Omit<Command, 'lun'>): Promise<Outcome> {
    for (let attentions = 0; ; attentions++) {
      const outcome = await this.session.execute({ ...command, lun: this.#lun });
      if (outcome.status === 0) return outcome;
      const attention =
        outcome.status === CHECK_CONDITION && decodeSense(outcome.sense).key === UNIT_ATTENTION;
      if (!attention || attentions === MAX_ATTENTIONS) throw new ScsiError(outcome, command.cdb);
    }
  }

  async read(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    const cdb = read16(offsetBytes / SECTOR_BYTES, lengthBytes / SECTOR_BYTES);
    return (await this.run({ cdb, dataInBytes: lengthBytes })).dataIn;
  }

  async write(
    offsetBytes: number,
    data: Uint8Array,
    options: { forceUnitAccess?: boolean } = {},
  ): Promise<void> {
    const cdb = write16(
      offsetBytes / SECTOR_BYTES,
      data.length / SECTOR_BYTES,
      options.forceUnitAccess,
    );
    await this.run({ cdb, dataOut: data });
  }

  async unmap(offsetBytes: number, lengthBytes: number): Promise<void> {
    const range = { lba: offsetBytes / SECTOR_BYTES, blocks: lengthBytes / SECTOR_BYTES };
    const list = unmapParameters([range]);
    await this.run({ cdb: unmap(list.length), dataOut: list });
  }

  async flush(): Promise<void> {
    await this.run({ cdb: synchronizeCache16() });
  }

  async testUnitReady(): Promise<void> {
    await this.run({ cdb: testUnitReady() });
  }

  async inquiry(page?: number): Promise<Buffer> {
    return (await this.run({ cdb: inquiry(1024, page), dataInBytes: 1024 })).dataIn;
  }

  /** Bytes. */
  async capacity(): Promise<number> {
    const { dataIn } = await this.run({ cdb: readCapacity16(), dataInBytes: 32 });
    return (Number(dataIn.readBigUInt64BE(0)) + 1) * dataIn.readUInt32BE(8);
  }
}

export async function openDisk(options: SessionOptions & { lun?: number }): Promise<Disk> {
  const disk = new Disk(await openSession(options), options.lun);
  await disk.testUnitReady();
  return disk;
}
