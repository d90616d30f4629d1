/**
 * A Volume in this process's memory: what unit tests and the SCSI conformance suite run against.
 */
import { strict as assert } from 'node:assert';
import { VolumeError, type Loan, type RangeLock, type Volume, type VolumeIo } from './volume.ts';

const SECTOR_BYTES = 512;
const BLOCK_BYTES = 4096;

type Range = Pick<RangeLock, 'offsetBytes' | 'lengthBytes'>;

interface Claim extends RangeLock {
  held: boolean;
  readonly granted: () => void;
}

function overlap(a: Range, b: Range): boolean {
  return (
    a.offsetBytes < b.offsetBytes + b.lengthBytes && b.offsetBytes < a.offsetBytes + a.lengthBytes
  );
}

function covers(lock: Range, io: Range): boolean {
  return (
    io.offsetBytes >= lock.offsetBytes &&
    io.offsetBytes + io.lengthBytes <= lock.offsetBytes + lock.lengthBytes
  );
}

/** Memory that is overwritten when it was given back: who still looks at it then reads nonsense. */
export class PoisonedLoan implements Loan {
  readonly bytes: Uint8Array;
  #holders = 1;
  readonly release: () => void;

  constructor(bytes: Uint8Array, ended = (): void => undefined) {
    this.bytes = bytes;
    this.release = () => {
      assert(this.#holders > 0, 'a loan is released once by each holder');
      if (--this.#holders > 0) return;
      bytes.fill(0xdd);
      ended();
    };
  }

  hold(): void {
    assert(this.#holders > 0, 'what was given back cannot be held');
    this.#holders++;
  }
}

export class MemoryVolume implements Volume {
  readonly volumeId: string;
  ready = true;
  /** While true, operations stay in `pending` until settle(): tests see what happens in between. */
  deferred = false;
  /** How often the volume was flushed. */
  flushes = 0;
  /** Reads whose memory has not been given back. */
  lent = 0;
  bytesInFlight = 0;
  atomicBytes = 128 * 1024;
  readonly #pending: (() => void)[] = [];
  /**
   * First come, first served: a claim waits for every older one that it overlaps, unless both are
   * shared.
   */
  readonly #claims: Claim[] = [];
  readonly #documents = new Map<string, Uint8Array>();
  readonly #listeners: ((change: 'size' | 'ready' | 'not-ready' | 'fenced') => void)[] = [];
  readonly #allocated = new Set<number>();
  #data: Uint8Array;
  #fault: VolumeError | null = null;

  constructor(sizeBytes: number, volumeId: string) {
    assert(sizeBytes > 0 && sizeBytes % BLOCK_BYTES === 0);
    this.#data = new Uint8Array(sizeBytes);
    this.volumeId = volumeId;
  }

  get sizeBytes(): number {
    return this.#data.length;
  }

  get pending(): number {
    return this.#pending.length;
  }

  /** Locks that are held or waited for. */
  get claims(): number {
    return this.#claims.length;
  }

  /** Lets everything that is pending happen, and what follows from it. */
  settle(): void {
    for (let run = this.#pending.shift(); run !== undefined; run = this.#pending.shift()) run();
  }

  /** Lets the oldest of what is pending happen. */
  step(): void {
    this.#pending.shift()?.();
  }

  /** The next operation on the medium fails so. */
  failNext(fault: VolumeError): void {
    this.#fault = fault;
  }

  resize(sizeBytes: number): void {
    const data = new Uint8Array(sizeBytes);
    data.set(this.#data.subarray(0, sizeBytes));
    this.#data = data;
    for (const listener of this.#listeners) listener('size');
  }

  submit(io: VolumeIo): void {
    assert(io.offsetBytes % SECTOR_BYTES === 0 && io.lengthBytes % SECTOR_BYTES === 0);
    assert(io.offsetBytes >= 0 && io.offsetBytes + io.lengthBytes <= this.sizeBytes);
    this.bytesInFlight += io.lengthBytes;
    // The chunks of a write are lent until this returns.
    const payload =
      io.kind === 'write' || io.kind === 'write-atomic' ? Buffer.concat(io.chunks) : null;
    if (io.kind === 'flush' || io.lock !== null) {
      // A flush has no range of its own.
      assert(io.kind === 'flush' || (io.lock !== null && covers(io.lock, io)));
      this.#later(() => this.#perform(io, payload, null));
      return;
    }
    const mode = io.kind === 'read' ? 'shared' : 'exclusive';
    this.acquire({ offsetBytes: io.offsetBytes, lengthBytes: io.lengthBytes, mode }, (lock) =>
      this.#later(() => this.#perform(io, payload, lock)),
    );
  }

  acquire(
    range: { offsetBytes: number; lengthBytes: number; mode: 'shared' | 'exclusive' },
    granted: (lock: RangeLock) => void,
  ): void {
    const claim: Claim = { ...range, held: false, granted: () => granted(claim) };
    this.#claims.push(claim);
    this.#grant();
  }

  release(lock: RangeLock): void {
    const index = this.#claims.indexOf(lock as Claim);
    assert(index >= 0 && this.#claims[index]?.held === true, 'a lock is released once');
    this.#claims.splice(index, 1);
    this.#grant();
  }

  allocation(
    offsetBytes: number,
    lengthBytes: number,
    done: (error: VolumeError | null, bitmap: Uint8Array | null) => void,
  ): void {
    const first = offsetBytes / BLOCK_BYTES;
    const count = Math.ceil(lengthBytes / BLOCK_BYTES);
    const bitmap = new Uint8Array(Math.ceil(count / 8));
    for (let i = 0; i < count; i += 1) {
      if (this.#allocated.has(first + i)) bitmap[i >>> 3] = (bitmap[i >>> 3] ?? 0) | (1 << (i & 7));
    }
    this.#later(() => done(null, bitmap));
  }

  readDocument(name: string): Promise<Uint8Array | null> {
    return Promise.resolve(this.#documents.get(name) ?? null);
  }

  writeDocument(name: string, content: Uint8Array): Promise<void> {
    const fault = this.#fault;
    this.#fault = null;
    if (fault !== null) return Promise.reject(fault);
    this.#documents.set(name, content.slice());
    return Promise.resolve();
  }

  onChange(
    listener: (change: 'size' | 'content' | 'ready' | 'not-ready' | 'fenced') => void,
  ): void {
    this.#listeners.push(listener);
  }

  #later(run: () => void): void {
    if (this.deferred) this.#pending.push(run);
    else run();
  }

  #grant(): void {
    for (let i = 0; i < this.#claims.length; i += 1) {
      const claim = this.#claims[i];
      if (claim === undefined || claim.held) continue;
      const blocked = this.#claims
        .slice(0, i)
        .some(
          (older) =>
            overlap(older, claim) && (older.mode === 'exclusive' || claim.mode === 'exclusive'),
        );
      if (blocked) continue;
      claim.held = true;
      claim.granted();
      // Granting may have changed the list.
      i = -1;
    }
  }

  #perform(io: VolumeIo, payload: Uint8Array | null, lock: RangeLock | null): void {
    const fault = this.#fault;
    this.#fault = null;
    if (fault === null) this.#apply(io, payload);
    if (lock !== null) this.release(lock);
    this.bytesInFlight -= io.lengthBytes;
    io.done(fault);
  }

  #lend(io: VolumeIo): void {
    const end = io.offsetBytes + io.lengthBytes;
    const loan = new PoisonedLoan(this.#data.slice(io.offsetBytes, end), () => {
      this.lent--;
    });
    this.lent++;
    io.chunks = [loan.bytes];
    io.loan = loan;
  }

  #apply(io: VolumeIo, payload: Uint8Array | null): void {
    const end = io.offsetBytes + io.lengthBytes;
    switch (io.kind) {
      case 'read':
        this.#lend(io);
        return;
      case 'write':
      case 'write-atomic': {
        assert(
          payload?.length === io.lengthBytes,
          'the chunks of a write are as long as the write',
        );
        this.#data.set(payload, io.offsetBytes);
        for (let b = Math.floor(io.offsetBytes / BLOCK_BYTES); b * BLOCK_BYTES < end; b += 1) {
          this.#allocated.add(b);
        }
        return;
      }
      case 'unmap':
        this.#data.fill(0, io.offsetBytes, end);
        for (
          let b = Math.ceil(io.offsetBytes / BLOCK_BYTES);
          (b + 1) * BLOCK_BYTES <= end;
          b += 1
        ) {
          this.#allocated.delete(b);
        }
        return;
      case 'flush':
        this.flushes += 1;
    }
  }
}

export function createMemoryVolume(
  sizeBytes: number,
  volumeId = '5f0c1d1e-7e57-4b0a-8a54-6d656d6f7279',
): MemoryVolume {
  return new MemoryVolume(sizeBytes, volumeId);
}
