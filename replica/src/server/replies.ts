import type { Epoch, FrameKind, Message, Seq, Session } from '../protocol/index.ts';
import { encodeMessage, FrameEncoder, frameFields, HEADER_BYTES } from '../protocol/index.ts';
import type { Connection } from '../runtime/index.ts';
import { Outbox } from './outbox.ts';

/** What a replica says: frames of one connection into its outbox. */
export class Replies {
  readonly outbox: Outbox;
  readonly encoder: FrameEncoder;
  readonly #ack = frameFields('ack');
  readonly #done = frameFields('done');

  constructor(socket: Connection, volumeId: string, drained: () => void) {
    this.outbox = new Outbox(socket, drained);
    this.encoder = new FrameEncoder(volumeId);
  }

  setSession(epoch: Epoch, session: Session): void {
    this.encoder.setSession(epoch, session);
  }

  ack(seq: Seq): void {
    this.#ack.seq = seq;
    this.#put(this.#ack);
  }

  done(requestId: number): void {
    this.#done.requestId = requestId;
    this.#put(this.#done);
  }

  /** Kinds without a body. */
  plain(kind: FrameKind, requestId = 0): void {
    const fields = frameFields(kind);
    fields.requestId = requestId;
    this.#put(fields);
  }

  message(message: Message, requestId = 0): void {
    this.outbox.append(encodeMessage(this.encoder, message, requestId));
  }

  /** Kinds with a `bytes` body: the range that was asked for goes back with it. */
  bytes(
    kind: FrameKind,
    range: {
      readonly requestId: number;
      readonly offsetBytes: number;
      readonly lengthBytes: number;
    },
    payload: Uint8Array,
  ): void {
    this.outbox.append(this.encoder.frame({ ...frameFields(kind), ...range }, payload));
  }

  failedRequest(
    requestId: number,
    error: {
      readonly code: string;
      readonly message: string;
      readonly offsetBytes?: number | null;
    },
  ): void {
    const { code, message, offsetBytes = null } = error;
    this.message({ kind: 'failed-request', code, message, offsetBytes }, requestId);
  }

  #put(fields: ReturnType<typeof frameFields>): void {
    const at = this.outbox.reserve(HEADER_BYTES);
    this.encoder.header(this.outbox.slab.buffer, at, fields);
  }
}
