import type { Negotiated } from '../initiator/login.ts';
import { At, BHS_BYTES, encodePdu, newHeader, NO_DIGESTS, Opcode } from '../initiator/pdu.ts';
import { RESERVED_TAG } from '../initiator/pdu.ts';
import { encodeText } from '../initiator/text.ts';
import {
  inquiry,
  read16,
  readCapacity16,
  synchronizeCache16,
  testUnitReady,
  unmap,
  unmapParameters,
  write16,
} from '../initiator/cdb.ts';
import type { Random } from '../support/random.ts';
import { garbage, mutate } from './mutation.ts';

/** iSCSI PDUs, right ones and mutated ones. RFC 7143 11. */

/**
 * Commands and functions that rightfully change what other initiators see: MODE SELECT, RESERVE and
 * RELEASE, START STOP UNIT, FORMAT UNIT, SANITIZE, persistent reservations. Beside a witness they
 * are left out.
 */
const FAR_REACHING = new Set([0x04, 0x15, 0x16, 0x17, 0x1b, 0x48, 0x55, 0x56, 0x57, 0x5f]);
/**
 * RFC 7143 11.5.1: all but ABORT TASK, ABORT TASK SET and TASK REASSIGN end or disturb others'
 * tasks.
 */
const HARMLESS_FUNCTIONS = new Set([1, 2, 8]);
/** The attack works on the first blocks; what it does there is its own business. */
const LBA_LIMIT = 1 << 16;

interface Shape {
  readonly cdb: Buffer;
  readonly out?: Buffer;
  readonly inBytes?: number;
}

const cdbOf = (bytes: readonly number[]): Buffer => {
  const cdb = Buffer.alloc(16);
  cdb.set(bytes);
  return cdb;
};

export class HostilePdus {
  readonly #random: Random;
  readonly #witness: boolean;
  #cmdSn = 1;
  #tag = 1;

  /** `witness`: somebody else uses the unit meanwhile and shall not notice. */
  constructor({ random, witness }: { random: Random; witness: boolean }) {
    this.#random = random;
    this.#witness = witness;
  }

  /** The messages of one connection that has logged in. */
  session(negotiated: Negotiated): Buffer[] {
    this.#cmdSn = negotiated.cmdSn;
    this.#tag = 1;
    const messages = Array.from({ length: this.#random.between(1, 12) }, () =>
      this.#hostile(this.#right()),
    );
    return this.#witness ? restrain(messages) : messages;
  }

  /** The messages of one connection that has not. */
  stranger(target: string): Buffer[] {
    const random = this.#random;
    switch (random.below(8)) {
      case 0:
        return [garbage(random, random.between(1, 600))];
      case 1:
        return [Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')];
      case 2:
        this.#cmdSn = 1;
        return [this.#hostile(this.#right())];
      default:
        return Array.from({ length: random.between(1, 4) }, () =>
          this.#hostile(this.#login(target)),
        );
    }
  }

  #login(target: string): Buffer {
    const random = this.#random;
    const header = newHeader(
      0x40 | Opcode.login,
      random.pick([0x87, 0x81, 0x00, 0x04, 0x83, 0x40, 0x44]),
    );
    garbage(random, 6).copy(header, At.lun);
    header.writeUInt32BE(1, At.taskTag);
    const pairs: [string, string][] = [
      ['InitiatorName', 'iqn.2016-09.com.openebs:hostile'],
      ['TargetName', target],
      ['SessionType', random.pick(['Normal', 'Discovery', 'Odd'])],
      ['AuthMethod', random.pick(['None', 'CHAP', 'CHAP,None', 'KRB5'])],
      ['MaxRecvDataSegmentLength', random.pick(['512', '0', '16777215', '16777216', '-1', 'x'])],
      ['MaxBurstLength', random.pick(['1', '262144', '99999999999'])],
      ['HeaderDigest', random.pick(['None', 'CRC32C', 'CRC32C,None', 'SHA'])],
      ['X-org.example.key', 'y'.repeat(random.pick([0, 1, 255, 8000]))],
    ];
    const some = pairs.filter(() => random.chance(0.7));
    return this.#pdu(header, encodeText(some));
  }

  #right(): Buffer {
    const random = this.#random;
    switch (random.below(20)) {
      case 0:
        return this.#ping();
      case 1:
        return this.#management();
      case 2:
        return this.#request(Opcode.text, encodeText([['SendTargets', 'All']]));
      case 3:
        return random.chance(0.2) ? this.#request(Opcode.logout, Buffer.alloc(0)) : this.#ping();
      case 4:
        return this.#request(Opcode.snack, Buffer.alloc(0));
      case 5:
      case 6:
        return this.#dataOut();
      default:
        return this.#command(this.#shape());
    }
  }

  #shape(): Shape {
    const random = this.#random;
    const lba = random.below(LBA_LIMIT);
    const blocks = random.between(1, 16);
    const out = Buffer.alloc(blocks * 512, 0x5a);
    switch (random.below(18)) {
      case 0:
        return { cdb: testUnitReady() };
      case 1:
        return {
          cdb: inquiry(255, random.pick([0x00, 0x80, 0x83, 0x86, 0xb0, 0xb1, 0xb2])),
          inBytes: 255,
        };
      case 2:
        return { cdb: readCapacity16(), inBytes: 32 };
      case 3:
      case 4:
      case 5:
        return { cdb: read16(lba, blocks), inBytes: blocks * 512 };
      case 6:
      case 7:
      case 8:
        return { cdb: write16(lba, blocks, random.chance(0.1)), out };
      case 9: {
        const list = unmapParameters([{ lba, blocks }]);
        return { cdb: unmap(list.length), out: list };
      }
      case 10:
        return { cdb: synchronizeCache16(lba, blocks) };
      case 11: // WRITE SAME (16), with and without UNMAP
        return {
          cdb: cdbOf([
            0x93,
            random.pick([0, 8]),
            0,
            0,
            0,
            0,
            0,
            0,
            lba >> 8,
            lba & 255,
            0,
            0,
            0,
            blocks,
          ]),
          out: Buffer.alloc(512),
        };
      case 12: // COMPARE AND WRITE
        return {
          cdb: cdbOf([0x89, 0, 0, 0, 0, 0, 0, 0, lba >> 8, lba & 255, 0, 0, 0, 1]),
          out: Buffer.alloc(1024),
        };
      case 13: // MODE SENSE (10), all pages
        return { cdb: cdbOf([0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 255]), inBytes: 255 };
      case 14: // REPORT SUPPORTED OPERATION CODES
        return { cdb: cdbOf([0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 16, 0]), inBytes: 4096 };
      case 15: // PERSISTENT RESERVE IN, READ FULL STATUS
        return { cdb: cdbOf([0x5e, 3, 0, 0, 0, 0, 0, 1, 0]), inBytes: 256 };
      case 16: // EXTENDED COPY (LID1) with an empty or a damaged list
        return {
          cdb: cdbOf([0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64]),
          out: Buffer.alloc(64),
        };
      default: // GET LBA STATUS
        return {
          cdb: cdbOf([0x9e, 0x12, 0, 0, 0, 0, 0, 0, lba >> 8, lba & 255, 0, 0, 0, 64]),
          inBytes: 64,
        };
    }
  }

  #command({ cdb, out, inBytes }: Shape): Buffer {
    const random = this.#random;
    const immediate = out !== undefined && random.chance(0.8) ? out : Buffer.alloc(0);
    const more = out !== undefined && immediate.length < out.length && random.chance(0.5);
    const header = newHeader(
      Opcode.scsiCommand | (random.chance(0.05) ? 0x40 : 0),
      (more ? 0 : 0x80) |
        (inBytes === undefined ? 0 : 0x40) |
        (out === undefined ? 0 : 0x20) |
        random.below(5),
    );
    header.writeUInt32BE(this.#tag++, At.taskTag);
    header.writeUInt32BE(out?.length ?? inBytes ?? 0, At.transferTag);
    header.writeUInt32BE(this.#cmdSn, At.cmdSn);
    if ((header.readUInt8(0) & 0x40) === 0) this.#cmdSn++;
    cdb.copy(header, At.cdb);
    return this.#pdu(header, immediate);
  }

  #dataOut(): Buffer {
    const random = this.#random;
    const header = newHeader(Opcode.dataOut, random.pick([0, 0x80]));
    header.writeUInt32BE(random.between(1, this.#tag), At.taskTag);
    header.writeUInt32BE(random.pick([RESERVED_TAG, 0, 1, 2]), At.transferTag);
    header.writeUInt32BE(random.below(3), At.dataSn);
    header.writeUInt32BE(random.below(8) * 512, At.bufferOffset);
    return this.#pdu(header, Buffer.alloc(random.pick([0, 512, 4096, 8192]), 0x5a));
  }

  #ping(): Buffer {
    const header = newHeader(Opcode.nopOut | (this.#random.chance(0.5) ? 0x40 : 0), 0x80);
    header.writeUInt32BE(this.#tag++, At.taskTag);
    header.writeUInt32BE(RESERVED_TAG, At.transferTag);
    header.writeUInt32BE(this.#cmdSn, At.cmdSn);
    if ((header.readUInt8(0) & 0x40) === 0) this.#cmdSn++;
    return this.#pdu(header, Buffer.alloc(this.#random.pick([0, 5, 300]), 0x5a));
  }

  #management(): Buffer {
    const fn = this.#random.pick(
      this.#witness ? [...HARMLESS_FUNCTIONS] : [1, 2, 3, 4, 5, 6, 7, 8],
    );
    const header = newHeader(0x40 | Opcode.taskManagement, 0x80 | fn);
    header.writeUInt32BE(this.#tag++, At.taskTag);
    header.writeUInt32BE(this.#random.below(this.#tag), At.transferTag);
    header.writeUInt32BE(this.#cmdSn, At.cmdSn);
    return this.#pdu(header, Buffer.alloc(0));
  }

  #request(opcode: number, data: Buffer): Buffer {
    const header = newHeader(0x40 | opcode, 0x80);
    header.writeUInt32BE(this.#tag++, At.taskTag);
    header.writeUInt32BE(RESERVED_TAG, At.transferTag);
    header.writeUInt32BE(this.#cmdSn, At.cmdSn);
    return this.#pdu(header, data);
  }

  #pdu(header: Buffer, data: Buffer): Buffer {
    return Buffer.concat(encodePdu(header, data, NO_DIGESTS));
  }

  #hostile(right: Buffer): Buffer {
    const random = this.#random;
    return random.chance(0.2) ? right : mutate(right, BHS_BYTES, random);
  }
}

/**
 * Looks at the stream as the target will, as cuts and insertions make new PDUs out of pieces: one
 * byte of a task management request and the opcode of a Data-Out are a rightful LOGICAL UNIT RESET.
 */
function restrain(messages: readonly Buffer[]): Buffer[] {
  const stream = Buffer.concat(messages);
  for (let at = 0; at + BHS_BYTES <= stream.length;) {
    const pdu = stream.subarray(at, at + BHS_BYTES);
    restrainPdu(pdu);
    const data = pdu.readUIntBE(At.dataLength, 3);
    at += BHS_BYTES + pdu.readUInt8(At.additionalWords) * 4 + Math.ceil(data / 4) * 4;
  }
  let at = 0;
  return messages.map(({ length }) => stream.subarray(at, (at += length)));
}

function restrainPdu(pdu: Buffer): void {
  const opcode = pdu.readUInt8(At.opcode) & 0x3f;
  if (opcode === Opcode.scsiCommand && FAR_REACHING.has(pdu.readUInt8(At.cdb))) {
    pdu.writeUInt8(0, At.cdb);
  }
  if (opcode === Opcode.taskManagement && !HARMLESS_FUNCTIONS.has(pdu.readUInt8(At.flags) & 0x7f)) {
    pdu.writeUInt8(0x81, At.flags);
  }
}
