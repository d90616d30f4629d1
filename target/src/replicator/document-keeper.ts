import type { Epoch } from '@openebs/replica/protocol';
import { DocumentError, readDocument, writeDocument, type DocumentQuorum } from './documents.ts';
import { notReady } from './operations.ts';

export interface DocumentVoters {
  epoch(): Epoch;
  quorum(): DocumentQuorum;
}

/**
 * The documents of a volume. They are kept by a majority of the voters, so whenever the voters
 * change they go along: first to a majority of the new ones, then the record says that these are
 * the voters. Nothing is written in between.
 */
export class DocumentKeeper {
  readonly #voters: DocumentVoters;
  /** All that may be there: what voters told after their promise, and what was asked for since. */
  readonly #names = new Set<string>();
  #count = 0;
  /** Reads, writes and changes of the voters come one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(voters: DocumentVoters) {
    this.#voters = voters;
  }

  learn(names: readonly string[]): void {
    for (const name of names) this.#names.add(name);
  }

  read(name: string): Promise<Uint8Array | null> {
    return this.#inTurn(async () => {
      this.#names.add(name);
      return (await readDocument(name, this.#voters.quorum()))?.content ?? null;
    });
  }

  /** `wanted`: only while this is the epoch. */
  write(name: string, content: Uint8Array, wanted: Epoch | null = null): Promise<void> {
    return this.#inTurn(async () => {
      if (wanted !== null && wanted !== this.#voters.epoch()) {
        throw new DocumentError(`document ${name}: the epoch has ended`);
      }
      this.#names.add(name);
      const document = { epoch: this.#voters.epoch(), count: ++this.#count, content };
      await writeDocument(name, document, this.#voters.quorum());
    });
  }

  /**
   * Resolves when a majority of these voters has every document; whoever reads or writes one waits
   * until `settled` has resolved.
   */
  carryTo(voters: readonly string[], settled: Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#inTurn(async () => {
        await this.#carry(voters);
        resolve();
        await settled;
      }).catch(reject);
    });
  }

  async #carry(voters: readonly string[]): Promise<void> {
    for (const name of this.#names) {
      const quorum = this.#voters.quorum();
      const document = await readDocument(name, quorum);
      if (document !== null) await writeDocument(name, document, { ...quorum, voters });
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work);
    this.#last = mine.catch(() => undefined);
    return mine;
  }
}

/** What the replicas cannot answer now is told as a volume that is not ready. */
export const readyOrNot = async <T>(work: Promise<T>): Promise<T> => {
  try {
    return await work;
  } catch (error) {
    if (error instanceof DocumentError) throw notReady(error.message);
    throw error;
  }
};
