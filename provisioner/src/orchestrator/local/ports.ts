import { createServer } from 'node:net';
import { PORT_ATTEMPTS } from '../../limits.ts';

/** The port that could be bound at this moment (0 asks for any), or null when it is busy. */
export function tryPort(host: string, port: number): Promise<number | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(null));
    server.listen({ host, port, exclusive: true }, () => {
      const address = server.address();
      const bound = typeof address === 'object' && address !== null ? address.port : null;
      server.close(() => resolve(bound));
    });
  });
}

/** The first free port from `first` on (0: any free one) that is not in `taken`. */
export async function findFreePort(
  host: string,
  first: number,
  taken: ReadonlySet<number>,
): Promise<number> {
  if (first !== 0) {
    for (let port = first; port < first + PORT_ATTEMPTS && port <= 65_535; port += 1) {
      if (!taken.has(port) && (await tryPort(host, port)) !== null) return port;
    }
  }
  for (let attempt = 0; attempt < PORT_ATTEMPTS; attempt += 1) {
    const port = await tryPort(host, 0);
    if (port !== null && !taken.has(port)) return port;
  }
  throw new Error(`no free TCP port on ${host}`);
}
