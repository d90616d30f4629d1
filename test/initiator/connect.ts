import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import type { LoginOptions } from './login.ts';
import { DEFAULT_RECEIVE_BYTES, Login } from './login.ts';
import type { Pdu } from './pdu.ts';
import { encodePdu, NO_DIGESTS, PduReader } from './pdu.ts';
import { Session, SessionLost } from './session.ts';

export interface SessionOptions extends Omit<LoginOptions, 'isid' | 'initiatorName'> {
  readonly host: string;
  readonly port: number;
  readonly initiatorName?: string;
  readonly isid?: Buffer;
  /** A command without an answer for so long ends the session. Milliseconds. */
  readonly timeoutMs?: number;
  /** Connecting and logging in; without it as long as a command. Milliseconds. */
  readonly loginTimeoutMs?: number;
}

const DEFAULT_TIMEOUT_MS = 60_000;

/** Connects and logs in. */
export function openSession(options: SessionOptions): Promise<Session> {
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const loginMs = options.loginTimeoutMs ?? timeoutMs;
  const login = new Login({
    ...options,
    initiatorName: options.initiatorName ?? 'iqn.2016-09.com.openebs:test',
    // RFC 7143 11.12.5: the random format.
    isid: options.isid ?? Buffer.concat([Buffer.from([0x80]), randomBytes(5)]),
  });
  const reader = new PduReader();
  reader.maxDataBytes = options.maxReceiveBytes ?? DEFAULT_RECEIVE_BYTES;
  return new Promise((resolve, reject) => {
    let session: Session | null = null;
    const socket = connect({ host: options.host, port: options.port, noDelay: true });
    const timer = setTimeout(() => fail(new SessionLost('no login within the time')), loginMs);
    const fail = (error: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      if (session === null) reject(error);
      else session.end(error);
    };
    const send = (step: { header: Buffer; data: Buffer }): void => {
      socket.write(Buffer.concat(encodePdu(step.header, step.data, NO_DIGESTS)));
    };
    const receive = (pdu: Pdu): void => {
      if (session !== null) {
        session.receive(pdu);
        return;
      }
      const step = login.step(pdu);
      if (step.kind === 'send') {
        send(step);
        return;
      }
      clearTimeout(timer);
      reader.digests = step.negotiated.digests;
      session = new Session(socket, step.negotiated, timeoutMs);
      resolve(session);
    };
    socket.on('connect', () => {
      const first = login.start();
      if (first.kind === 'send') send(first);
    });
    socket.on('data', (chunk: Buffer) => {
      try {
        reader.feed(chunk, receive);
      } catch (error) {
        fail(error as Error);
      }
    });
    socket.on('error', (error) => fail(error));
    socket.on('close', () => fail(new SessionLost('the target closed the connection')));
  });
}
