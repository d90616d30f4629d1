import type { Frame } from '../protocol/index.ts';
import { frameFields, HEADER_BYTES, segmentTableBytes } from '../protocol/index.ts';
import { MAX_IO_BYTES } from '../limits.ts';
import type { StoreError } from '../store/errors.ts';
import type { ReadDone, Store } from '../store/types.ts';
import type { Slab } from './outbox.ts';
import type { Replies } from './replies.ts';
import { rangeProblem } from './stream.ts';

/** One read under way. The objects are used again, so that a read costs no closure. */
class ReadTask {
  readonly fields = frameFields('data');
  slab: Slab | null = null;
  at = 0;
  frameBytes = 0;
  state: 'calling' | 'answered' | 'detached' = 'answered';
  readonly done: ReadDone;

  constructor(finish: (task: ReadTask, error: StoreError | null) => void) {
    this.done = (error) => finish(this, error);
  }
}

/**
 * Reads, straight into the outgoing frame. The store answers at once when it can; a read that has
 * to wait keeps its place in a slab and leaves when it is filled.
 */
export class Reads {
  readonly #store: Store;
  readonly #replies: Replies;
  /** A read that had to wait is answered: there is something to send. */
  readonly #late: () => void;
  readonly #idle: ReadTask[] = [];
  #waiting = 0;

  constructor(store: Store, replies: Replies, late: () => void) {
    this.#store = store;
    this.#replies = replies;
    this.#late = late;
  }

  /** Reads that have to wait. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Hot path. */
  read(frame: Frame): void {
    const { offsetBytes, lengthBytes, requestId } = frame;
    const problem = rangeProblem(offsetBytes, lengthBytes, this.#store.identity.sizeBytes);
    if (problem !== null) {
      this.#replies.failedRequest(requestId, { code: 'OUT_OF_RANGE', message: problem });
      return;
    }
    if (lengthBytes > MAX_IO_BYTES) {
      const message = `a read of ${lengthBytes} bytes; at most ${MAX_IO_BYTES} are allowed`;
      this.#replies.failedRequest(requestId, { code: 'TOO_LARGE', message });
      return;
    }
    const { outbox } = this.#replies;
    const task = this.#idle.pop() ?? new ReadTask((each, error) => this.#finish(each, error));
    const tableBytes = segmentTableBytes(offsetBytes, lengthBytes);
    const { fields } = task;
    fields.offsetBytes = offsetBytes;
    fields.lengthBytes = lengthBytes;
    fields.payloadBytes = lengthBytes;
    fields.tableBytes = tableBytes;
    fields.requestId = requestId;
    task.frameBytes = HEADER_BYTES + tableBytes + lengthBytes;
    task.at = outbox.reserve(task.frameBytes);
    task.slab = outbox.slab;
    task.state = 'calling';
    const { buffer } = task.slab;
    const tableStart = task.at + HEADER_BYTES;
    const payloadStart = tableStart + tableBytes;
    const into = buffer.subarray(payloadStart, payloadStart + lengthBytes);
    const checksums = buffer.subarray(tableStart, payloadStart);
    // The number of an operation has no meaning for a read; it names a layer, or is 0.
    const { done } = task;
    if (frame.seq !== 0) {
      this.#store.readLayer(frame.seq, { offsetBytes, into, checksums, done });
    } else this.#store.read(offsetBytes, into, checksums, done, frame.kind === 'read');
    this.#detachIfWaiting(task);
  }

  #detachIfWaiting(task: ReadTask): void {
    if (task.state !== 'calling') return;
    task.state = 'detached';
    this.#waiting++;
    this.#replies.outbox.detach(task.frameBytes);
  }

  #finish(task: ReadTask, error: StoreError | null): void {
    const { outbox, encoder } = this.#replies;
    const slab = task.slab as Slab;
    const late = task.state === 'detached';
    task.state = 'answered';
    if (late) this.#waiting--;
    if (error === null) {
      encoder.header(slab.buffer, task.at, task.fields);
      if (late) outbox.attach(slab, task.at, task.frameBytes);
    } else {
      if (late) outbox.abandon(slab, task.frameBytes);
      else outbox.unreserve(task.frameBytes);
      this.#replies.failedRequest(task.fields.requestId, error);
    }
    task.slab = null;
    this.#idle.push(task);
    if (late) this.#late();
  }
}
