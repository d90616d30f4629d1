import type {
  Epoch,
  Frame,
  FrameKind,
  LayersChange,
  MembershipRecord,
  Message,
  Session,
} from '@openebs/replica/protocol';
import {
  decodeMessage,
  encodeMessage,
  FrameDecoder,
  FrameEncoder,
  frameFields,
  HEADER_BYTES,
  PROTOCOL_VERSION,
  ProtocolError,
  verifySegments,
} from '@openebs/replica/protocol';
import type { Connection } from '@openebs/replica/runtime';
import { Receiver } from '@openebs/replica/runtime';
import type { Batch } from './batch.ts';
import type { LayerFill } from '@openebs/replica/store';
import type { Answer, ByteRange, Link, LinkEvents, ReadRequest } from './link.ts';
import { RequestTable } from './request-table.ts';
import type { SlabPool } from '@openebs/replica/runtime';
import { SlabWriter, type Piece } from './slab-writer.ts';

/**
 * Made by whoever knows how to connect: net.connect in production, a simulated network in tests.
 */
export type Connect = (receiver: Receiver) => Connection;

/** A replica behind a TCP or unix socket. */
export class SocketLink implements Link {
  readonly wants = 'frames';
  readonly #events: LinkEvents;
  readonly #socket: Connection;
  readonly #receiver: Receiver;
  readonly #decoder: FrameDecoder;
  readonly #encoder: FrameEncoder;
  readonly #fields = frameFields('read');
  readonly #writer: SlabWriter;
  readonly #requests = new RequestTable();
  #closed: { readonly code: string; readonly message: string } | null = null;
  #session: { readonly epoch: Epoch; readonly session: Session } | null = null;

  constructor({
    connect,
    events,
    pool,
    volumeId,
    targetName,
  }: {
    readonly connect: Connect;
    readonly events: LinkEvents;
    readonly pool: SlabPool;
    readonly volumeId: string;
    readonly targetName: string;
  }) {
    this.#events = events;
    this.#writer = new SlabWriter(pool);
    this.#encoder = new FrameEncoder(volumeId);
    this.#decoder = new FrameDecoder((frame) => this.#frame(frame));
    this.#receiver = new Receiver((buffer, start, end) => this.#consume(buffer, start, end), pool);
    this.#socket = connect(this.#receiver);
    this.#receiver.attach(this.#socket);
    this.#socket.setNoDelay(true);
    this.#socket.on('error', (error) => this.#end('CONNECTION', error.message));
    this.#socket.on('close', () => this.#end('CONNECTION', 'the connection was closed'));
    this.#socket.on('end', () => this.#end('CONNECTION', 'the replica closed the connection'));
    this.#send({ kind: 'hello', protocolVersions: [PROTOCOL_VERSION], volumeId, targetName });
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength;
  }

  promise(epoch: Epoch, session: Session): void {
    this.#session = { epoch, session };
    this.#encoder.setSession(epoch, session);
    this.#bare('promise', 0, 0, 0);
    this.endTurn();
  }

  apply(): void {
    throw new TypeError('a socket takes batches');
  }

  send(batch: Batch): void {
    if (this.#closed !== null) return;
    const pieces = batch.pieces();
    // One write is quicker as it is.
    const isOne = pieces.length === 1 && this.#writer.empty;
    if (!isOne) this.#socket.cork();
    this.#write(pieces);
    this.endTurn();
    if (!isOne) this.#socket.uncork();
  }

  endTurn(): void {
    if (this.#writer.empty) return;
    if (this.#closed === null) this.#write(this.#writer.pieces());
    this.#writer.clear();
  }

  #write(pieces: readonly Piece[]): void {
    for (let index = 0; index < pieces.length; index++) {
      const { slab, bytes } = pieces[index] as Piece;
      slab.hold();
      this.#socket.write(bytes, slab.release);
    }
  }

  read(request: ReadRequest): void {
    const id = this.#requests.addRead(request, false);
    this.#bare('read-unchecked', id, request.offsetBytes, request.lengthBytes);
  }

  flush(answer: Answer): void {
    this.#bare('flush', this.#requests.add('done', answer), 0, 0);
  }

  putRecord(record: MembershipRecord, answer: Answer): void {
    this.#send({ kind: 'record', record }, this.#requests.add('done', answer));
  }

  resize(sizeBytes: number, answer: Answer): void {
    this.#send({ kind: 'resize', sizeBytes }, this.#requests.add('done', answer));
  }

  getDocument(name: string, answer: Answer): void {
    this.#send({ kind: 'document-get', name }, this.#requests.add('document', answer));
  }

  putDocument(name: string, content: Uint8Array, answer: Answer): void {
    this.#send({ kind: 'document-put', name, content }, this.#requests.add('done', answer));
  }

  allocation(offsetBytes: number, lengthBytes: number, answer: Answer): void {
    this.#bare('allocation', this.#requests.add('bitmap', answer), offsetBytes, lengthBytes);
  }

  extentChecksums(offsetBytes: number, lengthBytes: number, answer: Answer): void {
    const id = this.#requests.add('checksums', answer);
    this.#bare('extent-checksums', id, offsetBytes, lengthBytes);
  }

  extentVersions(offsetBytes: number, lengthBytes: number, answer: Answer): void {
    this.#bare('extent-versions', this.#requests.add('versions', answer), offsetBytes, lengthBytes);
  }

  scrub(offsetBytes: number, lengthBytes: number, answer: Answer): void {
    // With 1 the answer tells of frozen layers as well.
    this.#bare('scrub', this.#requests.add('bitmap', answer), offsetBytes, lengthBytes, 1);
  }

  ping(answer: Answer): void {
    this.#bare('ping', this.#requests.add('pong', answer), 0, 0);
    this.endTurn();
  }

  refresh(answer: Answer): void {
    this.#bare('status-get', this.#requests.add('status', answer), 0, 0);
  }

  putLayers(change: LayersChange, answer: Answer): void {
    this.#send({ kind: 'layers', ...change }, this.#requests.add('done', answer));
  }

  tickReads(): number {
    return this.#requests.tick();
  }

  readLayer(layer: number, request: ReadRequest): void {
    const id = this.#requests.addRead(request, true);
    this.#bare('read', id, request.offsetBytes, request.lengthBytes, layer);
  }

  layerAllocation(layer: number, range: ByteRange, answer: Answer): void {
    const id = this.#requests.add('bitmap', answer);
    this.#bare('allocation', id, range.offsetBytes, range.lengthBytes, layer);
  }

  layerChecksums(layer: number, range: ByteRange, answer: Answer): void {
    const id = this.#requests.add('checksums', answer);
    this.#bare('extent-checksums', id, range.offsetBytes, range.lengthBytes, layer);
  }

  fillLayer(layer: number, fill: LayerFill, answer: Answer): void {
    const { kind, offsetBytes, lengthBytes } = fill;
    const requestId = this.#requests.add('done', answer);
    if (kind !== 'write') {
      this.#bare(`layer-${kind}`, requestId, offsetBytes, lengthBytes, layer);
      return;
    }
    if (this.#closed !== null) return;
    this.endTurn();
    const fields = {
      ...frameFields('layer-write'),
      seq: layer,
      requestId,
      offsetBytes,
      lengthBytes,
    };
    this.#socket.write(this.#encoder.segments(fields, fill.checksums, fill.chunks));
  }

  close(orderly: boolean): void {
    if (this.#closed !== null) return;
    // The owner has forgotten already what was answered here; so nobody has to wait for it.
    this.#bare('release', 0, 0, 0);
    this.endTurn();
    if (orderly) this.#socket.end();
    this.#end('CLOSED', 'the target closed the connection', orderly);
  }

  #send(message: Message, requestId = 0): void {
    if (this.#closed !== null) return;
    this.endTurn();
    this.#socket.write(encodeMessage(this.#encoder, message, requestId));
  }

  #bare(
    kind: FrameKind,
    requestId: number,
    offsetBytes: number,
    lengthBytes: number,
    layer = 0,
  ): void {
    const fields = this.#fields;
    fields.kind = kind;
    fields.seq = layer;
    fields.requestId = requestId;
    fields.offsetBytes = offsetBytes;
    fields.lengthBytes = lengthBytes;
    const slab = this.#writer.reserve(HEADER_BYTES);
    this.#encoder.header(slab.buffer, this.#writer.position, fields);
    this.#writer.advance(HEADER_BYTES);
  }

  #consume(buffer: Buffer, start: number, end: number): number {
    if (this.#closed !== null) return end;
    try {
      const position = this.#decoder.consume(buffer, start, end, this.#receiver);
      // A handler may have closed the link.
      return this.#isClosed() ? end : position;
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#end(error.code, error.message);
      return end;
    }
  }

  #isClosed(): boolean {
    return this.#closed !== null;
  }

  #frame(frame: Frame): void {
    if (this.#closed !== null) return;
    switch (frame.kind) {
      case 'ack':
        this.#checkSession(frame);
        this.#events.acknowledged(frame.seq);
        return;
      case 'data':
        this.#data(frame);
        return;
      case 'done':
      case 'pong':
        this.#requests.take(frame.requestId, frame.kind)(null, null);
        return;
      case 'bitmap':
      case 'checksums':
      case 'versions':
        this.#requests.take(frame.requestId, frame.kind)(null, Buffer.from(frame.payload));
        return;
      case 'bye':
        this.#end('BYE', 'the replica stopped in good order');
        return;
      case 'promised':
        this.#checkSession(frame);
        this.#message(decodeMessage(frame), frame.requestId);
        return;
      case 'welcome':
      case 'refused':
      case 'status':
      case 'document':
      case 'failed-request':
      case 'fenced':
      case 'failed':
        this.#message(decodeMessage(frame), frame.requestId);
        return;
      default:
        throw new ProtocolError('UNEXPECTED_KIND', `a replica does not send ${frame.kind}`);
    }
  }

  /** Answers of an older session on the same connection would be another target's. */
  #checkSession(frame: Frame): void {
    if (frame.epoch === this.#session?.epoch && frame.session === this.#session.session) return;
    throw new ProtocolError('UNEXPECTED_KIND', `${frame.kind} of another session`);
  }

  #message(message: Message, requestId: number): void {
    switch (message.kind) {
      case 'welcome':
        this.#events.welcome(message.identity, message.state);
        return;
      case 'promised':
        this.#events.promised(message.state);
        return;
      case 'refused':
        this.#end(message.code, message.message);
        return;
      case 'status':
        this.#events.remembered(message.state);
        this.#requests.take(requestId, 'status')(null, null);
        return;
      case 'document':
        this.#requests.take(requestId, 'document')(null, message.content);
        return;
      case 'failed-request':
        this.#requests.fail(requestId, message);
        return;
      case 'fenced':
        this.#events.fenced(message.promisedEpoch);
        this.#end('FENCED', `epoch ${message.promisedEpoch} was promised to another target`);
        return;
      case 'failed':
        this.#events.failed(message);
        return;
      default:
        throw new ProtocolError('UNEXPECTED_KIND', `a replica does not send ${message.kind}`);
    }
  }

  #data(frame: Frame): void {
    const request = this.#requests.takeRead(frame.requestId);
    if (frame.offsetBytes !== request.offsetBytes || frame.payload.length !== request.lengthBytes) {
      throw new ProtocolError('MALFORMED_FRAME', 'data of another range than was asked for');
    }
    const wrongAt = verifySegments(frame.offsetBytes, frame.chunks, frame.table);
    if (wrongAt < 0) {
      // No copy: the receiver goes on elsewhere while what it has received here is needed.
      const { slab } = this.#receiver;
      slab.hold();
      request.readDone(frame.payload, slab, frame.table);
      return;
    }
    if (!this.#requests.wasChecked(frame.requestId)) {
      // Bad where it is kept, or damaged on its way: the replica finds out.
      const id = this.#requests.addRead(request, true);
      this.#bare('read', id, request.offsetBytes, request.lengthBytes);
      this.endTurn();
      return;
    }
    request.readFailed({
      code: 'DAMAGED',
      message: 'data were damaged on their way from the replica',
      offsetBytes: frame.offsetBytes + wrongAt,
    });
  }

  #end(code: string, message: string, keepSocket = false): void {
    if (this.#closed !== null) return;
    this.#closed = { code, message };
    if (!keepSocket) this.#socket.destroy();
    this.#writer.clear();
    this.#events.closed(code, message);
    this.#requests.failAll({ code: 'LINK_CLOSED', message, offsetBytes: null });
  }
}
