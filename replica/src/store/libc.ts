import { libc as loadLibc, native } from '../runtime/index.ts';
import { systemError } from './system-error.ts';

/**
 * What node:fs lacks, called in glibc. koffi has no ssize_t, so results are int64_t. Every function
 * throws an error like those of node:fs.
 */
const LOCK_EX = 2;
const LOCK_NB = 4;
const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const RWF_NOWAIT = 8;
const ENXIO = 6;
const EAGAIN = 11;
const EOPNOTSUPP = 95;

const koffi = native();
const libc = loadLibc();
const cFlock = libc.func('flock', 'int', ['int', 'int']);
const cFallocate = libc.func('fallocate', 'int', ['int', 'int', 'int64_t', 'int64_t']);
const cLseek = libc.func('lseek', 'int64_t', ['int', 'int64_t', 'int']);
const cPreadv2 = libc.func('preadv2', 'int64_t', ['int', 'void *', 'int', 'int64_t', 'int']);

/** One struct iovec, reused: base address, length. */
const iovec = new BigUint64Array(2);

/** False when another open file description holds the lock. */
export function flockExclusive(fd: number): boolean {
  if (cFlock(fd, LOCK_EX | LOCK_NB) === 0) return true;
  const errno = koffi.errno();
  if (errno === EAGAIN) return false;
  throw systemError('flock', errno);
}

/** Does nothing where the file system cannot. The file keeps its size. */
export function reserve(fd: number, offsetBytes: number, lengthBytes: number): void {
  if (cFallocate(fd, FALLOC_FL_KEEP_SIZE, offsetBytes, lengthBytes) === 0) return;
  const errno = koffi.errno();
  if (errno !== EOPNOTSUPP) throw systemError('fallocate', errno);
}

/** False when the file system cannot punch holes. */
export function punchHole(fd: number, offsetBytes: number, lengthBytes: number): boolean {
  const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  if (cFallocate(fd, mode, offsetBytes, lengthBytes) === 0) return true;
  const errno = koffi.errno();
  if (errno === EOPNOTSUPP) return false;
  throw systemError('fallocate', errno);
}

/** First byte at or after the offset that is data; null when only a hole follows. */
export function seekData(fd: number, offsetBytes: number): number | null {
  return seek(fd, offsetBytes, SEEK_DATA);
}

/**
 * First byte at or after the offset that is in a hole; the end of the file counts as one. Null past
 * the end.
 */
export function seekHole(fd: number, offsetBytes: number): number | null {
  return seek(fd, offsetBytes, SEEK_HOLE);
}

function seek(fd: number, offsetBytes: number, whence: number): number | null {
  const found = cLseek(fd, offsetBytes, whence);
  if (found >= 0) return found;
  const errno = koffi.errno();
  if (errno === ENXIO) return null;
  throw systemError('lseek', errno);
}

/** Nothing of what was asked for is in the page cache. */
export const WOULD_BLOCK = -1;
/** The file system does not know RWF_NOWAIT (tmpfs, most network file systems). */
export const NOT_SUPPORTED = -2;

/**
 * Reads what the page cache holds, possibly less than asked for; WOULD_BLOCK or NOT_SUPPORTED
 * otherwise.
 */
export function readCached(
  fd: number,
  into: Uint8Array,
  intoOffset: number,
  lengthBytes: number,
  offsetBytes: number,
): number {
  // Memory of this size is never on V8's heap, so the address holds until the call returns.
  iovec[0] = koffi.address(into) + BigInt(intoOffset);
  iovec[1] = BigInt(lengthBytes);
  const count = cPreadv2(fd, iovec, 1, offsetBytes, RWF_NOWAIT);
  if (count >= 0) return count;
  const errno = koffi.errno();
  if (errno === EAGAIN) return WOULD_BLOCK;
  if (errno === EOPNOTSUPP) return NOT_SUPPORTED;
  throw systemError('preadv2', errno);
}
