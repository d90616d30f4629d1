/**
 * As much of an initiator as unit tests of the front end need: PDUs by hand, and what comes back.
 */
import { once } from 'node:events';
import nodeNet from 'node:net';
import { SlabPool } from '@openebs/replica/runtime';
import { LIMITS } from '../limits.ts';
import { createMemoryVolume, type MemoryVolume } from '../memory-volume.ts';
import { createDeviceServer } from '../scsi/index.ts';
import { parseText } from './login/text.ts';
import { setUint16, setUint24, setUint32 } from './pdu/bytes.ts';
import { PduDecoder, type PduView } from './pdu/decoder.ts';
import { digest, setDigest } from './pdu/digest.ts';
import { FINAL_BIT, Opcode, READ_BIT, RESERVED_TAG, WRITE_BIT } from './pdu/fields.ts';
import { createIscsiServer, type IscsiServer, type IscsiServerOptions } from './server.ts';

export const TARGET_NAME = 'iqn.2016-09.com.openebs:unit';
export const INITIATOR_NAME = 'iqn.1993-08.org.debian:01:unit';

const QUIET = { debug: () => undefined, info: () => undefined, warn: () => undefined };

/** A clock that stands still until a test moves it. */
export class ManualClock {
  #nowMs = 0;
  readonly #callbacks = new Set<() => void>();

  nowMs(): number {
    return this.#nowMs;
  }

  every(_ms: number, callback: () => void): () => void {
    this.#callbacks.add(callback);
    return () => this.#callbacks.delete(callback);
  }

  advance(ms: number): void {
    this.#nowMs += ms;
    for (const callback of this.#callbacks) callback();
  }
}

/** A target on a memory volume and a free port. */
export class TestTarget {
  readonly server: IscsiServer;
  readonly volume: MemoryVolume;
  readonly port: number;
  readonly #initiators: TestInitiator[] = [];

  private constructor(server: IscsiServer, volume: MemoryVolume, port: number) {
    this.server = server;
    this.volume = volume;
    this.port = port;
  }

  static async start(options: Partial<IscsiServerOptions> = {}): Promise<TestTarget> {
    const volume = createMemoryVolume(4 * 1024 * 1024);
    const log = { ...QUIET, error: () => undefined };
    const device = await createDeviceServer({
      volume,
      iqn: TARGET_NAME,
      productRevision: '0001',
      log,
    });
    const server = createIscsiServer({
      targetName: TARGET_NAME,
      listen: [{ host: '127.0.0.1', port: 0, portalGroupTag: 1 }],
      device,
      pool: new SlabPool(LIMITS.pooledBytes),
      authentication: { kind: 'none' },
      log: QUIET,
      ...options,
    });
    const [portal] = await server.listen();
    return new TestTarget(server, volume, portal?.port ?? 0);
  }

  async connect(): Promise<TestInitiator> {
    const socket = nodeNet.connect(this.port, '127.0.0.1');
    await once(socket, 'connect');
    socket.setNoDelay(true);
    const initiator = new TestInitiator(socket);
    this.#initiators.push(initiator);
    return initiator;
  }

  /** Logged in, and without the unit attention that a new nexus begins with. */
  async login(...items: string[]): Promise<TestInitiator> {
    const initiator = await this.connect();
    await initiator.login(items);
    await initiator.command({ cdb: [0] });
    return initiator;
  }

  async stop(): Promise<void> {
    for (const initiator of this.#initiators) initiator.socket.destroy();
    await this.server.close(0);
  }
}

export interface PduFields {
  readonly opcode: number;
  readonly flags?: number;
  readonly immediate?: boolean;
  readonly lun?: number;
  readonly tag?: number;
  /** Bytes 20 to 47 as 32-bit words. */
  readonly words?: readonly number[];
  readonly data?: Uint8Array;
  /** The bytes of the header, before it is sent. */
  readonly patch?: (header: Buffer) => void;
}

export interface CommandFields {
  readonly cdb: readonly number[];
  readonly read?: number;
  readonly write?: number;
  readonly data?: Uint8Array;
  readonly flags?: number;
  readonly immediate?: boolean;
  readonly cmdSn?: number;
  readonly tag?: number;
  readonly lun?: number;
}

export class TestInitiator {
  readonly socket: nodeNet.Socket;
  cmdSn = 100;
  nextTag = 1;
  tsih = 0;
  /** One bit of this byte of each PDU is turned over. */
  damageAt: number | null = null;
  #digests = false;
  readonly #decoder: PduDecoder;
  readonly #received: PduView[] = [];
  readonly #waiting: ((pdu: PduView | null) => void)[] = [];
  #rest: Buffer = Buffer.alloc(0);
  #closed = false;

  constructor(socket: nodeNet.Socket) {
    this.socket = socket;
    this.#decoder = new PduDecoder(
      {
        pdu: (pdu) => {
          this.#arrived(pdu.retain());
          return true;
        },
        fault: (fault) => socket.destroy(new Error(fault)),
        reserve: () => undefined,
      },
      0xffffff,
    );
    socket.on('data', (chunk: Buffer) => {
      const bytes = Buffer.concat([this.#rest, chunk]);
      this.#rest = bytes.subarray(this.#decoder.consume(bytes, 0, bytes.length));
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#closed = true;
      for (const waiter of this.#waiting.splice(0)) waiter(null);
    });
  }

  #arrived(pdu: PduView): void {
    const waiter = this.#waiting.shift();
    if (waiter === undefined) this.#received.push(pdu);
    else waiter(pdu);
  }

  /** The next PDU; null when the target has closed the connection. */
  next(): Promise<PduView | null> {
    const pdu = this.#received.shift();
    if (pdu !== undefined) return Promise.resolve(pdu);
    if (this.#closed) return Promise.resolve(null);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  async expect(opcode: number): Promise<PduView> {
    const pdu = await this.next();
    if (pdu === null) throw new Error('the target closed the connection');
    if (pdu.opcode !== opcode) {
      throw new Error(`opcode ${pdu.opcode} instead of ${opcode}, byte 2 is ${pdu.byte(2)}`);
    }
    return pdu;
  }

  send(fields: PduFields): number {
    const { opcode, flags = FINAL_BIT, immediate = false, lun = 0, words = [] } = fields;
    const data = fields.data ?? new Uint8Array(0);
    const tag = fields.tag ?? this.nextTag++;
    const bytes = Buffer.alloc(48 + ((data.length + 3) & ~3));
    bytes[0] = opcode | (immediate ? 0x40 : 0);
    bytes[1] = flags;
    setUint24(bytes, 5, data.length);
    bytes[9] = lun;
    setUint32(bytes, 16, tag);
    words.forEach((word, index) => setUint32(bytes, 20 + index * 4, word));
    bytes.set(data, 48);
    fields.patch?.(bytes);
    this.socket.write(this.#digests ? this.#withDigests(bytes) : bytes);
    return tag;
  }

  /** From here on both sides use header and data digests. */
  useDigests(): void {
    this.#digests = true;
    this.#decoder.headerDigest = true;
    this.#decoder.dataDigest = true;
  }

  #withDigests(pdu: Buffer): Buffer {
    const sum = (bytes: Buffer): Buffer => {
      const out = Buffer.alloc(4);
      setDigest(out, 0, digest(bytes));
      return out;
    };
    const header = pdu.subarray(0, 48);
    const data = pdu.subarray(48);
    const parts = [header, sum(header), ...(data.length > 0 ? [data, sum(data)] : [])];
    const bytes = Buffer.concat(parts);
    if (this.damageAt !== null) bytes[this.damageAt] = (bytes[this.damageAt] ?? 0) ^ 0x10;
    return bytes;
  }

  sendLogin(
    items: readonly string[],
    fields: { flags?: number; isid?: number; cid?: number } = {},
  ): number {
    return this.send({
      opcode: Opcode.loginRequest,
      immediate: true,
      flags: fields.flags ?? 0x87,
      words: [0, this.cmdSn],
      data: Buffer.from(items.map((item) => `${item}\0`).join('')),
      patch: (header) => {
        header.set([0x00, 0x02, 0x3d, 0, 0, fields.isid ?? 1], 8);
        setUint16(header, 14, this.tsih);
        setUint16(header, 20, fields.cid ?? 0);
      },
    });
  }

  async login(items: readonly string[] = [], fields: { isid?: number } = {}): Promise<PduView> {
    this.sendLogin(
      [`InitiatorName=${INITIATOR_NAME}`, `TargetName=${TARGET_NAME}`, ...items],
      fields,
    );
    const response = await this.expect(Opcode.loginResponse);
    this.tsih = response.uint16(14);
    return response;
  }

  sendCommand(fields: CommandFields): number {
    const { cdb, read = 0, write = 0, immediate = false } = fields;
    let flags = fields.flags ?? FINAL_BIT;
    if (read > 0) flags |= READ_BIT;
    if (write > 0) flags |= WRITE_BIT;
    const cmdSn = fields.cmdSn ?? (immediate ? this.cmdSn : this.cmdSn++);
    return this.send({
      opcode: Opcode.scsiCommand,
      flags,
      immediate,
      words: [write > 0 ? write : read, cmdSn, 0],
      patch: (header) => header.set(cdb, 32),
      ...(fields.tag === undefined ? {} : { tag: fields.tag }),
      ...(fields.data === undefined ? {} : { data: fields.data }),
      ...(fields.lun === undefined ? {} : { lun: fields.lun }),
    });
  }

  sendDataOut(fields: {
    tag: number;
    transferTag?: number;
    dataSn: number;
    offset: number;
    data: Uint8Array;
    final: boolean;
  }): void {
    const { tag, transferTag = RESERVED_TAG, dataSn, offset, data, final } = fields;
    const flags = final ? FINAL_BIT : 0;
    const words = [transferTag, 0, 0, 0, dataSn, offset];
    this.send({ opcode: Opcode.dataOut, flags, tag, words, data });
  }

  /** The target has seen everything that was sent until now. */
  async ping(): Promise<void> {
    this.send({ opcode: Opcode.nopOut, immediate: true, words: [RESERVED_TAG, this.cmdSn] });
    await this.expect(Opcode.nopIn);
  }

  /** Runs a command without Data-Out PDUs; gives the data and the PDU with the status. */
  async command(fields: CommandFields): Promise<{ data: Buffer; last: PduView }> {
    this.sendCommand(fields);
    return this.outcome();
  }

  async outcome(): Promise<{ data: Buffer; last: PduView }> {
    const data: Uint8Array[] = [];
    for (;;) {
      const pdu = await this.next();
      if (pdu === null) throw new Error('the target closed the connection');
      if (pdu.opcode === Opcode.dataIn) {
        data.push(pdu.data);
        if ((pdu.flags & 1) === 0) continue;
      } else if (pdu.opcode !== Opcode.scsiResponse) {
        throw new Error(`opcode ${pdu.opcode} instead of a SCSI Response`);
      }
      return { data: Buffer.concat(data), last: pdu };
    }
  }

  static pairs(pdu: PduView): string[] {
    return parseText(pdu.data).map(({ key, value }) => `${key}=${value}`);
  }
}

/** READ (10) and WRITE (10). */
export const read10 = (lba: number, blocks: number): number[] => cdb10(0x28, lba, blocks);
export const write10 = (lba: number, blocks: number): number[] => cdb10(0x2a, lba, blocks);

const cdb10 = (opcode: number, lba: number, blocks: number): number[] => [
  opcode,
  0,
  lba >>> 24,
  (lba >>> 16) & 0xff,
  (lba >>> 8) & 0xff,
  lba & 0xff,
  0,
  blocks >>> 8,
  blocks & 0xff,
  0,
];
