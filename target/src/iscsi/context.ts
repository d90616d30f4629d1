import type { DeviceServer } from '../scsi/task.ts';
import type { SlabPool } from '@openebs/replica/runtime';
import type { Connection } from './connection.ts';
import type { IscsiCounters } from './counters.ts';
import type { LoginAuthentication, LoginRedirect } from './login/login.ts';
import type { LoginFailures } from './login-failures.ts';
import type { SessionRegistry } from './registry.ts';
import type { Throttle } from './throttle.ts';

/** pino's shape, as far as it is used here. */
export interface IscsiLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface IscsiClock {
  /** Monotonic. */
  nowMs(): number;
  /** Calls back until the returned function is called. */
  every(ms: number, callback: () => void): () => void;
}

/** An address that SendTargets tells: host:port, an IPv6 host in brackets. */
export interface AdvertisedPortal {
  readonly address: string;
  readonly portalGroupTag: number;
}

/** What the connections of one server share. */
export interface IscsiContext {
  readonly targetName: string;
  readonly targetAlias: string | null;
  readonly device: DeviceServer;
  /** Of logins to come. */
  authentication: LoginAuthentication;
  readonly maxDataSegmentBytes: number;
  /** Empty: the address that the initiator has connected to. */
  portals: readonly AdvertisedPortal[];
  readonly redirect: () => LoginRedirect | null;
  readonly random: (bytes: number) => Uint8Array;
  readonly log: IscsiLog;
  readonly counters: IscsiCounters;
  readonly loginFailures: LoginFailures;
  readonly registry: SessionRegistry;
  readonly connections: Set<Connection>;
  readonly pool: SlabPool;
  readonly throttle: Throttle;
  /** Monotonic, coarse: read at each tick. */
  nowMs: number;
  nextNexusId: number;
  /** Sends what the connection has gathered once the current callback of the event loop is over. */
  flushSoon(connection: Connection): void;
}
