import type { DeviceServer } from '../scsi/task.ts';

/** The part of a connection that is stopped. */
export interface Throttled {
  stopReading(): void;
  readOn(): void;
}

/**
 * Bounds the payload that all sessions together have under way on the volume: above the limit
 * nothing more is read from who sends, until half of it is done. What is under way needs nothing
 * from its initiator to end, so nobody waits for somebody who waits for him.
 */
export class Throttle {
  readonly #device: DeviceServer;
  readonly #limitBytes: number;
  readonly #stopped = new Set<Throttled>();

  constructor(device: DeviceServer, limitBytes: number) {
    this.#device = device;
    this.#limitBytes = limitBytes;
  }

  /** After the connection was read from. */
  check(connection: Throttled): void {
    if (this.#device.bytesInFlight <= this.#limitBytes) return;
    this.#stopped.add(connection);
    connection.stopReading();
  }

  stops(connection: Throttled): boolean {
    return this.#stopped.has(connection);
  }

  /** After something has ended. */
  ease(): void {
    if (this.#stopped.size === 0 || this.#device.bytesInFlight > this.#limitBytes / 2) return;
    const stopped = [...this.#stopped];
    this.#stopped.clear();
    for (const connection of stopped) connection.readOn();
  }

  forget(connection: Throttled): void {
    this.#stopped.delete(connection);
  }
}
