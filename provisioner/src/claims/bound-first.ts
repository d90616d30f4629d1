import type { Clock } from '../kubernetes/clock.ts';
import type { Reflector } from '../kubernetes/reflector.ts';
import type { WorkQueue } from '../kubernetes/work-queue.ts';
import { isOurVolume, type PersistentVolume } from './contract.ts';

/** So many volumes that wait for their claims at once are a rush. */
const RUSH_VOLUMES = 8;
/** What a claim waits for those behind it, and for how long a volume counts that nobody binds. */
const HOLD_MS = 20_000;

export interface BoundFirstOptions {
  readonly clock: Clock;
  readonly volumes: Reflector<PersistentVolume>;
  /** Of records: names of volumes that may be filled from now on are added. */
  readonly queue: WorkQueue;
}

/**
 * Puts the binding of claims before the filling of their volumes. Kubernetes binds one claim after
 * the other, with several writes for each, and a volume's pods cost it many times that. So a volume
 * is filled when its claim is bound, in a rush of claims when all of them are, or after a while.
 */
export class BoundFirst {
  readonly #options: BoundFirstOptions;
  /** New volumes whose claims are not bound yet, each with what takes its timer back. */
  readonly #unbound = new Map<string, () => void>();
  /** Those that could be filled, each with when it could first. */
  readonly #held = new Map<string, number>();
  /** It begins with many, and lasts until the last one of them is bound. */
  #rush = false;

  constructor(options: BoundFirstOptions) {
    this.#options = options;
    options.volumes.onChange((before, after) => this.#changed(before, after));
  }

  /** If not, its name is added to the queue when it may. */
  mayFill(name: string): boolean {
    const { volumes, queue, clock } = this.#options;
    if (!isBound(volumes.get(name))) return false;
    if (!this.#rush) return true;
    const sinceMs = this.#held.get(name) ?? clock.now();
    this.#held.set(name, sinceMs);
    const leftMs = sinceMs + HOLD_MS - clock.now();
    if (leftMs <= 0) return true;
    queue.addAfter(name, leftMs);
    return false;
  }

  #changed(before: PersistentVolume | null, after: PersistentVolume | null): void {
    const { clock, queue } = this.#options;
    const name = (after ?? before)?.metadata.name ?? '';
    if (before === null && after !== null && isOurVolume(after) && isNew(after)) {
      this.#unbound.set(
        name,
        clock.after(HOLD_MS, () => this.#settled(name)),
      );
      this.#rush ||= this.#unbound.size > RUSH_VOLUMES;
    } else if (after === null || !isNew(after)) {
      this.#settled(name);
    }
    if (isBound(after) && !isBound(before)) queue.add(name);
  }

  #settled(name: string): void {
    this.#unbound.get(name)?.();
    if (!this.#unbound.delete(name) || this.#unbound.size > 0) return;
    this.#rush = false;
    for (const held of this.#held.keys()) this.#options.queue.add(held);
    this.#held.clear();
  }
}

const isBound = (volume: PersistentVolume | null | undefined): boolean =>
  volume?.status?.phase === 'Bound';

const isNew = ({ status }: PersistentVolume): boolean =>
  status?.phase === undefined || status.phase === 'Pending' || status.phase === 'Available';
