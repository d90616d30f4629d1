/**
 * Node's own modules for the daemons, taken without the ES module loader.
 *
 * `import http from 'node:http'` enumerates every lazy export of the module, which loads undici,
 * http2 and the web streams: 16 MB of resident memory that a daemon never uses.
 * `process.getBuiltinModule` gives the same object and evaluates nothing. The data-plane packages
 * therefore take http, crypto, zlib, fs and net from here.
 */
export const fs = process.getBuiltinModule('node:fs');
export const net = process.getBuiltinModule('node:net');
export const http = process.getBuiltinModule('node:http');
export const zlib = process.getBuiltinModule('node:zlib');
export const path = process.getBuiltinModule('node:path');

/**
 * Loaded on first use: it costs 3 MB, which a daemon without CHAP and without a new replica never
 * needs.
 */
export const crypto: typeof import('node:crypto') = new Proxy({} as typeof import('node:crypto'), {
  get: (_, name) => Reflect.get(process.getBuiltinModule('node:crypto'), name) as unknown,
});
