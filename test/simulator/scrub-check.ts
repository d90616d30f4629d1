import type { Cluster } from './cluster.ts';
import type { SimulatedTarget } from './target.ts';
import { Violation } from './world.ts';

const LOOK_MS = 20;

/** Scrubs a volume at rest; what can be said of each is checked when it has ended. */
export class ScrubCheck {
  readonly #cluster: Cluster;
  /** Who scrubs, once that is asked for. */
  #target: SimulatedTarget | null = null;
  #repairedBefore = 0;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** One that runs already may be past what has rotted since. */
  begin(): void {
    const { newest, world } = this.#cluster;
    this.#target = null;
    if (newest?.ready !== true || newest.scrub?.status.state !== 'idle') {
      world.after(LOOK_MS, () => this.begin());
      return;
    }
    this.#target = newest;
    this.#repairedBefore = newest.statistics.repairedBlocks;
    newest.process.run(() => newest.scrub?.request());
    newest.onExit(() => {
      // It was about to stop already.
      if (this.#target === newest && !this.ended) this.begin();
    });
  }

  get ended(): boolean {
    return this.#target?.scrub?.status.state === 'idle';
  }

  /** Blocks, of all copies. */
  get found(): number {
    return this.#target?.scrub?.status.badBlocks ?? 0;
  }

  /** Blocks, as it says. */
  get repaired(): number {
    return (this.#target?.statistics.repairedBlocks ?? 0) - this.#repairedBefore;
  }

  /** What is still bad on the disks, in words. */
  get left(): string | null {
    for (const machine of this.#cluster.dataMachines) {
      const [left] = this.#cluster.rot.left(machine);
      if (left !== undefined) return `page ${left.page} of ${left.name} of ${machine.name}`;
    }
    return null;
  }

  /** Copies in sync were never found to differ. */
  checkDivergence(): void {
    for (const { name, statistics } of this.#cluster.targets) {
      const { divergentBlocks } = statistics;
      if (divergentBlocks === 0) continue;
      throw new Violation('I4', `a scrub of ${name} found ${divergentBlocks} blocks that differ`);
    }
  }
}
