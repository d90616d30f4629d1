import { NOTHING_BAD } from '../protocol/scrub-answer.ts';
import { seq } from '../protocol/types.ts';
import type { Epoch, MembershipRecord, Seq, Session } from '../protocol/types.ts';
import { NO_VERSION } from './data-store.ts';
import type { DurableState } from './durable-state.ts';
import { StoreError } from './errors.ts';
import { checkGrowth } from './growth.ts';
import type {
  LayerFill,
  LayerRead,
  LayerUsage,
  ReadDone,
  ScrubDone,
  Store,
  StoreCounters,
  StoreEvents,
  StoreIdentity,
  StoreOperation,
  StoreState,
} from './types.ts';

export interface WitnessStoreParts {
  readonly durable: DurableState;
  readonly start: { readonly cleanStart: boolean; readonly sameBoot: boolean };
  readonly damagedSlots: number;
  readonly release: () => Promise<void>;
}

/** A voter without data: it keeps the promise, the record and the documents. */
export class WitnessStore implements Store {
  readonly appliedSeq: Seq = seq(0);
  readonly #parts: WitnessStoreParts;
  #failed: (error: StoreError) => void = () => undefined;
  #closed = false;

  constructor(parts: WitnessStoreParts) {
    this.#parts = parts;
  }

  get identity(): StoreIdentity {
    return this.#parts.durable.superblock.identity;
  }

  state(): StoreState {
    const { promised, record, documents } = this.#parts.durable.superblock;
    return {
      promisedEpoch: promised.epoch,
      record,
      layers: [],
      headLayer: 0,
      ...this.#parts.start,
      intact: true,
      documents: Object.keys(documents),
      lastVersion: NO_VERSION,
      atomic: null,
    };
  }

  counters(): StoreCounters {
    return {
      readOps: 0,
      readBytes: 0,
      writeOps: 0,
      writeBytes: 0,
      unmapOps: 0,
      flushes: 0,
      fdatasyncs: 0,
      regionMarks: 0,
      checksumErrors: 0,
      allocatedBytes: 0,
      markedRegions: 0,
      metadataCacheBytes: 0,
      damagedSlots: this.#parts.damagedSlots,
      damagedPages: 0,
      scrubbedBytes: 0,
      scrubErrors: 0,
    };
  }

  setEvents(events: StoreEvents): void {
    this.#failed = (error) => events.failed(error);
  }

  promise(epoch: Epoch, session: Session): Promise<void> {
    return this.#parts.durable.promise(epoch, session);
  }

  putRecord(record: MembershipRecord): Promise<void> {
    return this.#parts.durable.putRecord(record, null);
  }

  getDocument(name: string): Uint8Array | null {
    return this.#parts.durable.getDocument(name);
  }

  putDocument(name: string, content: Uint8Array): Promise<void> {
    return this.#parts.durable.putDocument(name, content);
  }

  async resize(sizeBytes: number): Promise<void> {
    const { durable } = this.#parts;
    if (checkGrowth(this.identity.sizeBytes, sizeBytes)) await durable.resize(sizeBytes);
  }

  apply(operation: StoreOperation): void {
    this.#failed(noData(`an operation of kind ${operation.kind}`));
  }

  settle(): void {
    // Nothing is ever applied.
  }

  read(_offsetBytes: number, _into: Uint8Array, _checksums: Uint8Array, done: ReadDone): void {
    done(noData('a read'));
  }

  /** Everything that a witness keeps is durable already. */
  flush(done: ReadDone): void {
    done(null);
  }

  allocation(): Uint8Array {
    throw noData('a question about allocation');
  }

  scrub(_extent: number, done: ScrubDone): void {
    done(noData('a scrub'), NOTHING_BAD);
  }

  extentChecksums(): Uint8Array {
    throw noData('a question about checksums');
  }

  extentVersions(): Uint8Array {
    throw noData('a question about versions');
  }

  changeLayers(): Promise<void> {
    return Promise.reject(noData('a change of layers'));
  }

  layerUsage(): readonly LayerUsage[] {
    return [];
  }

  readLayer(_layer: number, { done }: LayerRead): void {
    done(noData('a read of a layer'));
  }

  layerAllocation(): Uint8Array {
    throw noData('a question about allocation');
  }

  layerChecksums(): Uint8Array {
    throw noData('a question about checksums');
  }

  fillLayer(_layer: number, _fill: LayerFill, done: ReadDone): void {
    done(noData('a write into a layer'));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      await this.#parts.durable.closed(NO_VERSION);
    } finally {
      await this.#parts.release();
    }
  }
}

function noData(what: string): StoreError {
  return new StoreError(
    'WITNESS_HAS_NO_DATA',
    `This replica is a witness, it votes and holds no blocks; ${what} goes to a data replica.`,
  );
}
