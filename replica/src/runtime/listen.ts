import type { Server, Socket } from 'node:net';
import type { Address } from './address.ts';
import { formatAddress } from './address.ts';
import { fs, net, path } from './builtin.ts';
import { StartError } from './start-error.ts';

/**
 * Listens and resolves with the real address: the port that was given where 0 was asked for. A unix
 * socket that a dead process left behind is removed, one that somebody listens on is not. Only the
 * owner may connect to a unix socket.
 */
export const listen = async (server: Server, address: Address): Promise<Address> => {
  if (address.kind === 'unix') await removeStaleSocket(address.path);
  await bind(server, address);
  const bound = server.address();
  if (address.kind === 'unix' || bound === null || typeof bound === 'string') return address;
  return { kind: 'tcp', host: address.host, port: bound.port };
};

const bind = (server: Server, address: Address): Promise<void> =>
  new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException): void => reject(explain(error, address));
    server.once('error', failed);
    const listening = (): void => {
      server.off('error', failed);
      resolve();
    };
    if (address.kind === 'tcp') {
      server.listen({ host: address.host, port: address.port }, listening);
      return;
    }
    // The socket file is made inside of listen(): no moment in which others could connect.
    const umask = process.umask(0o177);
    try {
      server.listen({ path: address.path }, listening);
    } finally {
      process.umask(umask);
    }
  });

const removeStaleSocket = async (socketPath: string): Promise<void> => {
  const stat = fs.lstatSync(socketPath, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isSocket()) {
    throw new StartError(
      'ADDRESS_IN_USE',
      `cannot listen on unix:${socketPath}: a file that is no socket is there; choose ` +
        'another path, or remove it if nobody needs it',
    );
  }
  if (await answers(socketPath)) {
    throw new StartError(
      'ADDRESS_IN_USE',
      `cannot listen on unix:${socketPath}: another process listens there; stop it or choose ` +
        'another path',
    );
  }
  fs.rmSync(socketPath, { force: true });
};

const answers = (socketPath: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket: Socket = net.connect({ path: socketPath });
    const finish = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => finish(true));
    // Only a refused connection proves that nobody is there; a full backlog (EAGAIN) or missing
    // rights do not.
    socket.once('error', (error: NodeJS.ErrnoException) => {
      finish(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT');
    });
  });

const explain = (error: NodeJS.ErrnoException, address: Address): StartError => {
  const where = formatAddress(address);
  const options = { cause: error };
  switch (error.code) {
    case 'EADDRINUSE':
      return new StartError(
        'ADDRESS_IN_USE',
        `cannot listen on ${where}: another process uses it; stop that process or choose ` +
          'another address (port 0 takes a free one)',
        options,
      );
    case 'ENOENT':
    case 'EACCES':
    case 'EPERM':
      // libuv tells EACCES also where the directory of a unix socket is missing.
      if (address.kind === 'unix' && !fs.existsSync(path.dirname(address.path))) {
        return new StartError(
          'ADDRESS_UNKNOWN',
          `cannot listen on ${where}: its directory does not exist; make it first`,
          options,
        );
      }
      return new StartError(
        'ADDRESS_FORBIDDEN',
        address.kind === 'tcp'
          ? `cannot listen on ${where}: this user may not; choose a port from 1024 on`
          : `cannot listen on ${where}: this user may not write to the directory; change its ` +
              'owner or choose another path',
        options,
      );
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new StartError(
        'ADDRESS_UNKNOWN',
        `cannot listen on ${where}: this host has no such address; use 127.0.0.1, 0.0.0.0 or ` +
          'an address that "ip address" shows',
        options,
      );
    default:
      return new StartError(
        'ADDRESS_UNKNOWN',
        `cannot listen on ${where}: ${error.message}`,
        options,
      );
  }
};
