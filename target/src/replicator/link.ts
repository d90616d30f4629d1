import type {
  Epoch,
  LayersChange,
  MembershipRecord,
  Seq,
  Session,
  WelcomeIdentity,
  WelcomeState,
} from '@openebs/replica/protocol';
import type { LayerFill } from '@openebs/replica/store';
import type { Loan } from '../volume.ts';
import type { Batch } from './batch.ts';

/**
 * Why a request got no answer. `code` is a StoreErrorCode, a RefusalCode or one of the link's own.
 */
export interface RequestFailure {
  /**
   * LINK_CLOSED: the connection ended before the answer. DAMAGED: the answer's bytes do not match
   * its checksums.
   */
  readonly code: string;
  readonly message: string;
  readonly offsetBytes: number | null;
}

/**
 * One read on its way to one replica; the operation itself implements it, so that nothing is made
 * per request.
 */
export interface ReadRequest {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /**
   * The checksums of `data` have been verified. `loan` is the memory behind it, the request's to
   * release; where it is null the data belong to the request. `table`: the checksums, where they
   * came along, in the same memory.
   */
  readDone(data: Buffer, loan: Loan | null, table: Uint8Array | null): void;
  readFailed(failure: RequestFailure): void;
}

/** Any other request. `payload` is a copy, or null where the answer has none. */
export type Answer = (failure: RequestFailure | null, payload: Uint8Array | null) => void;

/**
 * What a link tells its owner. `closed` is the last call, exactly once; then requests that are
 * still in flight fail with LINK_CLOSED, so that whoever asks again elsewhere does not meet this
 * link.
 */
export interface LinkEvents {
  welcome(identity: WelcomeIdentity, state: WelcomeState): void;
  /** With what the replica remembers now: no older target can change it any more. */
  promised(state: WelcomeState): void;
  /** What it remembers now, before the answer to `refresh`. */
  remembered(state: WelcomeState): void;
  /** Everything up to this sequence number is applied there. */
  acknowledged(seq: Seq): void;
  /** The stream of writes is over; reads may still work. */
  failed(failure: RequestFailure): void;
  /** The replica has promised a higher epoch to somebody else. */
  fenced(promisedEpoch: Epoch): void;
  closed(code: string, message: string): void;
}

/**
 * A modifying operation as the stream carries it. The payload is borrowed until the call returns.
 */
export interface StreamOperation {
  readonly kind: 'write' | 'write-atomic' | 'unmap' | 'stamp';
  readonly seq: Seq;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly chunks: readonly Uint8Array[];
  /** For a write: the checksum table of its segments. */
  readonly table: Uint8Array;
}

export interface ByteRange {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/**
 * One connection to one replica. Two kinds: a socket, which wants frames, and a store in this
 * process, which wants the operations themselves. Order is kept: a request sees everything that was
 * sent in the stream before it.
 */
export interface Link {
  readonly wants: 'frames' | 'operations';
  /** Handed over and not yet taken by the network: memory. Bytes. */
  readonly bufferedBytes: number;
  promise(epoch: Epoch, session: Session): void;

  /** wants 'operations': applies at once. */
  apply(operation: StreamOperation): void;
  /** wants 'frames': sends what the batch has gathered; called once per batch. */
  send(batch: Batch): void;
  /** The end of a turn: whatever was held back to go out together goes out, or is settled. */
  endTurn(): void;

  read(request: ReadRequest): void;
  /**
   * Once a second: for how many of these calls the read has been waiting that has waited longest. 0
   * where reads go nowhere that could hang by itself.
   */
  tickReads(): number;
  flush(answer: Answer): void;
  putRecord(record: MembershipRecord, answer: Answer): void;
  /** It grows to this size, durable when answered. */
  resize(sizeBytes: number, answer: Answer): void;
  getDocument(name: string, answer: Answer): void;
  putDocument(name: string, content: Uint8Array, answer: Answer): void;
  allocation(offsetBytes: number, lengthBytes: number, answer: Answer): void;
  extentChecksums(offsetBytes: number, lengthBytes: number, answer: Answer): void;
  extentVersions(offsetBytes: number, lengthBytes: number, answer: Answer): void;
  /** Has one extent read and verified; see encodeScrubAnswer. */
  scrub(offsetBytes: number, lengthBytes: number, answer: Answer): void;
  ping(answer: Answer): void;
  /** What the replica remembers comes as an event, then the answer. */
  refresh(answer: Answer): void;

  /** Changes the tree of layers; answered when it is durable. */
  putLayers(change: LayersChange, answer: Answer): void;
  /** What one layer itself holds, its parents apart. */
  readLayer(layer: number, request: ReadRequest): void;
  /** Two bitmaps one after the other: the blocks with data, and those that hide older data. */
  layerAllocation(layer: number, range: ByteRange, answer: Answer): void;
  layerChecksums(layer: number, range: ByteRange, answer: Answer): void;
  /** Into a layer that is not complete, or where it mends a bad block; see LayerFill. */
  fillLayer(layer: number, fill: LayerFill, answer: Answer): void;

  /** Ends the connection; `closed` follows. Orderly: what was sent is delivered first. */
  close(orderly: boolean): void;
}
