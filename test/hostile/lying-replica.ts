import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Random } from '../support/random.ts';

/** Of the pieces that a replica sends, when it lies. */
const LIES = 0.05;

/**
 * Stands before a replica on a unix socket: what targets say goes through, and what the replica
 * answers is changed now and then: bits, cuts, insertions, repetitions.
 */
export class LyingReplica {
  readonly path: string;
  /** Answers that were changed. */
  lies = 0;
  honest = false;
  readonly #behind: string;
  readonly #random: Random;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor({ path, behind, random }: { path: string; behind: string; random: Random }) {
    this.path = path;
    this.#behind = behind;
    this.#random = random;
    this.#server = createServer((socket) => this.#accept(socket)).listen(path);
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(target: Socket): void {
    const replica = connect({ path: this.#behind });
    for (const [one, other] of [
      [target, replica],
      [replica, target],
    ] as const) {
      this.#sockets.add(one);
      one.on('error', () => undefined);
      one.on('close', () => {
        this.#sockets.delete(one);
        other.destroy();
      });
    }
    target.on('data', (piece: Buffer) => void replica.write(piece));
    replica.on('data', (piece: Buffer) => void target.write(this.#told(piece)));
  }

  #told(piece: Buffer): Buffer {
    if (this.honest || !this.#random.chance(LIES)) return piece;
    this.lies++;
    const at = this.#random.below(piece.length);
    switch (this.#random.below(4)) {
      case 0: {
        const changed = Buffer.from(piece);
        changed.writeUInt8(changed.readUInt8(at) ^ (1 << this.#random.below(8)), at);
        return changed;
      }
      case 1:
        return piece.subarray(0, at);
      case 2: {
        const noise = Buffer.alloc(this.#random.between(1, 64));
        this.#random.fill(noise);
        return Buffer.concat([piece.subarray(0, at), noise, piece.subarray(at)]);
      }
      default:
        return Buffer.concat([piece, piece]);
    }
  }
}
