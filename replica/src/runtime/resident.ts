import { fs } from './builtin.ts';
import { libc } from './native.ts';

const MADV_DONTNEED = 4;
const CHECK_MS = 15_000;
/** mallopt(3) */
const M_MMAP_THRESHOLD = -3;
const M_ARENA_MAX = -8;
/** Memory of this size goes back to the system when it is freed. Bytes. */
const MMAP_THRESHOLD_BYTES = 64 * 1024;
/** Heaps of malloc: of the thread that does the work, and of all that help it now and then. */
const ARENAS = 2;

interface Mapping {
  readonly start: bigint;
  readonly lengthBytes: bigint;
}

/**
 * To be called first. A daemon's memory then follows from what it has under way, not from what it
 * has been through:
 *
 * - V8's space for young objects stays at the size that it has now, 1 or 2 MiB, instead of growing
 *   to 48 MiB, of which all is touched in turn. Few objects outlive an operation, so collecting it
 *   more often costs nothing that could be measured, and it fits the processor's cache.
 * - By default malloc raises the size from which it gives memory back to the largest that was ever
 *   freed; the holes that buffers of 1 MiB leave are kept then.
 */
export const boundMemory = (): void => {
  process.getBuiltinModule('node:v8').setFlagsFromString('--semi-space-growth-factor=1');
  if (process.platform !== 'linux') return;
  try {
    const mallopt = libc().func('mallopt', 'int', ['int', 'int']);
    mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES);
    mallopt(M_ARENA_MAX, ARENAS);
  } catch {
    // A C library of another name: the daemon is larger, and right all the same.
  }
};

/**
 * Parts of a file in memory that cannot be written and of which no page differs from the file:
 * proc(5), smaps.
 */
const cleanMappings = (smaps: string, file: string): Mapping[] => {
  const mappings: Mapping[] = [];
  for (const entry of smaps.split(/\n(?=[0-9a-f]+-[0-9a-f]+ )/)) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) r-[x-]p \S+ \S+ \d+ +(\/.*)\n/.exec(entry);
    if (match?.[3] !== file) continue;
    if (!/^Anonymous: +0 kB$/m.test(entry) || !/^Swap: +0 kB$/m.test(entry)) continue;
    const start = BigInt(`0x${match[1] ?? '0'}`);
    mappings.push({ start, lengthBytes: BigInt(`0x${match[2] ?? '0'}`) - start });
  }
  return mappings;
};

/**
 * Gives back the resident pages of Node's own executable, and what malloc holds without need.
 * Starting a daemon and compiling its hot path touch 40 MB of the executable that an idle daemon
 * never uses again. Those pages are equal to the file: what is needed comes back from the page
 * cache by minor faults, a millisecond for all of it. Does nothing where that is not possible.
 */
export const releasePages = (): void => {
  if (process.platform !== 'linux') return;
  try {
    const library = libc();
    const madvise = library.func('madvise', 'int', ['uintptr_t', 'size_t', 'int']);
    const mallocTrim = library.func('malloc_trim', 'int', ['size_t']);
    const smaps = fs.readFileSync('/proc/self/smaps', 'utf8');
    for (const { start, lengthBytes } of cleanMappings(smaps, fs.realpathSync(process.execPath))) {
      madvise(start, lengthBytes, MADV_DONTNEED);
    }
    mallocTrim(0);
  } catch {
    // No /proc, or a C library of another name: the daemon is larger, and right all the same.
  }
};

/**
 * What a burst of work left on the heap: V8 collects when it allocates, which an idle daemon does
 * not.
 */
const collectGarbage = (): void => {
  process.getBuiltinModule('node:v8').setFlagsFromString('--expose-gc');
  const collect = process.getBuiltinModule('node:vm').runInNewContext('gc') as () => void;
  collect();
};

/**
 * Makes the daemon small once now, and again whenever it has come to rest: `operations` has changed
 * since the last time, but not during the last interval.
 */
export const staySmallWhenIdle = (operations: () => number): void => {
  releasePages();
  let released = operations();
  let last = released;
  setInterval(() => {
    const current = operations();
    if (current === last && current !== released) {
      released = current;
      collectGarbage();
      releasePages();
    }
    last = current;
  }, CHECK_MS).unref();
};
