import type { Cluster } from './cluster.ts';
import type { ReplicaMachine } from './machine.ts';
import { Network } from './network.ts';
import type { World } from './world.ts';

/** Where volumes live: those whose replicas are on one machine lose its power together. */
export class Site {
  readonly world: World;
  readonly network: Network;
  readonly clusters: Cluster[] = [];
  /** How many volumes there have been. */
  made = 0;

  constructor(world: World) {
    this.world = world;
    this.network = new Network(world);
  }

  /** Steps until the condition holds, and checks what must hold after each. */
  until(condition: () => boolean, withinMs: number): boolean {
    return this.world.runUntil(() => {
      for (const cluster of this.clusters) cluster.check();
      return condition();
    }, withinMs);
  }

  /** All replicas on the machines of these. */
  neighbours(machines: readonly ReplicaMachine[]): readonly ReplicaMachine[] {
    const hosts = new Set(machines.map(({ host }) => host));
    return this.clusters.flatMap((cluster) =>
      cluster.machines.filter(({ host }) => hosts.has(host)),
    );
  }

  /** Machines stop at the same moment. Returns all replicas that were on them. */
  losePower(machines: readonly ReplicaMachine[]): readonly ReplicaMachine[] {
    const lost = this.neighbours(machines);
    const hit = this.clusters
      .filter((cluster) => cluster.machines.some((machine) => lost.includes(machine)))
      // Asked while they still know it.
      .map((cluster) => ({ cluster, record: cluster.newestRecord() }));
    for (const machine of lost) machine.losePower();
    for (const { cluster, record } of hit) cluster.lostPower(record);
    return lost;
  }

  /** The replicas that have this file of one of them, and that one. */
  sharing(machine: ReplicaMachine, file: string): { cluster: Cluster; machine: ReplicaMachine }[] {
    return this.clusters.flatMap((cluster) =>
      cluster.machines
        .filter(({ disk }) => disk === machine.disk || disk.shares(file, machine.disk))
        .map((each) => ({ cluster, machine: each })),
    );
  }
}
