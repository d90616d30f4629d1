import type { LoginFailure } from './login/status.ts';

/**
 * Everything the front end counts, for /metrics; plain numbers that only grow, except `connections`
 * and `sessions`.
 */
export interface IscsiCounters {
  connections: number;
  sessions: number;
  connectionsAccepted: number;
  /** Closed at once because too many had not logged in. */
  connectionsRefused: number;
  loginsSucceeded: number;
  readonly loginsFailed: Record<LoginFailure, number>;
  pdusIn: number;
  pdusOut: number;
  bytesIn: number;
  bytesOut: number;
  commands: number;
  /** PDUs that broke the protocol so that the connection had to end. */
  malformed: number;
  digestErrors: number;
  rejects: number;
  /** Commands outside of the CmdSN window, which are ignored. */
  outsideWindow: number;
  /** Data-Out for tasks that are gone. */
  strayDataOut: number;
  tasksAborted: number;
  keepaliveTimeouts: number;
}

export const newCounters = (): IscsiCounters => ({
  connections: 0,
  sessions: 0,
  connectionsAccepted: 0,
  connectionsRefused: 0,
  loginsSucceeded: 0,
  loginsFailed: {
    malformed: 0,
    authentication: 0,
    'target-not-found': 0,
    version: 0,
    'missing-parameter': 0,
    negotiation: 0,
    session: 0,
    redirected: 0,
    resources: 0,
    timeout: 0,
  },
  pdusIn: 0,
  pdusOut: 0,
  bytesIn: 0,
  bytesOut: 0,
  commands: 0,
  malformed: 0,
  digestErrors: 0,
  rejects: 0,
  outsideWindow: 0,
  strayDataOut: 0,
  tasksAborted: 0,
  keepaliveTimeouts: 0,
});
