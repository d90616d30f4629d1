import type { AddressInfo, Server, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { once } from 'node:events';

/**
 * A wire to a TCP port that can be cut without anybody noticing: connections stay open, and nothing
 * arrives any more, in either direction.
 */
export class TcpRelay {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #cut = false;

  private constructor(to: string) {
    const [host = '', port = ''] = to.split(':');
    this.#server = createServer((near) => {
      const far = connect({ host, port: Number(port) });
      this.#join(near, far);
      this.#join(far, near);
      if (this.#cut) this.#pause();
    });
  }

  static async to(address: string): Promise<TcpRelay> {
    const relay = new TcpRelay(address);
    relay.#server.listen(0, '127.0.0.1');
    await once(relay.#server, 'listening');
    return relay;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  cut(): void {
    this.#cut = true;
    this.#pause();
  }

  heal(): void {
    this.#cut = false;
    for (const socket of this.#sockets) socket.resume();
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #pause(): void {
    for (const socket of this.#sockets) socket.pause();
  }

  #join(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    from.setNoDelay(true);
    from.on('data', (chunk: Buffer) => to.write(chunk));
    from.on('error', () => undefined);
    from.on('close', () => {
      this.#sockets.delete(from);
      to.destroy();
    });
  }
}
