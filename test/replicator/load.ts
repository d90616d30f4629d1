import type { ReplicaMachine } from '../simulator/machine.ts';
import { Initiator, type Order } from '../simulator/initiator.ts';
import { compareReplicas } from '../simulator/replicas.ts';
import { BLOCK, type Stage } from './stage.ts';

const SECTOR = 512;
const BLOCK_SECTORS = BLOCK / SECTOR;
const STRIDE_SECTORS = 42 * BLOCK_SECTORS;

/**
 * An initiator that writes a block here and there, one at a time, to whichever target serves. The
 * history of the simulator knows what each block may hold, and checks what is read.
 */
export class Load {
  readonly #stage: Stage;
  readonly #initiator: Initiator;
  #next = 0;
  acknowledged = 0;

  constructor(stage: Stage) {
    this.#stage = stage;
    this.#initiator = new Initiator(0, stage.cluster);
  }

  /** More of them when the volume has grown. */
  get blocks(): number {
    const sectors = this.#stage.target.replicator.sizeBytes / SECTOR;
    return Math.floor((sectors - BLOCK_SECTORS) / STRIDE_SECTORS) + 1;
  }

  #order(operation: Order['operation'], index: number): Order {
    const sector = (index % this.blocks) * STRIDE_SECTORS;
    return { operation, sector, count: BLOCK_SECTORS };
  }

  /** Until the condition holds, one write after the other. */
  writeUntil(condition: () => boolean): void {
    this.#stage.until(() => {
      if (this.#initiator.inFlight === 0) {
        const order = this.#order('write', this.#next++);
        this.#initiator.submit(order, (outcome) => {
          if (outcome === 'GOOD') this.acknowledged++;
        });
      }
      return condition();
    }, 90_000);
  }

  write(count: number): void {
    const wanted = this.acknowledged + count;
    this.writeUntil(() => this.acknowledged >= wanted);
  }

  /** Writes until these and nobody else are voters, and all of them are in sync. */
  untilVoters(replicas: readonly ReplicaMachine[]): void {
    const wanted = replicas.map(({ id }) => id).sort();
    this.writeUntil(() => {
      const { target } = this.#stage;
      const { record, members } = target.replicator.assembly;
      return (
        record?.voters.join() === wanted.join() &&
        members.length === wanted.length &&
        target.healthy
      );
    });
  }

  /** Every block reads as the history allows, and the members in sync are the same. */
  verify(): void {
    const stage = this.#stage;
    stage.until(() => this.#initiator.inFlight === 0);
    for (let block = 0; block < this.blocks; block++) {
      let outcome = '';
      stage.until(() => {
        if (this.#initiator.inFlight > 0) return false;
        if (outcome === 'GOOD') return true;
        this.#initiator.submit(this.#order('read', block), (answer) => (outcome = answer));
        return false;
      });
    }
    stage.runFor(200);
    compareReplicas(stage.world, stage.cluster, stage.target);
  }
}
