import {
  bytesToUuid,
  computeSegmentChecksums,
  encodeMessage,
  epoch,
  FrameEncoder,
  frameFields,
  HEADER_BYTES,
  segmentTableBytes,
  session,
  uuidToBytes,
  type FrameKind,
} from '@openebs/replica/protocol';
import { crc32 } from 'node:zlib';
import type { Random } from '../support/random.ts';
import { garbage, mutate } from './mutation.ts';

/**
 * Frames of the replication protocol, right ones and mutated ones. Offsets as docs/protocol.md has
 * them.
 */
const AT_KIND = 5;
const AT_EPOCH = 24;
const AT_TABLE_CHECKSUM = 72;
const AT_HEADER_CHECKSUM = 76;
const AT_TABLE_BYTES = 64;
const PROMISE = 2;
const PING = 38;
/**
 * As many of the frames that are sent have sums that fit, so that what was changed is looked at.
 */
const REPAIRED = 0.6;

export interface FrameSourceOptions {
  readonly volumeId: string;
  readonly random: Random;
  /** Whether a frame may be a promise, with which anyone who knows the volume takes it over. */
  readonly promises: boolean;
}

export class HostileFrames {
  readonly #options: FrameSourceOptions;
  #seq = 0;

  constructor(options: FrameSourceOptions) {
    this.#options = options;
  }

  /** The same volume mostly; else one that differs in a bit. */
  encoder(claim: { epoch: number; session: number }): FrameEncoder {
    const { volumeId, random } = this.#options;
    const bytes = Buffer.from(uuidToBytes(volumeId));
    if (random.chance(0.05)) bytes[random.below(16)]! ^= 1 << random.below(8);
    const encoder = new FrameEncoder(bytesToUuid(bytes));
    encoder.setSession(epoch(claim.epoch), session(claim.session));
    return encoder;
  }

  hello(encoder: FrameEncoder): Buffer {
    const { volumeId } = this.#options;
    return encodeMessage(encoder, {
      kind: 'hello',
      protocolVersions: [1],
      volumeId,
      targetName: 'hostile',
    });
  }

  promise(encoder: FrameEncoder): Buffer {
    return encoder.frame(frameFields('promise'));
  }

  /** Writes are numbered on from here. */
  continueAfter(seq: number): void {
    this.#seq = seq;
  }

  /** One frame as a target would send it. */
  right(encoder: FrameEncoder): Buffer {
    const { random, volumeId } = this.#options;
    const offsetBytes = random.below(1024) * 512;
    const lengthBytes = random.between(1, 16) * 512;
    const bare = (kind: FrameKind): Buffer =>
      encoder.frame({
        ...frameFields(kind),
        seq: kind === 'unmap' || kind === 'stamp' ? ++this.#seq : 0,
        offsetBytes: kind === 'extent-checksums' ? 0 : offsetBytes,
        lengthBytes: kind === 'extent-checksums' ? 2 ** 20 : lengthBytes,
        requestId: random.below(100),
      });
    switch (random.below(14)) {
      case 0:
      case 1:
      case 2:
        return this.#write(encoder, offsetBytes, garbage(random, lengthBytes));
      case 3:
        return bare('unmap');
      case 4:
        return bare('stamp');
      case 5:
      case 6:
        return bare('read');
      case 7:
        return bare('flush');
      case 8:
        return bare(random.pick(['allocation', 'extent-checksums', 'extent-versions'] as const));
      case 9:
        return bare(random.pick(['status-get', 'ping'] as const));
      case 10:
        return encodeMessage(encoder, { kind: 'document-get', name: 'settings' }, 7);
      case 11:
        return encodeMessage(
          encoder,
          { kind: 'document-put', name: 'settings', content: garbage(random, 100) },
          8,
        );
      case 12:
        return encodeMessage(
          encoder,
          {
            kind: 'record',
            record: {
              volumeId,
              epoch: epoch(random.below(1000)),
              configSeq: random.below(1000),
              inSync: [volumeId],
              voters: [volumeId],
            },
          },
          9,
        );
      default:
        return this.#options.promises && random.chance(0.5) ? bare('promise') : this.hello(encoder);
    }
  }

  hostile(encoder: FrameEncoder): Buffer {
    const { random } = this.#options;
    if (random.chance(0.03)) return garbage(random, random.between(1, 300));
    const right = this.right(encoder);
    const frame = random.chance(0.15) ? Buffer.from(right) : mutate(right, HEADER_BYTES, random);
    if (random.chance(REPAIRED)) repairSums(frame);
    if (frame[AT_KIND] === PROMISE && frame.length >= HEADER_BYTES) {
      // Nor may a promise be so high that nobody gets in after it.
      if (this.#options.promises) right.copy(frame, AT_EPOCH, AT_EPOCH, AT_EPOCH + 8);
      else frame[AT_KIND] = PING;
      repairSums(frame);
    }
    return frame;
  }

  #write(encoder: FrameEncoder, offsetBytes: number, data: Buffer): Buffer {
    const tableBytes = segmentTableBytes(offsetBytes, data.length);
    const frame = Buffer.alloc(HEADER_BYTES + tableBytes + data.length);
    computeSegmentChecksums(offsetBytes, [data], frame, HEADER_BYTES);
    data.copy(frame, HEADER_BYTES + tableBytes);
    encoder.header(frame, 0, {
      ...frameFields('write'),
      seq: ++this.#seq,
      offsetBytes,
      lengthBytes: data.length,
      tableBytes,
      payloadBytes: data.length,
    });
    return frame;
  }
}

/** Makes the sums of table and header fit what they now hold. */
function repairSums(frame: Buffer): void {
  if (frame.length < HEADER_BYTES) return;
  const tableBytes = frame.readUInt32LE(AT_TABLE_BYTES);
  if (tableBytes > 0 && HEADER_BYTES + tableBytes <= frame.length) {
    const table = frame.subarray(HEADER_BYTES, HEADER_BYTES + tableBytes);
    frame.writeUInt32LE(crc32(table), AT_TABLE_CHECKSUM);
  }
  frame.writeUInt32LE(crc32(frame.subarray(0, AT_HEADER_CHECKSUM)), AT_HEADER_CHECKSUM);
}
