/**
 * Goal: single faults, each with its defined answer: rot, a full disk, a lost majority, a
 * second target, a stop in good order.
 * Method: simulated replicas with the real store, and a schedule that is written down.
 */
import { expect } from 'chai';
import type { VolumeError } from '../volume.ts';
import { operation, Simulation, type SimulatedTarget } from './simulation.test-support.ts';

const MIB = 1024 * 1024;
const ENOSPC = 28;
const IMAGE = '000001.img';

const start = async (
  replicas = 3,
  options: { holdMs?: number; graceMs?: number } = {},
): Promise<{ simulation: Simulation; target: SimulatedTarget }> => {
  const simulation = new Simulation(replicas, { replicas, sizeBytes: 4 * MIB });
  for (const replica of simulation.replicas) await replica.start();
  const target = simulation.target(options);
  expect(await simulation.runUntil(() => simulation.healthy(target), 10_000)).to.equal(true);
  return { simulation, target };
};

interface Outcome {
  readonly error: VolumeError | null;
  readonly data: Buffer;
}

const run = async (
  simulation: Simulation,
  target: SimulatedTarget,
  kind: 'read' | 'write' | 'flush',
  offset = 0,
  content: Buffer = Buffer.alloc(4096),
): Promise<Outcome> => {
  let outcome: Outcome | null = null;
  const length = kind === 'flush' ? 0 : content.length;
  target.replicator.submit(
    operation(kind, offset, length, [Buffer.from(content)], (error, io) => {
      outcome = { error, data: Buffer.concat(io.chunks) };
    }),
  );
  expect(await simulation.runUntil(() => outcome !== null, 120_000), `${kind} ends`).to.equal(true);
  return outcome as unknown as Outcome;
};

const rot = (simulation: Simulation, index: number, offset: number): void => {
  simulation.replicas[index]!.disk.open(IMAGE).write(Buffer.from([0xba, 0xad]), offset);
};

describe('a fault of one part', () => {
  const good = Buffer.alloc(4096, 0x5a);

  it('rot is never returned: the block is read elsewhere and written anew', async () => {
    const { simulation, target } = await start();
    await run(simulation, target, 'write', 8192, good);
    rot(simulation, 1, 8192 + 100);
    // Short reads stay with a replica for a while: enough of them to come by each.
    for (let count = 0; count < 3 * 64; count++) {
      const { error, data } = await run(simulation, target, 'read', 8192, good);
      expect(error).to.equal(null);
      expect(data.equals(good)).to.equal(true);
    }
    await simulation.runFor(2000);
    const image = Buffer.alloc(4096);
    simulation.replicas[1]!.disk.open(IMAGE).read(image, 0, 4096, 8192);
    expect(image.equals(good)).to.equal(true);
    expect(simulation.healthy(target)).to.equal(true);
  });

  it('rot of the only copy is a medium error with its place, and the rest stays readable', async () => {
    const { simulation, target } = await start(1);
    await run(simulation, target, 'write', 0, Buffer.alloc(16_384, 3));
    rot(simulation, 0, 4096);
    const { error } = await run(simulation, target, 'read', 0, Buffer.alloc(16_384));
    expect([error?.code, error?.offsetBytes]).to.deep.equal(['MEDIUM_ERROR', 4096]);
    expect((await run(simulation, target, 'read', 8192, good)).error).to.equal(null);
    expect((await run(simulation, target, 'write', 4096, good)).error).to.equal(null);
    expect((await run(simulation, target, 'read', 4096, good)).data.equals(good)).to.equal(true);
  });

  it('a member without space leaves the set; the write is acknowledged by the others', async () => {
    const { simulation, target } = await start();
    simulation.replicas[2]!.disk.failNext({ fileName: IMAGE, operation: 'write', errno: ENOSPC });
    expect((await run(simulation, target, 'write', 0, good)).error).to.equal(null);
    expect(target.replicator.assembly.record?.inSync.length).to.equal(2);
    await simulation.runUntil(() => simulation.healthy(target), 60_000);
    expect(simulation.healthy(target)).to.equal(true);
  });

  it('members without space vote on, so that the one that has some goes on, and come back later', async () => {
    const { simulation, target } = await start();
    for (const replica of simulation.replicas.slice(1)) {
      replica.disk.failNext({ fileName: IMAGE, operation: 'write', errno: ENOSPC });
    }
    expect((await run(simulation, target, 'write', 0, good)).error).to.equal(null);
    await simulation.runFor(2_000);
    const { members } = target.replicator.assembly;
    expect(members.map(({ state }) => state.kind)).to.deep.equal([
      'in-sync',
      'promised',
      'promised',
    ]);
    const before = simulation.now;
    expect((await run(simulation, target, 'write', 4096, good)).error).to.equal(null);
    expect(simulation.now - before).to.be.below(100);
    expect(await simulation.runUntil(() => simulation.healthy(target), 60_000)).to.equal(true);
  });

  it('the last member without space refuses writes, serves reads, and takes writes when there is space', async () => {
    const { simulation, target } = await start(1);
    await run(simulation, target, 'write', 0, good);
    simulation.replicas[0]!.disk.failNext({ fileName: IMAGE, operation: 'write', errno: ENOSPC });
    expect((await run(simulation, target, 'write', 4096, good)).error?.code).to.equal('NO_SPACE');
    expect((await run(simulation, target, 'write', 8192, good)).error?.code).to.equal('NO_SPACE');
    expect((await run(simulation, target, 'read', 0, good)).data.equals(good)).to.equal(true);
    const writable = (): boolean => target.replicator.isOpen && !target.replicator.isFull;
    expect(await simulation.runUntil(writable, 60_000)).to.equal(true);
    expect((await run(simulation, target, 'write', 4096, good)).error).to.equal(null);
  });

  it('below a majority nothing is acknowledged; after the hold time the answer is NOT READY', async () => {
    const { simulation, target } = await start(3, { holdMs: 3000 });
    simulation.replicas[0]!.kill(false);
    simulation.replicas[1]!.kill(false);
    await simulation.runFor(50);
    const before = simulation.now;
    const { error } = await run(simulation, target, 'write', 0, good);
    expect(error?.code).to.equal('NOT_READY');
    expect(simulation.now - before).to.be.within(2000, 3100);
    expect(target.replicator.ready).to.equal(false);
    await simulation.replicas[0]!.start();
    expect(await simulation.runUntil(() => target.replicator.ready, 30_000)).to.equal(true);
    expect((await run(simulation, target, 'write', 0, good)).error).to.equal(null);
  });

  it('a target that was replaced acknowledges nothing more', async () => {
    const { simulation, target } = await start();
    const second = simulation.target();
    expect(await simulation.runUntil(() => simulation.healthy(second), 20_000)).to.equal(true);
    const { error } = await run(simulation, target, 'write', 0, good);
    expect(error?.code).to.equal('FENCED');
    expect(target.fenced).to.equal(true);
    expect(second.fenced).to.equal(false);
  });

  it('a target confirms that a replica may go only where none has replaced it', async () => {
    const { simulation, target } = await start();
    const confirm = async (ids: readonly string[]): Promise<string> => {
      const told: string[] = [];
      const { electorate } = target.replicator.assembly;
      electorate.confirmDeparted(ids).then(
        () => told.push('confirmed'),
        (error: unknown) => told.push((error as Error).message),
      );
      await simulation.runUntil(() => told.length > 0, 20_000);
      return told.join();
    };
    const voter = target.replicator.assembly.record?.voters[0] ?? '';
    expect(await confirm(['somebody else'])).to.equal('confirmed');
    expect(await confirm([voter])).to.contain('votes still');
    const second = simulation.target();
    expect(await simulation.runUntil(() => simulation.healthy(second), 20_000)).to.equal(true);
    expect(await confirm(['somebody else'])).to.contain('no other target serves');
  });

  it('a target that was cut off and replaced does not take the volume back', async () => {
    const { simulation, target } = await start();
    target.cutOff = true;
    for (const { links } of simulation.replicas) for (const link of [...links]) link.cut();
    const held: (VolumeError | null)[] = [];
    target.replicator.submit(operation('write', 0, 4096, [good], (error) => held.push(error)));
    const second = simulation.target();
    expect(await simulation.runUntil(() => simulation.healthy(second), 40_000)).to.equal(true);
    const newer = Buffer.alloc(4096, 0x77);
    expect((await run(simulation, second, 'write', 0, newer)).error).to.equal(null);
    target.cutOff = false;
    expect(await simulation.runUntil(() => target.fenced, 20_000)).to.equal(true);
    expect(held.map((error) => error?.code)).to.deep.equal(['FENCED']);
    expect((await run(simulation, second, 'read', 0, good)).data.equals(newer)).to.equal(true);
    expect(second.fenced).to.equal(false);
  });

  it('documents survive the loss of any one replica and of the target', async () => {
    const { simulation, target } = await start();
    const settle = async <T>(work: Promise<T>): Promise<T> => {
      let done = false;
      const end = (): void => void (done = true);
      work.then(end, end);
      await simulation.runUntil(() => done, 60_000);
      return work;
    };
    await settle(target.replicator.writeDocument('reservations', Buffer.from('first')));
    simulation.replicas[0]!.kill(false);
    await settle(target.replicator.writeDocument('reservations', Buffer.from('second')));
    simulation.killTarget(target);
    simulation.replicas[1]!.kill(false);
    await simulation.replicas[0]!.start();
    await simulation.replicas[1]!.start();
    const next = simulation.target();
    expect(await simulation.runUntil(() => next.replicator.isOpen, 20_000)).to.equal(true);
    const read = await settle(next.replicator.readDocument('reservations'));
    expect(Buffer.from(read!).toString()).to.equal('second');
    expect(await settle(next.replicator.readDocument('settings'))).to.equal(null);
  });

  it('a stop in good order leaves nothing to be compared', async () => {
    const { simulation, target } = await start();
    await run(simulation, target, 'write', 0, good);
    let closed = false;
    void target.replicator.close().then(() => (closed = true));
    expect(await simulation.runUntil(() => closed, 20_000)).to.equal(true);
    simulation.killTarget(target);
    const next = simulation.target();
    expect(await simulation.runUntil(() => simulation.healthy(next), 20_000)).to.equal(true);
    expect(simulation.log.at(-1)).to.include('"compared":0');
    expect((await run(simulation, next, 'read', 0, good)).data.equals(good)).to.equal(true);
  });
});
