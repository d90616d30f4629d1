import type { FrameKind } from './kinds.ts';
import type { Epoch, Seq, Session } from './types.ts';
import { epoch, seq, session } from './types.ts';
import { bytesToUuid, uuidToBytes } from './uuid.ts';

const NOTHING = Buffer.alloc(0);

/** A volume id as four words, so that each frame's can be compared without making a string. */
export class VolumeKey {
  readonly uuid: string;
  readonly bytes: Buffer;
  readonly word0: number;
  readonly word1: number;
  readonly word2: number;
  readonly word3: number;

  constructor(uuid: string) {
    this.uuid = uuid;
    this.bytes = uuidToBytes(uuid);
    this.word0 = this.bytes.readUInt32LE(0);
    this.word1 = this.bytes.readUInt32LE(4);
    this.word2 = this.bytes.readUInt32LE(8);
    this.word3 = this.bytes.readUInt32LE(12);
  }
}

/**
 * One decoded frame. A decoder has one such object and fills it anew for each frame; `table`,
 * `payload` and `chunks` point into the receive buffer. Everything here is therefore valid until
 * the handler returns, and copied by whoever needs it longer.
 */
export class Frame {
  kind: FrameKind = 'ping';
  word0 = 0;
  word1 = 0;
  word2 = 0;
  word3 = 0;
  epoch: Epoch = epoch(0);
  session: Session = session(0);
  seq: Seq = seq(0);
  offsetBytes = 0;
  lengthBytes = 0;
  requestId = 0;
  table: Uint8Array = NOTHING;
  payload: Buffer = NOTHING;
  /** The payload as the list that stores and checksums take: always this one slice. */
  readonly chunks: [Uint8Array] = [NOTHING];

  isOf(volume: VolumeKey): boolean {
    return (
      this.word0 === volume.word0 &&
      this.word1 === volume.word1 &&
      this.word2 === volume.word2 &&
      this.word3 === volume.word3
    );
  }

  get volumeId(): string {
    const bytes = Buffer.alloc(16);
    bytes.writeUInt32LE(this.word0, 0);
    bytes.writeUInt32LE(this.word1, 4);
    bytes.writeUInt32LE(this.word2, 8);
    bytes.writeUInt32LE(this.word3, 12);
    return bytesToUuid(bytes);
  }
}
