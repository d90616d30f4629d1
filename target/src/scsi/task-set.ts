/**
 * The task set of the logical unit: which tasks run and which wait for their order. SAM-5 8
 *
 *   arrives ----> waiting ----> running ----> ended
 *      |                           ^
 *      +---------------------------+   nothing that must go before it
 *
 * HEAD OF QUEUE runs at once. ORDERED waits for every task that came before. SIMPLE and untagged
 * ones wait for HEAD OF QUEUE tasks and for ORDERED tasks that came before. SIMPLE tasks run
 * together; the volume's range lock orders overlaps.
 */
import { strict as assert } from 'node:assert';
import type { Command } from './command.ts';

export class TaskSet {
  #oldest: Command | null = null;
  #newest: Command | null = null;
  #running = 0;
  #runningFirst = 0;
  #runningOrdered = 0;
  #waiting = 0;
  #releasing = false;
  readonly #start: (command: Command) => void;

  constructor(start: (command: Command) => void) {
    this.#start = start;
  }

  get size(): number {
    return this.#running + this.#waiting;
  }

  add(command: Command): void {
    command.older = this.#newest;
    if (this.#newest === null) this.#oldest = command;
    else this.#newest.newer = command;
    this.#newest = command;
    const attribute = command.task.attribute;
    // SAM-5 8.7.3: a HEAD OF QUEUE task enters the enabled state at once.
    if (attribute === 'head-of-queue' || (this.#waiting === 0 && this.#mayRun(command))) {
      this.#run(command);
    } else {
      command.keepDataOut();
      this.#waiting += 1;
    }
  }

  /** Takes an ended or aborted command out and starts what waited for it. */
  remove(command: Command): void {
    assert(command.state !== 'ended');
    if (command.state === 'running') {
      this.#running -= 1;
      const attribute = command.task.attribute;
      if (attribute === 'ordered') this.#runningOrdered -= 1;
      else if (attribute === 'head-of-queue') this.#runningFirst -= 1;
    } else {
      this.#waiting -= 1;
    }
    command.state = 'ended';
    if (command.older === null) this.#oldest = command.newer;
    else command.older.newer = command.newer;
    if (command.newer === null) this.#newest = command.older;
    else command.newer.older = command.older;
    command.older = null;
    command.newer = null;
    if (this.#waiting > 0) this.#release();
  }

  /**
   * Every task for which `wanted` says so, oldest first; a copy, so that it may be changed while
   * looked through.
   */
  select(wanted: (command: Command) => boolean): Command[] {
    const found: Command[] = [];
    for (let command = this.#oldest; command !== null; command = command.newer) {
      if (wanted(command)) found.push(command);
    }
    return found;
  }

  #mayRun(command: Command): boolean {
    // SAM-5 8.7.4: an ORDERED task waits for all older ones; 8.7.2: a SIMPLE one for HEAD OF QUEUE
    // and older ORDERED ones.
    if (command.task.attribute === 'ordered') return this.#running === 0;
    return this.#runningFirst === 0 && this.#runningOrdered === 0;
  }

  #run(command: Command): void {
    command.state = 'running';
    this.#running += 1;
    const attribute = command.task.attribute;
    if (attribute === 'ordered') this.#runningOrdered += 1;
    else if (attribute === 'head-of-queue') this.#runningFirst += 1;
    this.#start(command);
  }

  /** A task that ends while it starts comes back here: one loop does the work, not a recursion. */
  #release(): void {
    if (this.#releasing) return;
    this.#releasing = true;
    while (this.#waiting > 0) {
      const next = this.#oldestWaiting();
      if (next === null || !this.#mayRun(next)) break;
      this.#waiting -= 1;
      this.#run(next);
    }
    this.#releasing = false;
  }

  #oldestWaiting(): Command | null {
    for (let command = this.#oldest; command !== null; command = command.newer) {
      if (command.state === 'waiting') return command;
    }
    return null;
  }
}
