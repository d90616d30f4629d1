import { expect } from 'chai';
import { VolumeError } from '../volume.ts';
import type { SimulatedReplica } from './simulated-replica.test-support.ts';
import { operation, Simulation, type SimulatedTarget } from './simulation.test-support.ts';

/**
 * Goal: the blocks of an atomic write are all old or all new, whichever replicas are left of an
 * activation that was cut short, and a replica of an older release is never asked for one.
 * Method: one of three replicas has the write when the target dies; the next target is killed with
 * that replica after the nth event of its activation, for every n; what is left has to be whole.
 */
const MIB = 1024 * 1024;
const BLOCK = 4096;
/** Over the edge of two extents. */
const OFFSET = MIB - 3 * BLOCK;
const BLOCKS = 6;

const contentOf = (value: number): Buffer => {
  const content = Buffer.alloc(BLOCKS * BLOCK, value);
  // The same in all: so that what differs is no single run that would be copied in one piece.
  content.fill(0xee, BLOCK, 2 * BLOCK);
  content.fill(0xee, 4 * BLOCK, 5 * BLOCK);
  return content;
};

const submit = async (
  simulation: Simulation,
  target: SimulatedTarget,
  kind: 'write' | 'write-atomic' | 'read',
  content = contentOf(0),
): Promise<{ error: VolumeError | null; data: Buffer }> => {
  let result: { error: VolumeError | null; data: Buffer } | null = null;
  target.replicator.submit(
    operation(kind, OFFSET, content.length, [Buffer.from(content)], (error, io) => {
      result = { error, data: Buffer.concat(io.chunks) };
    }),
  );
  expect(await simulation.runUntil(() => result !== null, 60_000)).to.equal(true);
  return result as unknown as { error: VolumeError | null; data: Buffer };
};

const holds = ({ disk }: SimulatedReplica, value: number): boolean => {
  const image = Buffer.alloc(BLOCKS * BLOCK);
  disk.open('000001.img').read(image, 0, image.length, OFFSET);
  return image.equals(contentOf(value));
};

/** Null where the write came to more than one replica, or to none. */
const cutShort = async (seed: number, events: number): Promise<string | null> => {
  const simulation = new Simulation(seed, { replicas: 3, sizeBytes: 4 * MIB });
  for (const replica of simulation.replicas) await replica.start();
  const target = simulation.target();
  expect(await simulation.runUntil(() => simulation.healthy(target), 10_000)).to.equal(true);
  expect((await submit(simulation, target, 'write', contentOf(1))).error).to.equal(null);
  target.replicator.submit(
    operation('write-atomic', OFFSET, BLOCKS * BLOCK, [contentOf(2)], () => undefined),
  );
  const having = (): SimulatedReplica[] => simulation.replicas.filter((each) => holds(each, 2));
  expect(await simulation.runUntil(() => having().length > 0, 1_000)).to.equal(true);
  simulation.killTarget(target);
  await simulation.runFor(20);
  const [holder, ...more] = having();
  if (holder === undefined || more.length > 0) return null;
  const [other, absent] = simulation.replicas.filter((each) => each !== holder);
  absent!.kill(false);
  const next = simulation.target({ graceMs: 0 });
  let left = events;
  while (left-- > 0 && !next.replicator.isOpen) await simulation.step();
  if (next.replicator.isOpen) return 'over';
  simulation.killTarget(next);
  await simulation.runFor(20);
  holder.kill(false);
  await absent!.start();
  const last = simulation.target({ graceMs: 0 });
  // Where the record names the holder only, everything waits for it.
  if (!(await simulation.runUntil(() => last.replicator.isOpen, 5_000))) await holder.start();
  expect(await simulation.runUntil(() => last.replicator.isOpen, 60_000)).to.equal(true);
  const { error, data } = await submit(simulation, last, 'read');
  expect(error).to.equal(null);
  const found = data[0]!;
  expect(data.equals(contentOf(found)), `seed ${seed}, ${events} events`).to.equal(true);
  expect(holds(other!, 1) || holds(other!, 2), `seed ${seed}, ${events} events`).to.equal(true);
  return found === 2 ? 'new' : 'old';
};

describe('an atomic write', () => {
  it('is whole on whoever is left when an activation that spreads it or takes it back is cut short', async () => {
    const seen = new Set<string | null>();
    for (let seed = 0; seed < 4; seed++)
      for (let events = 8; events < 200; events += 1 + (seed % 3)) {
        const outcome = await cutShort(seed, events);
        seen.add(outcome);
        if (outcome === 'over' || outcome === null) break;
      }
    expect(seen).to.include('old').and.include('new').and.include('over');
  }).timeout(60_000);

  it('waits for the one before it, and is answered after it', async () => {
    const simulation = new Simulation(3, { replicas: 3, sizeBytes: 4 * MIB });
    for (const replica of simulation.replicas) await replica.start();
    const target = simulation.target();
    expect(await simulation.runUntil(() => simulation.healthy(target), 10_000)).to.equal(true);
    const { replicator } = target;
    const answered: number[] = [];
    for (let index = 0; index < 5; index++) {
      const content = Buffer.alloc(BLOCK, index + 1);
      replicator.submit(
        operation('write-atomic', index * BLOCK, BLOCK, [content], (error) => {
          expect(error).to.equal(null);
          answered.push(index);
        }),
      );
      content.fill(0xdd);
      expect(replicator.stream.pendingOperations).to.equal(1);
    }
    expect(await simulation.runUntil(() => answered.length === 5, 10_000)).to.equal(true);
    expect(answered).to.deep.equal([0, 1, 2, 3, 4]);
    for (const { disk } of simulation.replicas) {
      const image = Buffer.alloc(5 * BLOCK);
      disk.open('000001.img').read(image, 0, image.length, 0);
      expect([0, 1, 2, 3, 4].map((index) => image[index * BLOCK + 7])).to.deep.equal([
        1, 2, 3, 4, 5,
      ]);
    }
  });

  it('that waits for its turn is answered when the volume is given up, and done when it goes on', async () => {
    for (const holdMs of [1_000, 30_000]) {
      const simulation = new Simulation(4, { replicas: 3, sizeBytes: 4 * MIB });
      for (const replica of simulation.replicas) await replica.start();
      const target = simulation.target({ holdMs });
      expect(await simulation.runUntil(() => simulation.healthy(target), 10_000)).to.equal(true);
      const outcomes: (string | null)[] = [];
      for (let index = 0; index < 3; index++) {
        const content = Buffer.alloc(BLOCK, index + 1);
        target.replicator.submit(
          operation('write-atomic', index * BLOCK, BLOCK, [content], (error) => {
            outcomes.push(error === null ? null : error.code);
          }),
        );
      }
      simulation.replicas[0]!.kill(false);
      simulation.replicas[1]!.kill(false);
      await simulation.runFor(3_000);
      const givenUp = holdMs === 1_000;
      expect(outcomes).to.deep.equal(givenUp ? new Array(3).fill('NOT_READY') : []);
      await simulation.replicas[0]!.start();
      await simulation.replicas[1]!.start();
      expect(await simulation.runUntil(() => simulation.healthy(target), 60_000)).to.equal(true);
      if (!givenUp) expect(outcomes).to.deep.equal([null, null, null]);
      expect((await submit(simulation, target, 'write-atomic', contentOf(9))).error).to.equal(null);
      expect((await submit(simulation, target, 'read')).data.equals(contentOf(9))).to.equal(true);
    }
  });
});
