/**
 * koffi calls functions of C libraries. It is loaded as CommonJS, which is the lightest way, and
 * when it is first needed.
 */
export interface Native {
  load(path: string): Library;
  address(memory: Uint8Array): bigint;
  errno(): number;
}

export interface Library {
  func(name: string, result: string, args: readonly string[]): (...args: unknown[]) => number;
}

const LIBC = 'libc.so.6';

let loaded: Native | null = null;

/** Throws where koffi has nothing for this platform. */
export const native = (): Native =>
  (loaded ??= process.getBuiltinModule('node:module').createRequire(import.meta.url)(
    'koffi',
  ) as Native);

/** glibc. Throws on a system that has another C library. */
export const libc = (): Library => native().load(LIBC);
