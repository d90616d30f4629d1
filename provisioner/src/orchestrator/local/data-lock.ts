import { statSync } from 'node:fs';
import { createServer, type Server } from 'node:net';

/** Somebody else works in the data directory. */
export class DataDirectoryBusyError extends Error {
  override readonly name = 'DataDirectoryBusyError';
}

/**
 * One system per data directory. The lock is a name in the kernel's abstract socket namespace made of the directory's
 * device and inode: it is gone the moment its holder dies, however that happens, and needs no file to clean up.
 * (Replica directories have a lock of their own besides.)
 */
export async function lockDataDirectory(directory: string): Promise<Server> {
  const { dev, ino } = statSync(directory, { bigint: true });
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(
        error.code === 'EADDRINUSE'
          ? new DataDirectoryBusyError(`another system runs in ${directory}`, { cause: error })
          : error,
      );
    });
    server.listen(`\0openebs/${dev}/${ino}`, resolve);
  });
  server.unref();
  return server;
}
