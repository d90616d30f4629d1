/**
 * Everything that the replicator takes from the world. Production gives real clocks and sockets
 * (node-environment.ts); a simulation gives its own and runs the same code with no real time and no
 * real I/O.
 */
import type { Clock } from '@openebs/replica/runtime';
import type { Link, LinkEvents } from './link.ts';

export interface Environment extends Clock {
  /** Calls back when the event that is being handled has been handled: the end of a batch. */
  defer(callback: () => void): void;
  /** Uniform in [0, 1). */
  random(): number;
  /**
   * Begins a connection to one replica. Every later outcome comes through the events, never before
   * dial() returns.
   */
  dial(address: string, events: LinkEvents): Link;
  log(level: 'debug' | 'info' | 'warn' | 'error', fields: object, message: string): void;
}
