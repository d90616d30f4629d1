import { connect, type NetConnectOpts, type Socket } from 'node:net';
import type { Random } from '../support/random.ts';

/** One connection that misbehaves, from its opening to its end. */
export interface Attack {
  readonly address: NetConnectOpts;
  /**
   * May first do what is right, such as a login. Resolves to what to send then; null when the peer
   * would not have the opening.
   */
  readonly messages: (socket: Socket) => Promise<readonly Buffer[] | null>;
}

export interface Tally {
  /** Messages sent. */
  messages: number;
  connections: number;
  /** Connections whose opening was refused. */
  refused: number;
  /** Connections that the peer did not end within the time: each is a failure. */
  stuck: number;
}

/** The peer ends a connection that was ended on our side. Milliseconds. */
const END_WITHIN_MS = 10_000;

export const newTally = (): Tally => ({ messages: 0, connections: 0, refused: 0, stuck: 0 });

/**
 * Attacks one after the other on `width` connections at a time, until so many messages were sent.
 */
export async function attackFor(
  options: { readonly messages: number; readonly width: number; readonly random: Random },
  next: () => Attack,
): Promise<Tally> {
  const tally = newTally();
  const worker = async (): Promise<void> => {
    while (tally.messages < options.messages) {
      await runAttack(next(), tally, options.random);
    }
  };
  await Promise.all(Array.from({ length: options.width }, worker));
  return tally;
}

export async function runAttack(attack: Attack, tally: Tally, random: Random): Promise<void> {
  const socket = connect({ ...attack.address, noDelay: true } as NetConnectOpts);
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  // Whatever the peer does to the connection is its right.
  socket.on('error', () => undefined);
  tally.connections++;
  const messages = await attack.messages(socket);
  if (messages === null) tally.refused++;
  socket.on('data', () => undefined);
  tally.messages += messages?.length ?? 0;
  for (const piece of pieces(messages ?? [], random)) {
    if (socket.destroyed) break;
    socket.write(piece);
    if (random.chance(0.02)) await new Promise((resolve) => setImmediate(resolve));
  }
  if (!random.chance(0.1)) socket.end();
  else if ('path' in attack.address) socket.destroy();
  else socket.resetAndDestroy();
  const late = new Promise<'late'>((resolve) =>
    setTimeout(() => resolve('late'), END_WITHIN_MS).unref(),
  );
  if ((await Promise.race([closed, late])) === 'late') {
    tally.stuck++;
    socket.destroy();
  }
}

/** Mostly all at once; sometimes cut where no message ends. */
function pieces(messages: readonly Buffer[], random: Random): Buffer[] {
  const all = Buffer.concat(messages);
  if (random.chance(0.7)) return [all];
  const cuts: Buffer[] = [];
  for (let at = 0; at < all.length;) {
    const next = Math.min(all.length, at + random.between(1, random.chance(0.5) ? 7 : 4096));
    cuts.push(all.subarray(at, next));
    at = next;
    if (cuts.length > 64) {
      cuts.push(all.subarray(at));
      break;
    }
  }
  return cuts;
}
