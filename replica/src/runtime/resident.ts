import { fs } from './builtin.ts';

const MADV_DONTNEED = 4;
const LIBC = 'libc.so.6';
const CHECK_MS = 15_000;

interface Koffi {
  load(path: string): {
    func(name: string, result: string, args: readonly string[]): (...args: unknown[]) => number;
  };
}

interface Mapping {
  readonly start: bigint;
  readonly lengthBytes: bigint;
}

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
  const { createRequire } = process.getBuiltinModule('node:module');
  try {
    const koffi = createRequire(import.meta.url)('koffi') as Koffi;
    const libc = koffi.load(LIBC);
    const madvise = libc.func('madvise', 'int', ['uintptr_t', 'size_t', 'int']);
    const mallocTrim = libc.func('malloc_trim', 'int', ['size_t']);
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
