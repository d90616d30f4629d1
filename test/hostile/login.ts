import type { Socket } from 'node:net';
import { Login, type Negotiated } from '../initiator/login.ts';
import { encodePdu, NO_DIGESTS, PduReader } from '../initiator/pdu.ts';
import { garbage } from './mutation.ts';
import type { Random } from '../support/random.ts';

/**
 * A rightful login on a socket that will be misused; null when it was refused or the connection
 * ended.
 */
export function logIn(
  socket: Socket,
  options: { readonly targetName: string; readonly random: Random },
): Promise<Negotiated | null> {
  const login = new Login({
    initiatorName: `iqn.2016-09.com.openebs:hostile${options.random.below(4)}`,
    targetName: options.targetName,
    isid: Buffer.concat([Buffer.from([0x80]), garbage(options.random, 5)]),
    immediateData: options.random.chance(0.8),
    initialR2t: options.random.chance(0.5),
  });
  const reader = new PduReader();
  return new Promise((resolve) => {
    const onData = (chunk: Buffer): void => {
      try {
        reader.feed(chunk, (pdu) => {
          const step = login.step(pdu);
          if (step.kind === 'done') finish(step.negotiated);
          else send(step);
        });
      } catch {
        finish(null);
      }
    };
    const onClose = (): void => finish(null);
    const finish = (negotiated: Negotiated | null): void => {
      socket.off('data', onData);
      socket.off('close', onClose);
      resolve(negotiated);
    };
    const send = ({ header, data }: { header: Buffer; data: Buffer }): void => {
      socket.write(Buffer.concat(encodePdu(header, data, NO_DIGESTS)));
    };
    socket.on('data', onData);
    socket.on('close', onClose);
    const first = login.start();
    if (first.kind === 'send') send(first);
  });
}
