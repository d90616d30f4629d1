import type { Random } from '../support/random.ts';
import type { ClusterOptions } from './cluster.ts';
import type { VolumeTask } from './cloning.ts';
import type { Order } from './initiator.ts';
import { MAINTENANCE_MS } from './machine.ts';
import type { Task } from './management.ts';
import type { Action, Fault } from './plan.ts';
import type { RotPlace } from './rot.ts';

/** A plan without its seed. */
export interface Script {
  readonly cluster: ClusterOptions;
  readonly initiators: number;
  readonly actions: readonly Action[];
  readonly finalBlackout: boolean;
  readonly lateRot: readonly RotPlace[];
}

const MIB = 1024 * 1024;
export const SIZE_BYTES = 6 * MIB;
/** Sectors that everybody wants: one of them is hit every few milliseconds. */
const HOT_SECTORS = 6;
const HOT_AREAS = [0, MIB / 512 - 4, (4 * MIB) / 512 - 4];
/** Until faults stop. */
export const ALWAYS_MS = 600_000;

/** Actions in the order of time. */
export class Scene {
  readonly random: Random;
  readonly actions: Action[] = [];
  readonly lateRot: RotPlace[] = [];
  atMs = 0;
  /** Of what comes next; 0 is the first that is left. */
  volume = 0;

  constructor(random: Random) {
    this.random = random;
  }

  /** From one to the other, of thousandths. */
  span(leastMs: number, mostMs: number): number {
    return leastMs + (this.random.below(1000) / 1000) * (mostMs - leastMs);
  }

  wait(leastMs: number, mostMs = leastMs): void {
    this.atMs += this.span(leastMs, mostMs);
  }

  fault(fault: Fault, laterMs = 0): void {
    this.#push({ at: this.atMs + laterMs, ...fault });
  }

  task(task: Task | VolumeTask, laterMs = 0): void {
    this.#push({ kind: 'task', at: this.atMs + laterMs, task });
  }

  order(initiator: number, order: Order, to?: 'newest' | 'older'): void {
    const action = { kind: 'order', at: this.atMs, initiator, order } as const;
    this.#push(to === undefined ? action : { ...action, to });
  }

  #push(action: Action): void {
    this.actions.push(this.volume === 0 ? action : { ...action, volume: this.volume });
  }

  hot(operation: 'read' | 'write' | 'unmap', area = 0): Order {
    const count = this.random.chance(0.8) ? 1 : 2;
    const first = this.random.below(HOT_SECTORS - count + 1);
    return { operation, sector: HOT_AREAS[area]! + first, count };
  }

  /** Whole blocks, of which several lie in each area. */
  block(operation: 'read' | 'write' | 'unmap', area: number): Order {
    const base = Math.floor(HOT_AREAS[area]! / 8) * 8;
    return { operation, sector: base + this.random.below(4) * 8, count: 8 };
  }

  /** All that this scene and the others write. */
  readAll(): void {
    for (const area of HOT_AREAS) {
      const sector = Math.floor(area / 8) * 8;
      this.order(0, { operation: 'read', sector, count: 4 * 8 });
    }
  }

  /** Writes of all initiators, one every few milliseconds. */
  writes(lengthMs: number, everyMs: number): void {
    const endMs = this.atMs + lengthMs;
    while (this.atMs < endMs) {
      const operation = this.random.chance(0.85) ? 'write' : 'read';
      const area = this.random.below(3);
      const whole = this.random.chance(0.3);
      this.order(
        this.random.below(2),
        whole ? this.block(operation, area) : this.hot(operation, area),
      );
      this.wait(everyMs * 0.3, everyMs * 1.7);
    }
  }

  end(
    cluster: Pick<ClusterOptions, 'dataReplicas' | 'graceMs'> & Partial<ClusterOptions>,
    finalBlackout = false,
    maintenance: readonly number[] = [MAINTENANCE_MS, 200, 40, 15],
  ): Script {
    this.actions.sort((a, b) => a.at - b.at);
    const maintenanceMs = this.random.pick(maintenance);
    const witness = cluster.dataReplicas % 2 === 0;
    return {
      cluster: {
        witness,
        maintenanceMs,
        holdMs: 30_000,
        sizeBytes: SIZE_BYTES,
        scrubBytesPerSecond: null,
        ...cluster,
      },
      initiators: 2,
      actions: this.actions,
      lateRot: this.lateRot,
      finalBlackout,
    };
  }
}

export const FLUSH: Order = { operation: 'flush', sector: 0, count: 0 };
