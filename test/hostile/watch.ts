import { residentBytes } from '../support/process-usage.ts';
import type { Running } from '../support/replicated-volume.ts';

const SAMPLE_MS = 200;
const CONTROL_WITHIN_MS = 5_000;

/** Looks after daemons while they are attacked: alive, answering, and not growing. */
export class Watch {
  readonly #running: readonly Running[];
  readonly #pids: readonly number[];
  #baseline: number[] = [];
  #peak: number[] = [];
  #slowestMs = 0;
  #timer: NodeJS.Timeout | null = null;
  #asking: Promise<void> = Promise.resolve();

  constructor(running: readonly Running[]) {
    this.#running = running;
    this.#pids = running.map(({ daemon }) => daemon.child.pid!);
  }

  /**
   * Memory is compared with that of this moment: call it after the daemons have worked for a while.
   */
  start(): void {
    this.#baseline = this.#pids.map(residentBytes);
    this.#peak = [...this.#baseline];
    this.#timer = setInterval(() => this.#sample(), SAMPLE_MS);
  }

  /** Rejects with what was wrong. */
  async stop(caps: { growthBytes: number; peakGrowthBytes: number }): Promise<void> {
    clearInterval(this.#timer ?? undefined);
    await this.#asking;
    this.#asking = this.#ask();
    await this.#asking;
    for (const [index, { daemon }] of this.#running.entries()) {
      const who = `daemon ${index} (${daemon.child.spawnargs[1] ?? ''})`;
      if (daemon.child.exitCode !== null || daemon.child.signalCode !== null) {
        throw new Error(`${who} ended:\n${daemon.log.slice(-30).join('\n')}`);
      }
      const grown = residentBytes(this.#pids[index]!) - this.#baseline[index]!;
      const peak = this.#peak[index]! - this.#baseline[index]!;
      if (grown > caps.growthBytes || peak > caps.peakGrowthBytes) {
        throw new Error(`${who} grew by ${mib(grown)} MiB, at most ${mib(peak)} MiB`);
      }
    }
    if (this.#slowestMs > CONTROL_WITHIN_MS) {
      throw new Error(`a control API took ${this.#slowestMs.toFixed(0)} ms to answer`);
    }
  }

  #sample(): void {
    for (const [index, pid] of this.#pids.entries()) {
      const { daemon } = this.#running[index]!;
      if (daemon.child.exitCode !== null || daemon.child.signalCode !== null) continue;
      this.#peak[index] = Math.max(this.#peak[index]!, residentBytes(pid));
    }
    this.#asking = this.#asking.then(() => this.#ask());
  }

  async #ask(): Promise<void> {
    for (const { daemon, ready } of this.#running) {
      if (daemon.child.exitCode !== null || daemon.child.signalCode !== null) continue;
      const began = performance.now();
      await fetch(`http://${ready.control}/healthz`).then((response) => response.text());
      this.#slowestMs = Math.max(this.#slowestMs, performance.now() - began);
    }
  }
}

const mib = (bytes: number): string => (bytes / 1024 / 1024).toFixed(1);
