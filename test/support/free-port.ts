import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';

/**
 * A port of the loopback interface that was free a moment ago, for a daemon whose address has to be
 * known before it starts. Where that is not so, let the daemon choose: port 0.
 */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
