import type { Socket } from 'node:net';
import { libc } from './native.ts';

const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
/**
 * The kernel doubles it for its own bookkeeping, and takes net.core.wmem_max where that is less.
 * Bytes.
 */
const SEND_BUFFER_BYTES = 256 * 1024;

let setSocketOption: ((...args: unknown[]) => number) | null = null;

/**
 * Lets a unix socket hold more than the 208 KiB that it holds by default, which are three frames of
 * 64 KiB: both ends would have to take turns for each few of them. TCP finds out by itself what it
 * needs. Does nothing where it cannot: the socket is slower, and right all the same.
 */
export const widenSendBuffer = (socket: Socket): void => {
  const { _handle: handle } = socket as unknown as { _handle?: { readonly fd?: number } | null };
  const fd = handle?.fd ?? -1;
  if (process.platform !== 'linux' || fd < 0) return;
  try {
    setSocketOption ??= libc().func('setsockopt', 'int', [
      'int',
      'int',
      'int',
      'void *',
      'uint32_t',
    ]);
    setSocketOption(fd, SOL_SOCKET, SO_SNDBUF, Int32Array.of(SEND_BUFFER_BYTES), 4);
  } catch {
    // A C library of another name.
  }
};
