/**
 * A Volume that keeps nothing: reads give zeros, writes are forgotten. It shows what iSCSI and SCSI
 * alone cost and whether a benchmark's client is the bottleneck; it must never serve anyone's data.
 */
import type { RangeLock, Volume, VolumeError, VolumeIo } from './volume.ts';

const ZEROS = new Uint8Array(1024 * 1024);

class NullVolume implements Volume {
  readonly volumeId: string;
  readonly sizeBytes: number;
  readonly ready = true;
  readonly bytesInFlight = 0;
  readonly atomicBytes = 0;
  readonly #documents = new Map<string, Uint8Array>();

  constructor(sizeBytes: number, volumeId: string) {
    this.sizeBytes = sizeBytes;
    this.volumeId = volumeId;
  }

  submit(io: VolumeIo): void {
    if (io.kind === 'read') io.chunks = zeroChunks(io.lengthBytes);
    io.done(null);
  }

  acquire(
    range: { offsetBytes: number; lengthBytes: number; mode: 'shared' | 'exclusive' },
    granted: (lock: RangeLock) => void,
  ): void {
    granted(range);
  }

  release(): void {
    // Nothing is kept, so nothing can conflict.
  }

  allocation(
    _offsetBytes: number,
    lengthBytes: number,
    done: (error: VolumeError | null, bitmap: Uint8Array | null) => void,
  ): void {
    done(null, new Uint8Array(Math.ceil(lengthBytes / 4096 / 8)));
  }

  readDocument(name: string): Promise<Uint8Array | null> {
    return Promise.resolve(this.#documents.get(name) ?? null);
  }

  writeDocument(name: string, content: Uint8Array): Promise<void> {
    this.#documents.set(name, content.slice());
    return Promise.resolve();
  }

  onChange(): void {
    // It never changes.
  }
}

function zeroChunks(lengthBytes: number): readonly Uint8Array[] {
  if (lengthBytes <= ZEROS.length) return [ZEROS.subarray(0, lengthBytes)];
  const chunks: Uint8Array[] = [];
  for (let left = lengthBytes; left > 0; left -= ZEROS.length) {
    chunks.push(left >= ZEROS.length ? ZEROS : ZEROS.subarray(0, left));
  }
  return chunks;
}

export function createNullVolume(sizeBytes: number, volumeId: string): Volume {
  return new NullVolume(sizeBytes, volumeId);
}
