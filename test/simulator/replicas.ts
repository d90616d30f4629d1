import type { Store } from '../../replica/src/store/index.ts';
import type { Cluster } from './cluster.ts';
import type { ReplicaMachine } from './machine.ts';
import type { SimulatedTarget } from './target.ts';
import { Violation } from './world.ts';
import type { World } from './world.ts';

const BLOCK = 4096;

/** I4: at rest the members in sync are the same, allocation and bytes, and verify (I9). */
export const compareReplicas = (world: World, cluster: Cluster, target: SimulatedTarget): void => {
  const inSync = target.replicator.assembly.record?.inSync ?? [];
  const members = cluster.dataMachines.filter(
    (machine) => inSync.includes(machine.id) && machine.store !== null,
  );
  const contents = members.map((machine) => contentOf(world, cluster, machine));
  const first = contents[0];
  if (first === undefined) throw new Violation('I4', 'no replica in sync is there to be compared');
  contents.forEach((content, index) => {
    const blocks = new Set([...first.keys(), ...content.keys()]);
    for (const block of blocks) {
      const mine = content.get(block);
      const theirs = first.get(block);
      if (mine === theirs || (mine !== undefined && theirs?.equals(mine) === true)) continue;
      throw new Violation(
        'I4',
        `block ${block} (sectors from ${block * 8}) is ${shown(mine)} on ${members[index]!.name} ` +
          `and ${shown(theirs)} on ${members[0]!.name}`,
      );
    }
  });
};

const shown = (block: Buffer | undefined): string =>
  block === undefined
    ? 'not allocated'
    : Array.from({ length: 8 }, (_, sector) => block.readUInt32LE(sector * 512)).join(' ');

/** The blocks that are allocated. */
const contentOf = (
  world: World,
  cluster: Cluster,
  machine: ReplicaMachine,
): Map<number, Buffer> => {
  const store = machine.store!;
  const { sizeBytes } = cluster;
  const content = new Map<number, Buffer>();
  store.allocation(0, sizeBytes).forEach((bits, byte) => {
    for (let bit = 0; bits >>> bit !== 0; bit++) {
      if ((bits & (1 << bit)) === 0) continue;
      const block = byte * 8 + bit;
      content.set(block, readBlock(world, store, machine, block));
    }
  });
  return content;
};

const readBlock = (world: World, store: Store, machine: ReplicaMachine, block: number): Buffer => {
  const into = Buffer.alloc(BLOCK);
  const outcome: { error: Error | null; done: boolean } = { error: null, done: false };
  store.read(block * BLOCK, into, Buffer.alloc(4), (error) => {
    outcome.error = error;
    outcome.done = true;
  });
  world.runUntil(() => outcome.done, 1_000);
  if (outcome.done && outcome.error === null) return into;
  throw new Violation(
    'I9',
    `block ${block} of ${machine.name} cannot be read at the end: ` +
      (outcome.error?.message ?? 'no answer'),
  );
};
