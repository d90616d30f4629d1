import { segmentTableBytes } from '@openebs/replica/protocol';
import type { Slab, SlabPool } from '@openebs/replica/runtime';
import type { ReadDone, Store, StoreError } from '@openebs/replica/store';
import { REPLICATOR_LIMITS } from '../limits.ts';
import type { ReadRequest } from './link.ts';

/** One read under way. The objects are used again, so that a read costs no closure. */
class LocalRead {
  request: ReadRequest | null = null;
  slab: Slab | null = null;
  readonly done: ReadDone;

  constructor(finish: (read: LocalRead, error: StoreError | null) => void) {
    this.done = (error) => finish(this, error);
  }
}

/** Reads of a store in this process, into memory that is lent to whoever asked. */
export class LocalReads {
  readonly #pool: SlabPool;
  readonly #failed: (request: ReadRequest, error: StoreError) => void;
  readonly #idle: LocalRead[] = [];
  /** The store has verified the data; nobody looks at the checksums that it gives along. */
  readonly #table = Buffer.allocUnsafeSlow(segmentTableBytes(511, REPLICATOR_LIMITS.writeBytes));

  constructor(pool: SlabPool, failed: (request: ReadRequest, error: StoreError) => void) {
    this.#pool = pool;
    this.#failed = failed;
  }

  /** Hot path. */
  read(store: Store, request: ReadRequest): void {
    const { offsetBytes, lengthBytes } = request;
    const read = this.#idle.pop() ?? new LocalRead((each, error) => this.#finish(each, error));
    const slab = this.#pool.take(lengthBytes);
    read.request = request;
    read.slab = slab;
    const { buffer } = slab;
    const into = buffer.length === lengthBytes ? buffer : buffer.subarray(0, lengthBytes);
    store.read(offsetBytes, into, this.#table, read.done);
  }

  #finish(read: LocalRead, error: StoreError | null): void {
    const { request, slab } = read;
    read.request = null;
    read.slab = null;
    this.#idle.push(read);
    if (request === null || slab === null) throw new TypeError('a read ended twice');
    if (error === null) {
      const { buffer } = slab;
      const { lengthBytes } = request;
      const data = buffer.length === lengthBytes ? buffer : buffer.subarray(0, lengthBytes);
      request.readDone(data, slab, null);
    } else {
      slab.release();
      this.#failed(request, error);
    }
  }
}
