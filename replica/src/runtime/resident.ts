import { fs } from './builtin.ts';

const MADV_DONTNEED = 4;
const LIBC = 'libc.so.6';
const CHECK_MS = 15_000;

interface Koffi {
  load(path: string): {
    func(name: string, result: string, args: readonly string[]): (...args: unknown[]) => number;
  };
}

/**
 * Gives back the resident pages of Node's own machine code. Starting a daemon and compiling its hot path touch 26 MB of it that an
 * idle daemon never runs again. The pages are a clean mapping of a file: what is needed comes back from the page cache
 * by a minor fault, at less than a millisecond for all of it. Does nothing where that is not possible.
 */
export const releaseCodePages = (): void => {
  if (process.platform !== 'linux') return;
  const { createRequire } = process.getBuiltinModule('node:module');
  try {
    const executable = fs.realpathSync(process.execPath);
    const koffi = createRequire(import.meta.url)('koffi') as Koffi;
    const madvise = koffi.load(LIBC).func('madvise', 'int', ['uintptr_t', 'size_t', 'int']);
    for (const line of fs.readFileSync('/proc/self/maps', 'utf8').split('\n')) {
      // Only what can be executed and not written, so that no page differs from the file.
      const match = /^([0-9a-f]+)-([0-9a-f]+) r-xp \S+ \S+ \d+ +(\/.*)$/.exec(line);
      if (match?.[3] !== executable) continue;
      const [start, end] = [match[1], match[2]].map((hex) => BigInt(`0x${hex ?? '0'}`));
      if (start !== undefined && end !== undefined) madvise(start, end - start, MADV_DONTNEED);
    }
  } catch {
    // No /proc, or a C library of another name: the daemon is larger, and right all the same.
  }
};

/**
 * Does it once now, and again whenever the daemon has come to rest: `operations` has changed since the last time, but not
 * during the last interval.
 */
export const releaseCodePagesWhenIdle = (operations: () => number): void => {
  releaseCodePages();
  let released = operations();
  let last = released;
  setInterval(() => {
    const current = operations();
    if (current === last && current !== released) {
      released = current;
      releaseCodePages();
    }
    last = current;
  }, CHECK_MS).unref();
};
