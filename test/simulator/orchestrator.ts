import { ChangeRefused } from '../../target/src/replicator/roster.ts';
import type { Cluster } from './cluster.ts';
import type { ReplicaMachine } from './machine.ts';
import type { SimulatedTarget } from './target.ts';

const OBSERVE_MS = 250;

/**
 * Who shall be a member, and how large the volume shall be: recorded first, then brought about by
 * orders to whichever target serves, again and again until it is so.
 */
export class Orchestrator {
  readonly #cluster: Cluster;
  #wanted: ReplicaMachine[];
  /** Something was asked for, ever: before that the list may be wrong by mistake. */
  #active = false;
  #observing = false;
  /** The target that is to confirm who has departed. */
  #asked: SimulatedTarget | null = null;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#wanted = [...cluster.machines];
  }

  get wanted(): readonly ReplicaMachine[] {
    return this.#wanted;
  }

  get wantedCopies(): number {
    return this.#wanted.filter(({ role }) => role === 'data').length;
  }

  /** What was asked for is so, and nothing is on its way. */
  get converged(): boolean {
    if (!this.#active) return true;
    const replicator = this.#cluster.newest?.replicator;
    const voters = replicator?.assembly.record?.voters ?? [];
    return (
      replicator?.sizeBytes === this.#cluster.sizeBytes &&
      voters.length === this.#wanted.length &&
      this.#wanted.every(({ id }) => voters.includes(id)) &&
      this.#cluster.machines.length === this.#wanted.length
    );
  }

  add(): void {
    this.#admit('data');
    this.#adjustWitness();
    this.#begin();
  }

  remove(machine: ReplicaMachine): void {
    this.#wanted = this.#wanted.filter((each) => each !== machine);
    this.#adjustWitness();
    this.#begin();
  }

  /** Its machine is lost for good. */
  replace(machine: ReplicaMachine): void {
    machine.retire();
    this.#admit('data');
    this.#wanted = this.#wanted.filter((each) => each !== machine);
    this.#begin();
  }

  grow(bytes: number): void {
    this.#cluster.sizeBytes += bytes;
    this.#begin();
  }

  #admit(role: 'data' | 'witness'): void {
    const machine = this.#cluster.addMachine(role);
    machine.whole = role === 'witness';
    machine.start();
    this.#wanted.push(machine);
  }

  /** With an even number of copies a witness votes too. */
  #adjustWitness(): void {
    const witness = this.#wanted.find(({ role }) => role === 'witness');
    const even = this.wantedCopies % 2 === 0;
    if (even && witness === undefined) this.#admit('witness');
    if (!even && witness !== undefined) {
      this.#wanted = this.#wanted.filter((each) => each !== witness);
    }
  }

  #begin(): void {
    this.#active = true;
    this.converge();
  }

  /** Gives the orders that are missing, and looks again after a while. */
  converge(): void {
    if (!this.#active) return;
    this.#order();
    this.#dismiss();
    if (this.#observing || this.converged) return;
    this.#observing = true;
    this.#cluster.world.after(OBSERVE_MS, () => {
      this.#observing = false;
      this.converge();
    });
  }

  #order(): void {
    const { newest, sizeBytes } = this.#cluster;
    if (newest?.ready !== true) return;
    const { assembly } = newest.replicator;
    newest.process.run(() => {
      try {
        assembly.declare(this.#wanted.map(({ address }) => address));
      } catch (error) {
        if (!(error instanceof ChangeRefused)) throw error;
      }
      if (newest.replicator.sizeBytes >= sizeBytes) return;
      assembly.growth.grow(sizeBytes).catch((error: unknown) => {
        if (!(error instanceof ChangeRefused)) throw error;
      });
    });
  }

  /** Whom the record in force names no more ends, when the target has confirmed that. */
  #dismiss(): void {
    const { newest, machines } = this.#cluster;
    const assembly = newest?.replicator.assembly;
    if (newest?.ready !== true || assembly?.phase !== 'serving') return;
    const voters = assembly.record?.voters;
    if (voters === undefined || this.#asked === newest) return;
    const gone = machines.filter(
      (machine) =>
        !this.#wanted.includes(machine) &&
        !voters.includes(machine.id) &&
        assembly.members.every(({ address }) => address !== machine.address),
    );
    if (gone.length === 0) return;
    this.#asked = newest;
    newest.process.run(() => {
      const confirmed = assembly.electorate.confirmDeparted(gone.map(({ id }) => id));
      confirmed.then(
        () => {
          this.#asked = null;
          for (const machine of gone) machine.retire();
          this.#cluster.machines = this.#cluster.machines.filter((each) => !gone.includes(each));
        },
        (error: unknown) => {
          this.#asked = null;
          if (!(error instanceof ChangeRefused)) throw error;
        },
      );
    });
  }
}
