/**
 * A raw client of the replication protocol: what a target says to a replica, one frame at a time.
 */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import type { Frame, FrameFields, FrameKind, Message } from '@openebs/replica/protocol';
import {
  computeSegmentChecksums,
  decodeMessage,
  encodeMessage,
  epoch as toEpoch,
  FrameDecoder,
  FrameEncoder,
  frameFields,
  HEADER_BYTES,
  isMessage,
  segmentTableBytes,
  session as toSession,
  verifySegments,
} from '@openebs/replica/protocol';
import { parseAddress, Receiver } from '@openebs/replica/runtime';

/** A frame that arrived, copied out of the receive buffer. */
export interface Received {
  readonly kind: FrameKind;
  readonly epoch: number;
  readonly session: number;
  readonly seq: number;
  readonly requestId: number;
  readonly payload: Buffer;
  readonly message: Message | null;
  /** Of data: whether the payload agrees with its checksum table. */
  readonly verified: boolean;
}

interface Waiter {
  readonly matches: (frame: Received) => boolean;
  readonly resolve: (frame: Received) => void;
  readonly reject: (error: Error) => void;
}

export class ReplicaClient {
  readonly volumeId: string;
  readonly encoder: FrameEncoder;
  readonly socket: Socket;
  /** Frames that nobody has waited for yet. */
  readonly received: Received[] = [];
  readonly closed: Promise<void>;
  #waiters: Waiter[] = [];
  #nextRequestId = 1;
  #isClosed = false;

  private constructor(socket: Socket, volumeId: string) {
    this.socket = socket;
    this.volumeId = volumeId;
    this.encoder = new FrameEncoder(volumeId);
    const receiver: Receiver = new Receiver((buffer, start, end) =>
      decoder.consume(buffer, start, end, receiver),
    );
    const decoder = new FrameDecoder((frame) => this.#arrived(copyFrame(frame)));
    socket.on('data', (chunk) => receiver.feed(chunk as Buffer));
    socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#isClosed = true;
        for (const waiter of this.#waiters) waiter.reject(new Error('the replica closed'));
        this.#waiters = [];
        resolve();
      });
    });
  }

  static async connect(address: string, volumeId: string): Promise<ReplicaClient> {
    const parsed = parseAddress(address);
    const socket =
      parsed.kind === 'unix'
        ? connect({ path: parsed.path })
        : connect({ host: parsed.host, port: parsed.port });
    await once(socket, 'connect');
    return new ReplicaClient(socket, volumeId);
  }

  /** Connected, greeted and promised: ready for writes and reads. */
  static async serve(
    address: string,
    volumeId: string,
    { epoch, session }: { readonly epoch: number; readonly session: number },
  ): Promise<ReplicaClient> {
    const client = await ReplicaClient.connect(address, volumeId);
    await client.hello();
    await client.promise({ epoch, session });
    return client;
  }

  /** The next frame that matches, or one that came already. */
  next(matches: FrameKind | ((frame: Received) => boolean)): Promise<Received> {
    const test =
      typeof matches === 'function' ? matches : (frame: Received) => frame.kind === matches;
    const index = this.received.findIndex(test);
    if (index >= 0) return Promise.resolve(this.received.splice(index, 1)[0]!);
    if (this.#isClosed) return Promise.reject(new Error('the replica closed'));
    return new Promise((resolve, reject) => {
      this.#waiters.push({ matches: test, resolve, reject });
    });
  }

  async hello(volumeId = this.volumeId): Promise<Message> {
    this.message({ kind: 'hello', protocolVersions: [1], volumeId, targetName: 'test' });
    const answer = await this.next(({ kind }) => kind === 'welcome' || kind === 'refused');
    return answer.message!;
  }

  /** Sends the promise and waits for the answer, `promised` or another. */
  async promise(claim: { readonly epoch: number; readonly session: number }): Promise<Received> {
    this.setSession(claim);
    this.frame({ kind: 'promise' });
    return this.next(({ kind }) => ['promised', 'fenced', 'failed', 'refused'].includes(kind));
  }

  setSession({ epoch, session }: { readonly epoch: number; readonly session: number }): void {
    this.encoder.setSession(toEpoch(epoch), toSession(session));
  }

  message(message: Message, requestId = 0): void {
    this.socket.write(encodeMessage(this.encoder, message, requestId));
  }

  frame(fields: Partial<FrameFields> & { readonly kind: FrameKind }): void {
    const buffer = Buffer.alloc(HEADER_BYTES);
    this.encoder.header(buffer, 0, { ...frameFields(fields.kind), ...fields });
    this.socket.write(buffer);
  }

  write(seq: number, offsetBytes: number, data: Uint8Array): void {
    this.socket.write(this.writeFrame(seq, offsetBytes, data));
  }

  writeFrame(seq: number, offsetBytes: number, data: Uint8Array): Buffer {
    const tableBytes = segmentTableBytes(offsetBytes, data.length);
    const buffer = Buffer.alloc(HEADER_BYTES + tableBytes + data.length);
    computeSegmentChecksums(offsetBytes, [data], buffer, HEADER_BYTES);
    buffer.set(data, HEADER_BYTES + tableBytes);
    const fields = { ...frameFields('write'), seq, offsetBytes, lengthBytes: data.length };
    this.encoder.header(buffer, 0, { ...fields, tableBytes, payloadBytes: data.length });
    return buffer;
  }

  /** Waits for an acknowledgement of this sequence number or a later one. */
  acked(seq: number): Promise<Received> {
    return this.next((frame) => frame.kind === 'ack' && frame.seq >= seq);
  }

  /** Sends a request and waits for its answer. */
  request(fields: Partial<FrameFields> & { readonly kind: FrameKind }): Promise<Received> {
    const requestId = this.#nextRequestId++;
    this.frame({ ...fields, requestId });
    return this.next((frame) => frame.requestId === requestId);
  }

  requestMessage(message: Message): Promise<Received> {
    const requestId = this.#nextRequestId++;
    this.message(message, requestId);
    return this.next((frame) => frame.requestId === requestId);
  }

  async read(offsetBytes: number, lengthBytes: number): Promise<Received> {
    return this.request({ kind: 'read', offsetBytes, lengthBytes });
  }

  end(): void {
    this.socket.destroy();
  }

  #arrived(frame: Received): void {
    const index = this.#waiters.findIndex((waiter) => waiter.matches(frame));
    if (index >= 0) this.#waiters.splice(index, 1)[0]!.resolve(frame);
    else this.received.push(frame);
  }
}

const copyFrame = (frame: Frame): Received => ({
  kind: frame.kind,
  epoch: frame.epoch,
  session: frame.session,
  seq: frame.seq,
  requestId: frame.requestId,
  payload: Buffer.from(frame.payload),
  message: isMessage(frame.kind) ? decodeMessage(frame) : null,
  verified:
    frame.kind === 'data' && verifySegments(frame.offsetBytes, frame.chunks, frame.table) === -1,
});
