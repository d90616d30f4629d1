import { crc32 } from '../protocol/checksum.ts';
import { BLOCK_BYTES, MAX_ATOMIC_BYTES } from '../protocol/types.ts';
import type { AtomicWrites } from '../protocol/types.ts';
import type { Disk, DiskFile } from './disk.ts';
import { createFile } from './directory.ts';
import { StoreError } from './errors.ts';
import type { StoreWrite } from './types.ts';

export const REDO_FILE = 'redo';
const MAGIC = 'OEBREDO1';
/** Format 1: the first. */
const FORMAT = 1;

/**
 * The header fits a sector, which a disk writes wholly or not at all; the payload begins at the
 * next block. Little endian. A header of zeroes: there was no atomic write yet.
 */
export const REDO_LAYOUT = {
  magic: { offset: 0, bytes: 8 },
  format: { offset: 8, bytes: 4 },
  /** 1: to be done again. 2: done. */
  state: { offset: 12, bytes: 4 },
  offsetBytes: { offset: 16, bytes: 8 },
  lengthBytes: { offset: 24, bytes: 4 },
  payloadChecksum: { offset: 28, bytes: 4 },
  reserved: { offset: 32, bytes: 28 },
  /** crc32 of bytes 0 to 59. */
  headerChecksum: { offset: 60, bytes: 4 },
} as const;
export const REDO_HEADER_BYTES = 64;
const PAYLOAD_AT = BLOCK_BYTES;
export const REDO_FILE_BYTES = PAYLOAD_AT + MAX_ATOMIC_BYTES;

const State = { pending: 1, done: 2 } as const;
type State = (typeof State)[keyof typeof State];

type Done = (error: Error | null) => void;

/**
 * The last atomic write of a copy, whole and durable before a byte of it goes to its place: so
 * whatever stops in the middle, the rest of it can be written when the copy is opened again. Its
 * range stays readable afterwards, because the target has to know which blocks belong together when
 * it makes replicas equal.
 */
export class RedoFile {
  readonly #file: DiskFile;
  readonly #record = Buffer.alloc(REDO_FILE_BYTES);
  #last: AtomicWrites['last'] = null;

  private constructor(file: DiskFile) {
    this.#file = file;
  }

  /**
   * Opens the file, or makes it. `redo` is called with a write that may have stopped in the middle;
   * when it returns the write is durable in its place.
   */
  static open(
    disk: Disk,
    redo: (payload: Buffer, offsetBytes: number) => void,
  ): { readonly file: RedoFile; readonly redone: boolean } {
    if (!disk.exists(REDO_FILE)) {
      const temporary = `${REDO_FILE}.new`;
      createFile(disk, temporary, REDO_FILE_BYTES);
      disk.rename(temporary, REDO_FILE);
      disk.syncDirectory();
    }
    const file = new RedoFile(disk.open(REDO_FILE));
    try {
      return { file, redone: file.#recover(`${disk.directory}/${REDO_FILE}`, redo) };
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** Of the last atomic write, done or not. */
  get last(): AtomicWrites['last'] {
    return this.#last;
  }

  /** Copies the write and makes it durable here; from then on it will happen. */
  begin({ offsetBytes, lengthBytes, chunks }: StoreWrite, done: Done): void {
    const payload = this.#record.subarray(PAYLOAD_AT, PAYLOAD_AT + lengthBytes);
    let at = 0;
    for (const chunk of chunks) {
      payload.set(chunk, at);
      at += chunk.length;
    }
    const header = this.#record;
    header.write(MAGIC, REDO_LAYOUT.magic.offset, 'latin1');
    header.writeUInt32LE(FORMAT, REDO_LAYOUT.format.offset);
    header.writeBigUInt64LE(BigInt(offsetBytes), REDO_LAYOUT.offsetBytes.offset);
    header.writeUInt32LE(lengthBytes, REDO_LAYOUT.lengthBytes.offset);
    header.writeUInt32LE(crc32(payload), REDO_LAYOUT.payloadChecksum.offset);
    this.#seal(State.pending);
    this.#last = { offsetBytes, lengthBytes };
    this.#write(PAYLOAD_AT + lengthBytes, done);
  }

  /** What `begin` has copied. */
  get payload(): Buffer {
    const lengthBytes = this.#last?.lengthBytes ?? 0;
    return this.#record.subarray(PAYLOAD_AT, PAYLOAD_AT + lengthBytes);
  }

  /** The write is durable in its place: what comes after it may change the same blocks. */
  end(done: Done): void {
    this.#seal(State.done);
    this.#write(REDO_HEADER_BYTES, done);
  }

  close(): void {
    this.#file.close();
  }

  #write(lengthBytes: number, done: Done): void {
    try {
      this.#file.write(this.#record.subarray(0, lengthBytes), 0);
    } catch (error) {
      done(error as Error);
      return;
    }
    this.#file.sync(done);
  }

  #seal(state: State): void {
    const header = this.#record;
    header.writeUInt32LE(state, REDO_LAYOUT.state.offset);
    const { offset } = REDO_LAYOUT.headerChecksum;
    header.writeUInt32LE(crc32(header.subarray(0, offset)), offset);
  }

  #recover(where: string, redo: (payload: Buffer, offsetBytes: number) => void): boolean {
    const record = this.#record;
    this.#file.read(record, 0, REDO_FILE_BYTES, 0);
    const { offset } = REDO_LAYOUT.headerChecksum;
    const isWhole =
      record.toString('latin1', 0, MAGIC.length) === MAGIC &&
      record.readUInt32LE(offset) === crc32(record.subarray(0, offset));
    if (!isWhole) return false;
    // The process before may have been killed between its write and its sync. A state that stood in
    // the page cache alone could fall back to pending, and the write be done again over newer ones.
    this.#file.syncNow();
    if (record.readUInt32LE(REDO_LAYOUT.format.offset) > FORMAT)
      throw new StoreError(
        'FORMAT_TOO_NEW',
        `${where} was written by a later version of OpenEBS. Run that version or a later one on ` +
          'this directory.',
      );
    const offsetBytes = Number(record.readBigUInt64LE(REDO_LAYOUT.offsetBytes.offset));
    const lengthBytes = record.readUInt32LE(REDO_LAYOUT.lengthBytes.offset);
    this.#last = { offsetBytes, lengthBytes };
    if (record.readUInt32LE(REDO_LAYOUT.state.offset) !== State.pending) return false;
    // Without its whole payload it was not durable yet, so nothing of it has gone to its place.
    const sum = record.readUInt32LE(REDO_LAYOUT.payloadChecksum.offset);
    const isComplete = lengthBytes <= MAX_ATOMIC_BYTES && crc32(this.payload) === sum;
    if (isComplete) redo(this.payload, offsetBytes);
    // Also where nothing is to be done: the same payload could come to stand under this header.
    this.#seal(State.done);
    this.#file.write(record.subarray(0, REDO_HEADER_BYTES), 0);
    this.#file.syncNow();
    return isComplete;
  }
}
