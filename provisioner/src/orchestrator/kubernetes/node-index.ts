import type { Clock } from '../../kubernetes/clock.ts';
import type { Reflector } from '../../kubernetes/reflector.ts';
import { hostOf, notReadySince, type ClusterNode } from './cluster-node.ts';

/** Nodes by the name that members are placed by, and how long each has been lost. */
export class NodeIndex {
  readonly #clock: Clock;
  readonly #wallClock: () => Date;
  readonly #nodes = new Map<string, ClusterNode>();
  /** When a node was first missed: nothing in the cluster tells when one was removed. */
  readonly #missed = new Map<string, number>();

  constructor(options: {
    readonly nodes: Reflector<ClusterNode>;
    readonly clock: Clock;
    readonly wallClock: () => Date;
    /** A node has come, gone, or changed whether it is ready. */
    readonly changed: (host: string) => void;
  }) {
    this.#clock = options.clock;
    this.#wallClock = options.wallClock;
    options.nodes.onChange((before, after) => {
      const host = hostOf(after ?? (before as ClusterNode));
      if (after === null) this.#nodes.delete(host);
      else this.#nodes.set(host, after);
      const was = before === null ? undefined : notReadySince(before);
      const is = after === null ? undefined : notReadySince(after);
      if (was !== is) options.changed(host);
    });
  }

  has(host: string): boolean {
    return this.#nodes.has(host);
  }

  /** Milliseconds; null: it is there and ready. */
  lostMs(host: string): number | null {
    const node = this.#nodes.get(host);
    if (node === undefined) {
      const now = this.#clock.now();
      const since = this.#missed.get(host) ?? now;
      this.#missed.set(host, since);
      return now - since;
    }
    this.#missed.delete(host);
    const since = notReadySince(node);
    return since === null ? null : Math.max(0, this.#wallClock().getTime() - since);
  }
}
