import { Random } from '../support/random.ts';
import { withOwnMemory } from './memory.ts';

/** What a run has found wrong: an invariant that does not hold. */
export class Violation extends Error {
  override readonly name = 'Violation';
  /** I1 to I11 of the contract, or `crash`: a programming error would have ended the process. */
  readonly invariant: string;

  constructor(invariant: string, message: string) {
    super(`${invariant}: ${message}`);
    this.invariant = invariant;
  }
}

interface Event {
  readonly at: number;
  readonly order: number;
  run: (() => void) | null;
}

/**
 * Node's own way to run what is due before the event loop goes on: all of process.nextTick and all
 * microtasks. It costs a tenth of a microsecond, a real turn of the event loop a hundred times as
 * much.
 */
const drainMicrotasks = (process as unknown as { _tickCallback: () => void })._tickCallback;

/**
 * Virtual time and the order of events. All that happens in a run happens in step(), and all chance
 * comes from streams that the seed gives, so that a seed is a run.
 *
 * Runs must begin outside of a microtask (see `outsideOfMicrotasks`), or nothing could be drained.
 */
export class World {
  readonly seed: number;
  now = 0;
  /** A fingerprint of all events so far: equal runs have equal ones. */
  fingerprint = 0;
  events = 0;
  #heap: Event[] = [];
  #order = 0;
  #failure: Error | null = null;
  readonly #lines: string[] | null;

  constructor(seed: number, traced = false) {
    this.seed = seed;
    this.#lines = traced ? [] : null;
  }

  /** A stream of its own for each name: what one part draws does not move another part. */
  random(name: string): Random {
    let hash = 0x811c9dc5;
    for (let at = 0; at < name.length; at++) {
      hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193);
    }
    return new Random((this.seed % 0x1_0000_0000) + (hash >>> 12) * 0x1_0000_0000);
  }

  get trace(): readonly string[] {
    return this.#lines ?? [];
  }

  get traced(): boolean {
    return this.#lines !== null;
  }

  /** `text` may be made only when somebody reads it. */
  note(who: string, text: string | (() => string)): void {
    if (this.#lines === null) return;
    const time = this.now.toFixed(2).padStart(9);
    this.#lines.push(`${time} ${who.padEnd(10)} ${typeof text === 'string' ? text : text()}`);
  }

  /** The run ends with this at the end of the step. The first one counts. */
  fail(error: Error): void {
    this.#failure ??= error;
  }

  get failure(): Error | null {
    return this.#failure;
  }

  after(delayMs: number, run: () => void): () => void {
    const event: Event = { at: this.now + Math.max(0, delayMs), order: this.#order++, run };
    this.#push(event);
    return () => {
      event.run = null;
    };
  }

  /** The next event, and everything that follows from it at once. False when nothing is left. */
  step(): boolean {
    const event = this.#pop();
    if (event === null) return false;
    this.now = event.at;
    const { run } = event;
    if (run === null) return true;
    this.events++;
    this.fingerprint = (Math.imul(this.fingerprint, 31) + event.order + event.at * 1000) | 0;
    try {
      run();
    } catch (error) {
      this.fail(error as Error);
    }
    drainMicrotasks();
    if (this.#failure !== null) throw this.#failure;
    return true;
  }

  /** What was just called has its consequences before this returns. */
  drain(): void {
    drainMicrotasks();
  }

  /** Steps until the condition holds; false when it does not within the time. */
  runUntil(condition: () => boolean, withinMs: number): boolean {
    const deadline = this.now + withinMs;
    while (!condition()) {
      if ((this.#heap[0]?.at ?? Infinity) > deadline) {
        this.now = deadline;
        return false;
      }
      this.step();
    }
    return true;
  }

  runFor(ms: number): void {
    this.runUntil(() => false, ms);
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): Event | null {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (top === undefined || last === undefined) return null;
    if (heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return top;
  }
}

const before = (a: Event, b: Event): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

const FORBIDDEN = ['setTimeout', 'setInterval', 'setImmediate'] as const;

/**
 * Runs a simulation where microtasks can be drained, with real time out of reach: code that takes a
 * timer or chance past its seams fails instead of making runs differ. An error that nobody catches
 * goes to `uncaught`.
 */
export const simulated = <T>(uncaught: (error: unknown) => void, work: () => T): Promise<T> =>
  new Promise((resolve, reject) => {
    setImmediate(() => {
      const listeners = process.listeners('unhandledRejection');
      process.removeAllListeners('unhandledRejection');
      const real = FORBIDDEN.map((name) => globalThis[name]);
      const { random } = Math;
      for (const name of FORBIDDEN) {
        (globalThis as unknown as Record<string, () => never>)[name] = () => {
          throw new Error(`${name} was called in a simulation; take time from the environment`);
        };
      }
      Math.random = () => {
        throw new Error('Math.random was called in a simulation; take it from the environment');
      };
      process.setUncaughtExceptionCaptureCallback(uncaught);
      try {
        resolve(withOwnMemory(work));
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      } finally {
        process.setUncaughtExceptionCaptureCallback(null);
        Math.random = random;
        FORBIDDEN.forEach((name, index) => {
          (globalThis as unknown as Record<string, unknown>)[name] = real[index];
        });
        for (const listener of listeners) process.on('unhandledRejection', listener);
      }
    });
  });
