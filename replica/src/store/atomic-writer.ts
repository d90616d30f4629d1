import { REGION_BYTES } from '../protocol/types.ts';
import type { Version } from '../protocol/types.ts';
import { StoreError } from './errors.ts';
import { failureOf } from './failure.ts';
import type { GroupCommit } from './group-commit.ts';
import type { RedoFile } from './redo-file.ts';
import type { Regions } from './regions.ts';
import type { Stack } from './stack.ts';
import type { StoreWrite } from './types.ts';

export interface AtomicWriterOptions {
  readonly stack: Stack;
  readonly regions: Regions;
  readonly redo: RedoFile;
  readonly commits: GroupCommit;
  /** Writes it in its place and changes its pages, in one go. Throws. */
  readonly write: (write: StoreWrite) => void;
  /** The operation is done: whatever waits for it goes on. */
  readonly ready: () => void;
  readonly die: (error: StoreError) => void;
}

/**
 * Writes that are there wholly or not at all:
 *
 *   idle --advance--> record durable --> data in place, durable --> record done, durable --> idle
 *
 * Nothing else is applied meanwhile, so a record that is not done is newer than all that its blocks
 * hold, and may be written over them as often as it takes. The marks of its regions stay until it
 * is done: whoever finds the record finds the marks, and does not trust the pages.
 */
export class AtomicWriter {
  readonly #options: AtomicWriterOptions;
  #underWay = false;
  /** The one that was done last. */
  #done: Version | null = null;
  #settled: (() => void)[] = [];

  constructor(options: AtomicWriterOptions) {
    this.#options = options;
  }

  /** True when it is done. Its regions are marked. Throws where nothing has happened. */
  advance(write: StoreWrite): boolean {
    const { epoch, seq } = write.version;
    if (this.#done?.epoch === epoch && this.#done.seq === seq) return true;
    if (!this.#underWay) this.#begin(write);
    return false;
  }

  /** Calls back when none is under way; one that has begun goes on to its end. */
  settled(done: () => void): void {
    if (this.#underWay) this.#settled.push(done);
    else done();
  }

  #begin({ version, offsetBytes, lengthBytes, chunks, checksums }: StoreWrite): void {
    const { stack, regions, redo } = this.#options;
    try {
      // Once the record is durable there is no way back, so there has to be space.
      stack.data.reserve(offsetBytes, lengthBytes);
    } catch (cause) {
      throw failureOf('making room for an atomic write', cause, offsetBytes);
    }
    this.#underWay = true;
    regions.pin(regionsOf(offsetBytes, lengthBytes), true);
    // What was given is only lent; the record keeps a copy of the payload.
    const range = { kind: 'write-atomic', offsetBytes, lengthBytes } as const;
    const sums = Uint8Array.from(checksums);
    const when = { epoch: version.epoch, seq: version.seq };
    redo.begin({ ...range, version: when, chunks, checksums }, (cause) => {
      const write = { ...range, version: when, chunks: [redo.payload], checksums: sums };
      if (cause !== null) this.#fail(cause);
      else this.#place(write);
    });
  }

  #place(write: StoreWrite): void {
    const { commits } = this.#options;
    try {
      this.#options.write(write);
    } catch (cause) {
      this.#fail(cause);
      return;
    }
    commits.flush((error) => {
      if (error !== null) this.#fail(error);
      else this.#finish(write);
    });
  }

  #finish({ version, offsetBytes, lengthBytes }: StoreWrite): void {
    const { redo, regions, ready } = this.#options;
    redo.end((cause) => {
      if (cause !== null) {
        this.#fail(cause);
        return;
      }
      regions.pin(regionsOf(offsetBytes, lengthBytes), false);
      this.#done = version;
      this.#end();
      ready();
    });
  }

  /** The record stays, and with it the marks: the write is finished when the copy is opened. */
  #fail(cause: unknown): void {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const error = new StoreError(
      'IO_ERROR',
      `An atomic write stopped in the middle: ${reason}. It is finished, or found not to have ` +
        'begun, when the replica starts again. Look into the log of the kernel (dmesg) for the ' +
        'device.',
      { cause },
    );
    this.#end();
    this.#options.die(error);
  }

  #end(): void {
    this.#underWay = false;
    for (const done of this.#settled.splice(0)) done();
  }
}

function regionsOf(offsetBytes: number, lengthBytes: number): { first: number; last: number } {
  return {
    first: Math.floor(offsetBytes / REGION_BYTES),
    last: Math.floor((offsetBytes + lengthBytes - 1) / REGION_BYTES),
  };
}
