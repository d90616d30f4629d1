import assert from 'node:assert';
import type { Epoch, MembershipRecord, Session, Version } from '../protocol/types.ts';
import { StoreError } from './errors.ts';
import { failureOf } from './failure.ts';
import { encodeSuperblock, SUPERBLOCK, superblockFormat } from './superblock.ts';
import type { Superblock } from './superblock.ts';
import type { LayerTree } from './layer-tree.ts';
import { SLOT_HEADER_BYTES } from './two-slot-file.ts';
import type { TwoSlotFile } from './two-slot-file.ts';
import { MAX_CONFIRMED_EPOCHS, MAX_DOCUMENTS_BYTES, MAX_RECORD_BYTES } from '../limits.ts';

/**
 * Counted for each document, so that many small ones cannot outgrow the superblock's slot either.
 */
const DOCUMENT_OVERHEAD_BYTES = 16;
const DOCUMENT_NAME = /^[a-z][a-z0-9.-]{0,63}$/;

/**
 * The superblock in memory and the rules of its changes. A change is judged by what earlier calls
 * intend, whether that is durable yet or not; so two promises of one epoch cannot both succeed.
 */
export class DurableState {
  #intended: Superblock | null = null;
  #file: TwoSlotFile | null = null;

  /** The file composes its content from here. */
  readonly compose = (): Uint8Array => encodeSuperblock(this.superblock);

  /** Of the slot that is written next. */
  readonly format = (): number => superblockFormat(this.superblock);

  attach(file: TwoSlotFile, superblock: Superblock): void {
    this.#file = file;
    this.#intended = superblock;
  }

  get superblock(): Superblock {
    assert(this.#intended !== null, 'The superblock was read before anything asks for it.');
    return this.#intended;
  }

  async promise(epoch: Epoch, session: Session): Promise<void> {
    this.checkPromise(epoch, session);
    await this.#change({ promised: { epoch, session } });
  }

  checkPromise(epoch: Epoch, session: Session): void {
    const { promised } = this.superblock;
    if (epoch > promised.epoch) return;
    if (epoch === promised.epoch && session === promised.session) return;
    throw new StoreError(
      'EPOCH_STALE',
      `Epoch ${promised.epoch} is promised to another target; epoch ${epoch} comes too late. ` +
        'Activate again with a higher one.',
    );
  }

  /** `confirmed`: provisional versions up to this one count from now on, in the same change. */
  async putRecord(record: MembershipRecord, confirmed: Version | null): Promise<void> {
    this.checkRecord(record);
    const known = this.superblock.confirmed;
    if (confirmed === null) {
      await this.#change({ record });
      return;
    }
    const others = known.filter((version) => version.epoch !== confirmed.epoch);
    await this.#change({
      record,
      // Whoever wrote the record has made this copy equal to the others first.
      intact: true,
      confirmed: [...others, confirmed].slice(-MAX_CONFIRMED_EPOCHS),
    });
  }

  checkRecord(record: MembershipRecord): void {
    const { identity, record: kept } = this.superblock;
    if (record.volumeId !== identity.volumeId)
      throw new StoreError(
        'WRONG_VOLUME',
        `The record is of volume ${record.volumeId}, this copy is of ${identity.volumeId}.`,
      );
    const recordBytes = JSON.stringify(record).length;
    if (recordBytes > MAX_RECORD_BYTES)
      throw new StoreError(
        'TOO_LARGE',
        `The record has ${recordBytes} bytes, it may have ${MAX_RECORD_BYTES}.`,
      );
    if (kept === null) return;
    const older =
      record.epoch < kept.epoch ||
      (record.epoch === kept.epoch && record.configSeq < kept.configSeq);
    const same = record.epoch === kept.epoch && record.configSeq === kept.configSeq;
    if (older || (same && !sameMembers(record, kept)))
      throw new StoreError(
        'RECORD_STALE',
        `The record (${record.epoch}, ${record.configSeq}) is not newer than the one kept, ` +
          `(${kept.epoch}, ${kept.configSeq}).`,
      );
  }

  getDocument(name: string): Uint8Array | null {
    return this.superblock.documents[name] ?? null;
  }

  async putDocument(name: string, content: Uint8Array): Promise<void> {
    if (!DOCUMENT_NAME.test(name))
      throw new StoreError(
        'OUT_OF_RANGE',
        `A document's name is 1 to 64 lower-case letters, digits, dots and hyphens and begins ` +
          'with a letter.',
      );
    const documents = { ...this.superblock.documents, [name]: Uint8Array.from(content) };
    let total = 0;
    for (const [key, value] of Object.entries(documents))
      total += key.length + value.length + DOCUMENT_OVERHEAD_BYTES;
    if (total > MAX_DOCUMENTS_BYTES)
      throw new StoreError(
        'TOO_LARGE',
        `With ${name} the documents have ${total} bytes; together they may have ` +
          `${MAX_DOCUMENTS_BYTES}.`,
      );
    await this.#change({ documents });
  }

  async resize(sizeBytes: number): Promise<void> {
    const { identity } = this.superblock;
    await this.#change({ identity: { ...identity, sizeBytes } });
  }

  async putTree(tree: LayerTree): Promise<void> {
    await this.#change({ tree });
  }

  /** Throws TOO_LARGE where the superblock has no room for more layers. */
  checkTree(tree: LayerTree): void {
    const payload = encodeSuperblock({ ...this.superblock, tree });
    if (payload.length <= SUPERBLOCK.slotBytes - SLOT_HEADER_BYTES) return;
    throw new StoreError(
      'TOO_LARGE',
      `With ${tree.layers.length} layers and the documents the superblock has ` +
        `${payload.length} bytes; its slot has ${SUPERBLOCK.slotBytes}. Delete snapshots.`,
    );
  }

  /**
   * `sameBoot`: the machine has run on since the last stop. What a loss of power took stays lost
   * however often the store is opened.
   */
  async opened(bootId: string | null, sameBoot: boolean): Promise<void> {
    const { intact, clean } = this.superblock;
    await this.#change({ bootId, clean: false, intact: intact && (clean || sameBoot) });
  }

  async closed(lastVersion: Version): Promise<void> {
    await this.#change({ clean: true, lastVersion });
  }

  /** Slots that were found rotten while the store was open. */
  get rottenSlots(): number {
    return this.#file?.rottenSlots ?? 0;
  }

  /** Reads both slots and writes them again where they have rotted. */
  scrub(done: () => void): void {
    if (this.#file === null) done();
    else this.#file.scrub(done);
  }

  /** Waits until both slots hold the newest content, then closes the file. */
  async close(): Promise<void> {
    const file = this.#file;
    if (file === null) return;
    await new Promise<void>((resolve) => file.settled(resolve));
    file.close();
    this.#file = null;
  }

  #change(change: Partial<Superblock>): Promise<void> {
    this.#intended = { ...this.superblock, ...change };
    const file = this.#file;
    if (file === null)
      return Promise.reject(new StoreError('CLOSED', 'The store is closed; open it again.'));
    return new Promise((resolve, reject) => {
      file.commit((error) => {
        if (error === null) resolve();
        else reject(failureOf('writing the superblock', error));
      });
    });
  }
}

function sameMembers(one: MembershipRecord, other: MembershipRecord): boolean {
  const ids = (list: readonly string[]): string => [...list].sort().join();
  return ids(one.inSync) === ids(other.inSync) && ids(one.voters) === ids(other.voters);
}
