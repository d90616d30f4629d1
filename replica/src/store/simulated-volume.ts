import { crc32 } from '../protocol/checksum.ts';
import { BLOCK_BYTES, EXTENT_BYTES, SECTOR_BYTES, epoch, seq, session } from '../protocol/types.ts';
import type { MembershipRecord, Version } from '../protocol/types.ts';
import { openStoreOn } from './open.ts';
import { SimulatedDisk } from './simulated-disk.ts';
import type { Store, StoreWrite } from './types.ts';

/** mulberry32: small, seeded, good enough for tests. Gives 0 <= x < 1. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

/** crc32 of the segments that result from cutting the range at multiples of the block size. */
export function segmentChecksums(offsetBytes: number, content: Uint8Array): Buffer {
  const checksums: number[] = [];
  for (let at = 0; at < content.length;) {
    const bytes = Math.min(BLOCK_BYTES - ((offsetBytes + at) % BLOCK_BYTES), content.length - at);
    checksums.push(crc32(content.subarray(at, at + bytes)));
    at += bytes;
  }
  const table = Buffer.alloc(4 * checksums.length);
  checksums.forEach((checksum, index) => table.writeUInt32LE(checksum, 4 * index));
  return table;
}

/** A payload whose sectors all carry the number; cut into chunks at arbitrary places. */
export function numberedSectors(value: number, lengthBytes: number): Buffer {
  const content = Buffer.alloc(lengthBytes);
  for (let at = 0; at < lengthBytes; at += SECTOR_BYTES) {
    content.writeUInt32LE(value, at);
    content.writeUInt32LE(value, at + SECTOR_BYTES - 4);
  }
  return content;
}

export function makeWrite(
  version: Version,
  offsetBytes: number,
  content: Uint8Array,
  cuts: readonly number[] = [],
  kind: StoreWrite['kind'] = 'write',
): StoreWrite {
  const edges = [0, ...cuts.filter((cut) => cut > 0 && cut < content.length), content.length];
  const chunks = edges.slice(1).map((end, index) => content.subarray(edges[index], end));
  return {
    kind,
    version,
    offsetBytes,
    lengthBytes: content.length,
    chunks,
    checksums: segmentChecksums(offsetBytes, content),
  };
}

export function versionOf(epochNumber: number, seqNumber: number): Version {
  return { epoch: epoch(epochNumber), seq: seq(seqNumber) };
}

/** One replica on a simulated disk, with the events that its session sees. */
export class SimulatedReplica {
  readonly disk: SimulatedDisk;
  readonly replicaId: string;
  sizeBytes: number;
  #store: Store | null = null;
  readonly #ticks = new Map<() => void, number>();
  #life = 0;
  appliedSeq = 0;
  failure: string | null = null;
  /** Of what the copy is made a clone, when it is opened first. */
  cloneFrom: { readonly directory: string; readonly layer: number } | null = null;
  readonly warnings: string[] = [];

  constructor(replicaId: string, sizeBytes: number, random: () => number) {
    this.replicaId = replicaId;
    this.sizeBytes = sizeBytes;
    this.disk = new SimulatedDisk(random);
  }

  get store(): Store {
    if (this.#store === null) throw new Error('The replica is not open.');
    return this.#store;
  }

  async open(): Promise<void> {
    this.failure = null;
    this.#ticks.clear();
    this.#life += 1;
    const life = this.#life;
    this.#store = await openStoreOn(
      {
        disk: this.disk,
        every: (intervalMs, tick) => {
          this.#ticks.set(tick, intervalMs);
          return () => this.#ticks.delete(tick);
        },
        // A process that was killed does nothing more.
        later: (callback) => {
          setImmediate(() => {
            if (life === this.#life) callback();
          });
        },
      },
      {
        directory: this.disk.directory,
        create: {
          volumeId: 'volume',
          replicaId: this.replicaId,
          role: 'data',
          sizeBytes: this.sizeBytes,
        },
        warn: (message) => this.warnings.push(message),
        cloneFrom: this.cloneFrom,
      },
    );
    this.#store.setEvents({
      applied: (applied) => (this.appliedSeq = applied),
      failed: (error) => (this.failure = error.code),
    });
  }

  /** A moment passes: what is done in the background goes on. */
  moment(): void {
    for (const [tick, intervalMs] of [...this.#ticks]) if (intervalMs < 1000) tick();
  }

  /** Time passes: what rests is cleared. */
  rest(ticks: number): void {
    for (let turn = 0; turn < ticks; turn += 1) for (const tick of [...this.#ticks.keys()]) tick();
  }

  async promise(epochNumber: number): Promise<void> {
    this.appliedSeq = 0;
    await this.store.promise(epoch(epochNumber), session(epochNumber));
  }

  async join(epochNumber: number, configSeq: number, inSync: readonly string[]): Promise<void> {
    const record: MembershipRecord = {
      volumeId: 'volume',
      epoch: epoch(epochNumber),
      configSeq,
      inSync,
      voters: inSync,
    };
    await this.store.putRecord(record);
  }

  async flush(): Promise<string | null> {
    return new Promise((resolve) => this.store.flush((error) => resolve(error?.code ?? null)));
  }

  /** The bytes; or the code of the error. The checksums that come along are checked. */
  async read(offsetBytes: number, lengthBytes: number): Promise<Buffer | string> {
    const into = Buffer.alloc(lengthBytes, 0xee);
    const blocks =
      Math.ceil((offsetBytes + lengthBytes) / BLOCK_BYTES) - Math.floor(offsetBytes / BLOCK_BYTES);
    const checksums = Buffer.alloc(4 * blocks);
    return new Promise((resolve, reject) => {
      this.store.read(offsetBytes, into, checksums, (error) => {
        if (error !== null) resolve(error.code);
        else if (checksums.equals(segmentChecksums(offsetBytes, into))) resolve(into);
        else reject(new Error('The checksums that were given are not those of the bytes.'));
      });
    });
  }

  /** The version of an extent as text, 'unknown' where it is. */
  versionText(extent: number): string {
    const bytes = Buffer.from(this.store.extentVersions(extent, 1));
    if (bytes.every((byte) => byte === 0xff)) return 'unknown';
    return `${bytes.readUIntLE(0, 6)}/${bytes.readUIntLE(8, 6)}`;
  }

  get extents(): number {
    return Math.ceil(this.sizeBytes / EXTENT_BYTES);
  }

  async close(): Promise<void> {
    await this.store.close();
    this.#store = null;
  }

  killProcess(): void {
    this.#life += 1;
    this.disk.killProcess();
    this.#store = null;
  }

  losePower(): void {
    this.#life += 1;
    this.disk.losePower();
    this.#store = null;
  }
}
