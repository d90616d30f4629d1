import { fs, path } from '../runtime/builtin.ts';
import { BLOCK_BYTES } from '../protocol/types.ts';
import { epoch, session } from '../protocol/types.ts';
import { StoreError } from './errors.ts';
import { openStore } from './open.ts';
import { makeWrite, numberedSectors, versionOf } from './simulated-volume.ts';
import type { Store, StoreOptions } from './types.ts';

/**
 * For tests on real files: a directory that goes away, and a store in it that writes numbered
 * blocks.
 */
export class RealStore {
  readonly directory: string;
  readonly warnings: string[] = [];
  readonly #sizeBytes: number;
  #store: Store | null = null;
  #seq = 0;
  #epoch = 0;
  failure: StoreError | null = null;

  constructor(directory: string, sizeBytes: number) {
    this.directory = directory;
    this.#sizeBytes = sizeBytes;
  }

  options(): StoreOptions {
    return {
      directory: this.directory,
      create: {
        volumeId: 'volume',
        replicaId: 'one',
        role: 'data',
        sizeBytes: this.#sizeBytes,
      },
      warn: (message) => this.warnings.push(message),
    };
  }

  get store(): Store {
    if (this.#store === null) throw new Error('The store is not open.');
    return this.#store;
  }

  /** Opened, promised to a new target, and a member. */
  async open(): Promise<void> {
    const store = await openStore(this.options());
    this.#store = store;
    this.failure = null;
    this.#seq = 0;
    this.#epoch = store.state().promisedEpoch + 1;
    store.setEvents({ applied: () => undefined, failed: (error) => (this.failure = error) });
    await store.promise(epoch(this.#epoch), session(1));
    await store.putRecord({
      volumeId: 'volume',
      epoch: epoch(this.#epoch),
      configSeq: 1,
      inSync: ['one'],
      voters: ['one'],
    });
  }

  write(value: number, offsetBytes: number, lengthBytes = BLOCK_BYTES): void {
    this.#seq += 1;
    const content = numberedSectors(value, lengthBytes);
    this.store.apply(makeWrite(versionOf(this.#epoch, this.#seq), offsetBytes, content));
  }

  unmap(offsetBytes: number, lengthBytes: number): void {
    this.#range('unmap', offsetBytes, lengthBytes);
  }

  stamp(offsetBytes: number, lengthBytes: number): void {
    this.#range('stamp', offsetBytes, lengthBytes);
  }

  #range(kind: 'unmap' | 'stamp', offsetBytes: number, lengthBytes: number): void {
    this.#seq += 1;
    this.store.apply({
      kind,
      version: versionOf(this.#epoch, this.#seq),
      offsetBytes,
      lengthBytes,
    });
  }

  flush(): Promise<string> {
    return new Promise((resolve) => this.store.flush((error) => resolve(error?.code ?? 'none')));
  }

  /** The number in the sectors of a block; or the code of the error. */
  read(offsetBytes: number): Promise<number | string> {
    const into = Buffer.alloc(BLOCK_BYTES);
    return new Promise((resolve) => {
      this.store.read(offsetBytes, into, Buffer.alloc(4), (error) => {
        if (error !== null) resolve(error.code);
        else if (into.equals(numberedSectors(into.readUInt32LE(0), BLOCK_BYTES)))
          resolve(into.readUInt32LE(0));
        else resolve('torn');
      });
    });
  }

  isUnknown(extent: number): boolean {
    return this.store.extentVersions(extent, 1).every((byte) => byte === 0xff);
  }

  async close(): Promise<void> {
    const store = this.#store;
    this.#store = null;
    await store?.close();
  }

  /** Writes into one of the files behind the store's back. */
  overwrite(fileName: string, offsetBytes: number, bytes: Uint8Array): void {
    const fd = fs.openSync(path.join(this.directory, fileName), 'r+');
    fs.writeSync(fd, bytes, 0, bytes.length, offsetBytes);
    fs.closeSync(fd);
  }
}

export async function rejection(action: Promise<unknown>): Promise<StoreError> {
  try {
    await action;
  } catch (error) {
    if (error instanceof StoreError) return error;
    throw error;
  }
  throw new Error('It succeeded, although it must not.');
}

export function temporaryDirectory(parent = process.env['TMPDIR'] ?? '/tmp'): string {
  return fs.mkdtempSync(path.join(parent, 'openebs-store-'));
}

export function removeDirectory(directory: string): void {
  fs.rmSync(directory, { recursive: true, force: true });
}
