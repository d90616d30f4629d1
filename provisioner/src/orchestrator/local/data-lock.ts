import { statSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';

/** Somebody else works in the data directory. */
export class DataDirectoryBusyError extends Error {
  override readonly name = 'DataDirectoryBusyError';
}

/**
 * One system per data directory. The lock is a name in the kernel's abstract socket namespace made
 * of the directory's device and inode: it is gone the moment its holder dies, however that happens,
 * and needs no file to clean up. (Replica directories have a lock of their own besides.)
 */
export async function lockDataDirectory(directory: string): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(
        error.code === 'EADDRINUSE'
          ? new DataDirectoryBusyError(`another system runs in ${directory}`, { cause: error })
          : error,
      );
    });
    server.listen(lockName(directory), resolve);
  });
  server.unref();
  return server;
}

/** Whether a system holds the lock of the directory at this moment. */
export function isDataDirectoryLocked(directory: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path: lockName(directory) });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

function lockName(directory: string): string {
  const { dev, ino } = statSync(directory, { bigint: true });
  return `\0openebs/${dev}/${ino}`;
}
