export interface TarEntry {
  /** Relative, with slashes; ASCII, at most 100 bytes, or 155 and 100 around a slash. */
  readonly path: string;
  readonly body: Buffer;
}

const BLOCK_BYTES = 512;
const NAME_BYTES = 100;
const PREFIX_BYTES = 155;

/** An archive of files, POSIX.1-1988 ustar, as every tar reads it. */
export function tarOf(entries: readonly TarEntry[], modifiedAt: Date): Buffer {
  const parts = entries.flatMap(({ path, body }) => [
    headerOf(path, body.length, modifiedAt),
    body,
    Buffer.alloc((BLOCK_BYTES - (body.length % BLOCK_BYTES)) % BLOCK_BYTES),
  ]);
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK_BYTES)]);
}

function headerOf(path: string, bytes: number, modifiedAt: Date): Buffer {
  const { prefix, name } = split(path);
  const header = Buffer.alloc(BLOCK_BYTES);
  const octal = (value: number, digits: number): string => value.toString(8).padStart(digits, '0');
  header.write(name, 0);
  header.write(octal(0o600, 7), 100);
  header.write(octal(0, 7), 108);
  header.write(octal(0, 7), 116);
  header.write(octal(bytes, 11), 124);
  header.write(octal(Math.floor(modifiedAt.getTime() / 1000), 11), 136);
  header.write('0', 156);
  header.write('ustar', 257);
  header.write('00', 263);
  header.write(prefix, 345);
  // The checksum is taken with spaces in its own place.
  header.fill(' ', 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${octal(sum, 6)}\0`, 148);
  return header;
}

function split(path: string): { prefix: string; name: string } {
  if (path.length <= NAME_BYTES) return { prefix: '', name: path };
  const slash = path.indexOf('/', path.length - NAME_BYTES - 1);
  if (slash < 0 || slash > PREFIX_BYTES) throw new RangeError(`${path} is too long for an archive`);
  return { prefix: path.slice(0, slash), name: path.slice(slash + 1) };
}
