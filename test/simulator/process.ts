import type { Clock } from '../../replica/src/runtime/index.ts';
import type { World } from './world.ts';

/**
 * A process on a host: it can be stopped for a while (its events wait, its clock goes on) and be
 * killed at any event. Its monotonic clock has an offset and a drift of its own.
 */
export class SimulatedProcess implements Clock {
  readonly name: string;
  readonly host: string;
  readonly world: World;
  readonly #rate: number;
  readonly #offsetMs: number;
  #alive = true;
  #pauses = 0;
  #backlog: (() => void)[] = [];
  readonly #exits: (() => void)[] = [];

  constructor(name: string, host: string, world: World, rate = 1) {
    this.name = name;
    this.host = host;
    this.world = world;
    this.#rate = rate;
    this.#offsetMs = world.random(`clock of ${name}`).below(1_000_000);
  }

  get alive(): boolean {
    return this.#alive;
  }

  get paused(): boolean {
    return this.#pauses > 0;
  }

  now(): number {
    return this.#offsetMs + this.world.now * this.#rate;
  }

  after(delayMs: number, callback: () => void): () => void {
    let wanted = true;
    const cancel = this.world.after(delayMs / this.#rate, () =>
      this.run(() => {
        if (wanted) callback();
      }),
    );
    return () => {
      wanted = false;
      cancel();
    };
  }

  /** An event of this process: at once, when it goes on, or never. */
  run(callback: () => void): void {
    if (!this.#alive) return;
    if (this.#pauses > 0) this.#backlog.push(callback);
    else callback();
  }

  /** Until goOn() was called as often. */
  pause(): void {
    this.#pauses++;
    this.world.note(this.name, 'is stopped');
  }

  goOn(): void {
    if (--this.#pauses > 0 || !this.#alive) return;
    this.world.note(this.name, 'goes on');
    // Before anything that arrives from now on, and each with its consequences.
    for (const callback of this.#backlog.splice(0)) {
      this.run(callback);
      this.world.drain();
    }
  }

  /** From now on nothing of it happens. Its connections are the network's to end. */
  kill(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#backlog = [];
    for (const exit of this.#exits) exit();
  }

  onExit(callback: () => void): void {
    this.#exits.push(callback);
  }
}
