import { once } from 'node:events';
import type { AddressInfo, Server, Socket } from 'node:net';
import type { SlabPool } from '@openebs/replica/runtime';
import { crypto, net } from '@openebs/replica/runtime';
import { LIMITS } from '../limits.ts';
import type { DeviceServer } from '../scsi/task.ts';
import { Connection } from './connection.ts';
import type { AdvertisedPortal, IscsiClock, IscsiContext, IscsiLog } from './context.ts';
import { newCounters, type IscsiCounters } from './counters.ts';
import { LoginFailures } from './login-failures.ts';
import type { LoginAuthentication, LoginRedirect } from './login/login.ts';
import { AsyncEvent } from './pdu/fields.ts';
import { SessionRegistry } from './registry.ts';
import { sendAsyncMessage } from './responses.ts';
import { Throttle } from './throttle.ts';

/** Where the target listens. */
export interface ListenPortal {
  readonly host: string;
  /** 0 is any free port. */
  readonly port: number;
  readonly portalGroupTag: number;
}

export interface IscsiServerOptions {
  readonly targetName: string;
  readonly targetAlias?: string;
  readonly listen: readonly ListenPortal[];
  /** Told by SendTargets; none: the address that the initiator has connected to. */
  readonly portals?: readonly AdvertisedPortal[];
  readonly device: DeviceServer;
  /** Of the process: payload is gathered in its slabs. */
  readonly pool: SlabPool;
  /** Payload that the volume may have under way before initiators have to wait. Bytes. */
  readonly bytesInFlight?: number;
  readonly authentication: LoginAuthentication;
  /** Declared as MaxRecvDataSegmentLength, 512 to 1 MiB. Bytes. */
  readonly maxDataSegmentBytes?: number;
  /** Asked at each login: where the target has moved to, or null. */
  readonly redirect?: () => LoginRedirect | null;
  readonly log: IscsiLog;
  readonly clock?: IscsiClock;
  readonly random?: (bytes: number) => Uint8Array;
}

/** What can change while it serves. */
export type IscsiServerSettings = Required<Pick<IscsiServerOptions, 'authentication' | 'portals'>>;

export interface IscsiSessionInfo {
  readonly initiatorName: string;
  readonly isid: string;
  readonly tsih: number;
  readonly discovery: boolean;
  /** host:port of the initiator. */
  readonly address: string;
  readonly portalGroupTag: number;
  readonly commandsInFlight: number;
  readonly ageMs: number;
}

export interface IscsiServer {
  /** Resolves with the real addresses once all portals accept connections. */
  listen(): Promise<readonly ListenPortal[]>;
  /** Stops listening, asks all initiators to log out, and drops who has not done so in time. */
  close(graceMs: number): Promise<void>;
  /** Drops all initiators at once, for example when the volume belongs to another target now. */
  dropAll(reason: string): void;
  /** For logins to come; whoever is logged in stays. */
  use(settings: IscsiServerSettings): void;
  sessions(): readonly IscsiSessionInfo[];
  readonly counters: IscsiCounters;
}

/**
 * Fits the receive buffer several times, so that data does not leave the processor's cache. What
 * the initiator sends unsolicited or after an R2T just takes more PDUs. Bytes.
 */
export const DEFAULT_DATA_SEGMENT_BYTES = 128 * 1024;

const systemClock: IscsiClock = {
  nowMs: () => performance.now(),
  every: (ms, callback) => {
    const timer = setInterval(callback, ms);
    timer.unref();
    return () => clearInterval(timer);
  },
};

export const createIscsiServer = (options: IscsiServerOptions): IscsiServer =>
  new IscsiTarget(options);

class IscsiTarget implements IscsiServer {
  readonly counters = newCounters();
  readonly #options: IscsiServerOptions;
  readonly #clock: IscsiClock;
  readonly #context: IscsiContext;
  readonly #servers: Server[] = [];
  #flushing: Connection[] = [];
  #stopTicking: (() => void) | null = null;
  #allClosed: (() => void) | null = null;
  #closing = false;

  constructor(options: IscsiServerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    const flush = (): void => this.#flush();
    this.#context = {
      targetName: options.targetName,
      targetAlias: options.targetAlias ?? null,
      device: options.device,
      authentication: options.authentication,
      maxDataSegmentBytes: Math.min(
        options.maxDataSegmentBytes ?? DEFAULT_DATA_SEGMENT_BYTES,
        LIMITS.dataSegmentBytes,
      ),
      portals: options.portals ?? [],
      redirect: options.redirect ?? (() => null),
      random: options.random ?? ((bytes) => crypto.randomBytes(bytes)),
      log: options.log,
      counters: this.counters,
      loginFailures: new LoginFailures(options.log, this.counters),
      registry: new SessionRegistry(),
      connections: new Set(),
      pool: options.pool,
      throttle: new Throttle(options.device, options.bytesInFlight ?? LIMITS.bytesInFlight),
      nowMs: this.#clock.nowMs(),
      nextNexusId: 1,
      flushSoon: (connection) => {
        if (this.#flushing.push(connection) === 1) process.nextTick(flush);
      },
    };
  }

  /** All responses that one callback of the event loop has made leave together. */
  #flush(): void {
    const connections = this.#flushing;
    this.#flushing = [];
    for (const connection of connections) connection.flush();
  }

  async listen(): Promise<readonly ListenPortal[]> {
    this.#stopTicking = this.#clock.every(1000, () => this.#tick());
    const bound: ListenPortal[] = [];
    for (const { host, port, portalGroupTag } of this.#options.listen) {
      const server = net.createServer({ allowHalfOpen: true }, (socket) =>
        this.#accept(socket, portalGroupTag),
      );
      this.#servers.push(server);
      server.listen({ host, port });
      await once(server, 'listening');
      const address = server.address() as AddressInfo;
      bound.push({ host: address.address, port: address.port, portalGroupTag });
    }
    return bound;
  }

  #accept(socket: Socket, portalGroupTag: number): void {
    this.#context.nowMs = this.#clock.nowMs();
    this.counters.connectionsAccepted++;
    let waiting = 0;
    let sameAddress = 0;
    for (const connection of this.#context.connections) {
      if (connection.state !== 'login') continue;
      waiting++;
      if (connection.remoteAddress === socket.remoteAddress) sameAddress++;
    }
    if (
      this.#closing ||
      waiting >= LIMITS.connectionsBeforeLogin ||
      sameAddress >= LIMITS.connectionsBeforeLoginPerAddress
    ) {
      this.counters.connectionsRefused++;
      socket.destroy();
      return;
    }
    new Connection(this.#context, socket, portalGroupTag);
  }

  #tick(): void {
    this.#context.nowMs = this.#clock.nowMs();
    for (const connection of [...this.#context.connections]) connection.tick();
    this.#context.pool.trim();
    // What was aborted ends without a response.
    this.#context.throttle.ease();
    this.#checkAllClosed();
  }

  #checkAllClosed(): void {
    if (this.#context.connections.size === 0) this.#allClosed?.();
  }

  async close(graceMs: number): Promise<void> {
    this.#closing = true;
    for (const server of this.#servers) server.close();
    for (const connection of [...this.#context.connections]) {
      if (connection.session === null) {
        connection.close('the target stops');
        continue;
      }
      // RFC 7143 11.9.1: please log out within Parameter3 seconds.
      sendAsyncMessage(connection, AsyncEvent.requestLogout, {
        parameter1: 0,
        parameter2: 0,
        parameter3: Math.ceil(graceMs / 1000),
      });
      connection.flush();
    }
    await this.#waitForClose(graceMs);
    this.dropAll('the target stops');
    this.#stopTicking?.();
  }

  async #waitForClose(graceMs: number): Promise<void> {
    if (graceMs <= 0 || this.#context.connections.size === 0) return;
    const deadline = this.#clock.nowMs() + graceMs;
    await new Promise<void>((resolve) => {
      const stop = this.#clock.every(20, () => {
        if (this.#context.connections.size > 0 && this.#clock.nowMs() < deadline) return;
        this.#allClosed?.();
      });
      this.#allClosed = () => {
        this.#allClosed = null;
        stop();
        resolve();
      };
    });
  }

  dropAll(reason: string): void {
    for (const connection of [...this.#context.connections]) {
      if (connection.sending) {
        // RFC 7143 11.9.1: this connection goes away; Parameter1 is its CID.
        sendAsyncMessage(connection, AsyncEvent.dropConnection, {
          parameter1: connection.cid,
          parameter2: 0,
          parameter3: 0,
        });
        connection.flush();
      }
      connection.close(reason);
    }
  }

  use({ authentication, portals }: IscsiServerSettings): void {
    this.#context.authentication = authentication;
    this.#context.portals = portals;
  }

  sessions(): readonly IscsiSessionInfo[] {
    const nowMs = this.#clock.nowMs();
    return [...this.#context.registry].map((session) => ({
      initiatorName: session.nexus.initiatorName,
      isid: session.nexus.isid,
      tsih: session.tsih,
      discovery: session.discovery,
      address: session.connection.peer,
      portalGroupTag: session.nexus.portalGroupTag,
      commandsInFlight: session.tasks.size,
      ageMs: nowMs - session.startedMs,
    }));
  }
}
