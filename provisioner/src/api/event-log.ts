import { MAX_EVENTS } from '../limits.ts';
import type { Operation } from './operations.ts';
import type { Orchestrator, VolumeEvent } from '../orchestrator/orchestrator.ts';

export interface LoggedEvent extends VolumeEvent {
  /** Counts from 1 since the server started. */
  readonly id: number;
  readonly at: string;
}

/**
 * What happened to volumes since the server started: the newest events, and whoever wants to hear
 * the next.
 */
export class EventLog {
  readonly #events: LoggedEvent[] = [];
  readonly #listeners = new Set<(event: LoggedEvent) => void>();
  #lastId = 0;

  constructor(orchestrator: Pick<Orchestrator, 'onEvent'>) {
    orchestrator.onEvent((event) => this.#add(event));
  }

  /** Whoever began it may not have waited for its end. */
  operationFailed({ kind, volume, message }: Operation): void {
    const words = `${kind} failed: ${message}`;
    this.#add({
      kind: 'operation-failed',
      severity: 'warning',
      volume,
      message: words,
      status: null,
    });
  }

  /** Newest first; of one volume, or of all. */
  list(volume: string | null): readonly LoggedEvent[] {
    return this.#events.filter((event) => volume === null || event.volume === volume).reverse();
  }

  /** Oldest first, after the event with this id. */
  since(id: number, volume: string | null): readonly LoggedEvent[] {
    return this.list(volume)
      .filter((event) => event.id > id)
      .reverse();
  }

  subscribe(listener: (event: LoggedEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get subscribers(): number {
    return this.#listeners.size;
  }

  #add(event: VolumeEvent): void {
    this.#lastId += 1;
    const logged = { id: this.#lastId, at: new Date().toISOString(), ...event };
    this.#events.push(logged);
    if (this.#events.length > MAX_EVENTS) this.#events.shift();
    for (const listener of this.#listeners) listener(logged);
  }
}
