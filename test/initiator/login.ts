import { createHash, randomBytes } from 'node:crypto';
import type { Digests, Pdu } from './pdu.ts';
import { At, flagsOf, newHeader, Opcode, opcodeOf, ProtocolViolation } from './pdu.ts';
import { decodeBinary, decodeText, encodeBinary, encodeText } from './text.ts';

export interface Credentials {
  readonly user: string;
  readonly secret: string;
}

export interface LoginOptions {
  readonly initiatorName: string;
  /** Absent: a discovery session. */
  readonly targetName?: string;
  /** Six bytes; a second login with the same ones reinstates the session. RFC 7143 6.3.5 */
  readonly isid: Buffer;
  readonly chap?: Credentials;
  /** What the target must prove. */
  readonly mutualChap?: Credentials;
  /** By preference. RFC 7143 12.1.4: 5 MD5, 6 SHA-1, 7 SHA-256, 8 SHA3-256. */
  readonly chapAlgorithms?: readonly number[];
  readonly headerDigest?: boolean;
  readonly dataDigest?: boolean;
  readonly immediateData?: boolean;
  readonly initialR2t?: boolean;
  readonly maxReceiveBytes?: number;
  readonly maxBurstBytes?: number;
  readonly firstBurstBytes?: number;
  readonly maxOutstandingR2t?: number;
}

/** What holds in the full feature phase. */
export interface Negotiated {
  readonly digests: Digests;
  readonly immediateData: boolean;
  readonly initialR2t: boolean;
  readonly maxBurstBytes: number;
  readonly firstBurstBytes: number;
  /** What we may send in one PDU. */
  readonly maxSendBytes: number;
  readonly maxReceiveBytes: number;
  readonly tsih: number;
  readonly expStatSn: number;
  readonly cmdSn: number;
  readonly maxCmdSn: number;
  /** Every key that the target sent, for tests that look at one. */
  readonly answers: ReadonlyMap<string, string>;
}

/** The target refused the login. RFC 7143 11.13.5 */
export class LoginRefused extends Error {
  override readonly name = 'LoginRefused';
  readonly statusClass: number;
  readonly statusDetail: number;
  readonly answers: ReadonlyMap<string, string>;
  constructor(statusClass: number, statusDetail: number, answers: ReadonlyMap<string, string>) {
    super(`login refused with status ${statusClass.toString(16)}${statusDetail.toString(16)}h`);
    this.statusClass = statusClass;
    this.statusDetail = statusDetail;
    this.answers = answers;
  }
}

/** The largest data segment that is declared by default. */
export const DEFAULT_RECEIVE_BYTES = 256 * 1024;

const SECURITY = 0;
const OPERATIONAL = 1;
const FULL_FEATURE = 3;
const ALGORITHMS: Readonly<Record<number, string>> = {
  5: 'md5',
  6: 'sha1',
  7: 'sha256',
  8: 'sha3-256',
};
const FIRST_CMD_SN = 1;

export type LoginStep =
  | { readonly kind: 'send'; readonly header: Buffer; readonly data: Buffer }
  | { readonly kind: 'done'; readonly negotiated: Negotiated };

/**
 * The initiator's side of login: `start` gives the first request, `step` answers each response.
 *
 *   security --(AuthMethod=None, or CHAP proved)--> operational --(keys answered)--> full feature
 */
export class Login {
  readonly #options: LoginOptions;
  readonly #answers = new Map<string, string>();
  readonly #challenge = randomBytes(16);
  readonly #identifier = randomBytes(1)[0]!;
  #stage: number = SECURITY;
  #proved = false;
  #tsih = 0;
  #expStatSn = 0;
  #operationalSent = false;

  constructor(options: LoginOptions) {
    this.#options = options;
  }

  start(): LoginStep {
    const { initiatorName, targetName, chap } = this.#options;
    const pairs: [string, string][] = [['InitiatorName', initiatorName]];
    if (targetName === undefined) pairs.push(['SessionType', 'Discovery']);
    else pairs.push(['SessionType', 'Normal'], ['TargetName', targetName]);
    pairs.push(['AuthMethod', chap === undefined ? 'None' : 'CHAP']);
    // RFC 7143 11.12.3: transit is asked for where nothing is left to say in this stage.
    return this.#request(pairs, chap === undefined ? OPERATIONAL : null);
  }

  step(pdu: Pdu): LoginStep {
    if (opcodeOf(pdu) !== Opcode.loginResponse) {
      throw new ProtocolViolation(`opcode ${opcodeOf(pdu)} during login`);
    }
    for (const [key, value] of decodeText(pdu.data)) this.#answers.set(key, value);
    const statusClass = pdu.header.readUInt8(36);
    if (statusClass !== 0) {
      throw new LoginRefused(statusClass, pdu.header.readUInt8(37), this.#answers);
    }
    this.#expStatSn = (pdu.header.readUInt32BE(At.statSn) + 1) >>> 0;
    this.#tsih = pdu.header.readUInt16BE(14);
    const flags = flagsOf(pdu);
    if (((flags >> 2) & 3) !== this.#stage) throw new ProtocolViolation('login in another stage');
    if ((flags & 0x80) !== 0) return this.#transit(pdu, flags & 3);
    if ((flags & 0x40) !== 0) return this.#request([], null); // RFC 7143 11.13.2: more text follows
    return this.#stage === SECURITY ? this.#authenticate() : this.#negotiate();
  }

  #transit(pdu: Pdu, next: number): LoginStep {
    if (next === FULL_FEATURE) return { kind: 'done', negotiated: this.#result(pdu) };
    if (this.#options.chap !== undefined) this.#checkProof();
    this.#stage = next;
    return this.#negotiate();
  }

  #negotiate(): LoginStep {
    if (this.#operationalSent) return this.#request([], FULL_FEATURE);
    this.#operationalSent = true;
    const o = this.#options;
    const yes = (value: boolean | undefined): string => (value === true ? 'Yes' : 'No');
    const pairs: [string, string][] = [
      ['HeaderDigest', o.headerDigest === true ? 'CRC32C' : 'None'],
      ['DataDigest', o.dataDigest === true ? 'CRC32C' : 'None'],
      ['MaxRecvDataSegmentLength', String(o.maxReceiveBytes ?? DEFAULT_RECEIVE_BYTES)],
      ['DefaultTime2Wait', '0'],
      ['DefaultTime2Retain', '0'],
      ['ErrorRecoveryLevel', '0'],
    ];
    if (o.targetName !== undefined) {
      pairs.push(
        ['ImmediateData', yes(o.immediateData ?? true)],
        ['InitialR2T', yes(o.initialR2t ?? false)],
        ['MaxBurstLength', String(o.maxBurstBytes ?? 1048576)],
        ['FirstBurstLength', String(o.firstBurstBytes ?? 65536)],
        ['MaxOutstandingR2T', String(o.maxOutstandingR2t ?? 4)],
        ['MaxConnections', '1'],
        ['DataPDUInOrder', 'Yes'],
        ['DataSequenceInOrder', 'Yes'],
      );
    }
    return this.#request(pairs, FULL_FEATURE);
  }

  /** RFC 7143 12.1.3 */
  #authenticate(): LoginStep {
    const { chap, mutualChap, chapAlgorithms } = this.#options;
    if (chap === undefined) return this.#request([], OPERATIONAL);
    const algorithm = this.#answers.get('CHAP_A');
    if (algorithm === undefined) {
      return this.#request([['CHAP_A', (chapAlgorithms ?? [8, 7, 6, 5]).join(',')]], null);
    }
    if (this.#proved) return this.#request([], OPERATIONAL);
    const identifier = Number(this.#answers.get('CHAP_I'));
    const challenge = decodeBinary(this.#answers.get('CHAP_C') ?? '');
    const pairs: [string, string][] = [
      ['CHAP_N', chap.user],
      ['CHAP_R', encodeBinary(chapResponse(Number(algorithm), identifier, chap.secret, challenge))],
    ];
    if (mutualChap !== undefined) {
      pairs.push(['CHAP_I', String(this.#identifier)], ['CHAP_C', encodeBinary(this.#challenge)]);
    }
    this.#proved = true;
    return this.#request(pairs, OPERATIONAL);
  }

  #checkProof(): void {
    const { mutualChap } = this.#options;
    if (!this.#proved) throw new ProtocolViolation('the target did not ask for a proof');
    if (mutualChap === undefined) return;
    const algorithm = Number(this.#answers.get('CHAP_A'));
    const expected = chapResponse(algorithm, this.#identifier, mutualChap.secret, this.#challenge);
    const given = decodeBinary(this.#answers.get('CHAP_R') ?? '');
    if (this.#answers.get('CHAP_N') !== mutualChap.user || !expected.equals(given)) {
      throw new ProtocolViolation('the target did not prove itself');
    }
  }

  /** RFC 7143 11.12 */
  #request(pairs: readonly (readonly [string, string])[], next: number | null): LoginStep {
    const flags = (this.#stage << 2) | (next === null ? 0 : 0x80 | next);
    const header = newHeader(0x40 | Opcode.login, flags);
    this.#options.isid.copy(header, 8);
    header.writeUInt16BE(this.#tsih, 14);
    header.writeUInt32BE(1, At.taskTag);
    header.writeUInt32BE(FIRST_CMD_SN, At.cmdSn);
    header.writeUInt32BE(this.#expStatSn, At.expStatSn);
    return { kind: 'send', header, data: encodeText(pairs) };
  }

  #result(pdu: Pdu): Negotiated {
    const number = (key: string, otherwise: number): number =>
      Number(this.#answers.get(key) ?? otherwise);
    return {
      digests: {
        header: this.#answers.get('HeaderDigest') === 'CRC32C',
        data: this.#answers.get('DataDigest') === 'CRC32C',
      },
      immediateData: this.#answers.get('ImmediateData') !== 'No',
      initialR2t: this.#answers.get('InitialR2T') !== 'No',
      maxBurstBytes: number('MaxBurstLength', 262144),
      firstBurstBytes: number('FirstBurstLength', 65536),
      maxSendBytes: number('MaxRecvDataSegmentLength', 8192),
      maxReceiveBytes: this.#options.maxReceiveBytes ?? DEFAULT_RECEIVE_BYTES,
      tsih: this.#tsih,
      expStatSn: this.#expStatSn,
      cmdSn: FIRST_CMD_SN,
      maxCmdSn: pdu.header.readUInt32BE(At.maxCmdSn),
      answers: this.#answers,
    };
  }
}

/** RFC 1994 4.1: hash(identifier, secret, challenge). */
export function chapResponse(
  algorithm: number,
  identifier: number,
  secret: string,
  challenge: Buffer,
): Buffer {
  const name = ALGORITHMS[algorithm];
  if (name === undefined) throw new ProtocolViolation(`CHAP algorithm ${algorithm}`);
  return createHash(name)
    .update(Buffer.from([identifier]))
    .update(secret, 'utf8')
    .update(challenge)
    .digest();
}
