import { type FileHandle, open } from 'node:fs/promises';

const CHUNK_BYTES = 4 * 1024 * 1024;

/** Compares the first `sizeBytes` bytes of files; returns what differs first, or null. */
export async function firstDifference(
  paths: readonly string[],
  sizeBytes: number,
): Promise<string | null> {
  const files = await Promise.all(paths.map((path) => open(path, 'r')));
  try {
    for (let offset = 0; offset < sizeBytes; offset += CHUNK_BYTES) {
      const length = Math.min(CHUNK_BYTES, sizeBytes - offset);
      const [first, ...others] = await Promise.all(
        files.map((file) => readExactly(file, offset, length)),
      );
      for (const [index, other] of others.entries()) {
        if (first!.equals(other)) continue;
        const at = first!.findIndex((byte, place) => byte !== other[place]);
        return `${paths[index + 1] ?? ''} differs from ${paths[0] ?? ''} at byte ${offset + at}`;
      }
    }
    return null;
  } finally {
    await Promise.all(files.map((file) => file.close()));
  }
}

async function readExactly(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  const { bytesRead } = await file.read(buffer, 0, length, offset);
  // A file that ends early is not an image of the volume: zeroes would hide it.
  return buffer.subarray(0, bytesRead);
}
