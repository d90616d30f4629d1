import {
  crypto,
  net,
  parseAddress,
  path,
  systemClock,
  widenSendBuffer,
} from '@openebs/replica/runtime';
import { openStore } from '@openebs/replica/store';
import type { Environment } from './environment.ts';
import { LocalLink } from './local-link.ts';
import type { SlabPool } from '@openebs/replica/runtime';
import { SocketLink } from './socket-link.ts';

const DIRECTORY_PREFIX = 'dir:';
const KEEP_ALIVE_DELAY_MS = 10_000;

export interface NodeEnvironmentOptions {
  readonly volumeId: string;
  readonly targetName: string;
  readonly sizeBytes: number;
  readonly pool: SlabPool;
  readonly log: Environment['log'];
}

/**
 * What was typed for --replica, checked: `host:port`, `unix:/path` or `dir:/path`. Throws
 * AddressError or RangeError.
 */
export const parseReplicaAddress = (text: string): string => {
  if (!text.startsWith(DIRECTORY_PREFIX)) {
    parseAddress(text);
    return text;
  }
  const directory = text.slice(DIRECTORY_PREFIX.length);
  if (directory === '') throw new RangeError('dir: needs a directory, as in dir:/var/lib/volume');
  return `${DIRECTORY_PREFIX}${path.resolve(directory)}`;
};

/** Real clock, real sockets, real stores. */
export const nodeEnvironment = (options: NodeEnvironmentOptions): Environment => {
  const { volumeId, targetName, sizeBytes, pool, log } = options;
  const defer = (callback: () => void): void => process.nextTick(callback);
  return {
    ...systemClock,
    defer,
    // Sessions must not repeat: not from the seed that many processes might share.
    random: () => crypto.randomBytes(6).readUIntBE(0, 6) / 2 ** 48,
    dial: (address, events) => {
      if (address.startsWith(DIRECTORY_PREFIX)) {
        const directory = address.slice(DIRECTORY_PREFIX.length);
        const open = () =>
          openStore({
            directory,
            warn: (message) => log('warn', { directory }, message),
            create: { volumeId, replicaId: crypto.randomUUID(), role: 'data', sizeBytes },
          });
        return new LocalLink({ open, events, pool, defer });
      }
      const where = parseAddress(address);
      return new SocketLink({
        connect: (receiver) => {
          const to =
            where.kind === 'unix' ? { path: where.path } : { host: where.host, port: where.port };
          const socket = net.connect({ ...to, onread: receiver.onread });
          socket.setKeepAlive(true, KEEP_ALIVE_DELAY_MS);
          if (where.kind === 'unix') socket.once('connect', () => widenSendBuffer(socket));
          return socket;
        },
        events,
        pool,
        volumeId,
        targetName,
      });
    },
    log,
  };
};
