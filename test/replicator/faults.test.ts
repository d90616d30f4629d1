/**
 * Goal: single faults, each with its defined answer: rot, a full disk, a lost majority, a
 * second target, a stop in good order.
 * Method: one volume of the simulator, and a schedule that is written down.
 */
import { expect } from 'chai';
import type { ReplicaMachine } from '../simulator/machine.ts';
import type { SimulatedTarget } from '../simulator/target.ts';
import { BLOCK, IMAGE, onStage, type Stage } from './stage.ts';

const ENOSPC = 28;

describe('a fault of one part', () => {
  const good = Buffer.alloc(BLOCK, 0x5a);

  const isFull = ({ disk }: ReplicaMachine): void =>
    disk.failNext({ fileName: IMAGE, operation: 'write', errno: ENOSPC });

  /** Its connections break, and no other comes about until that is called which this returns. */
  const cutOff = ({ replicas, cluster: { network } }: Stage, target: SimulatedTarget) => {
    const { host, sockets } = target;
    const ways = replicas.flatMap((replica) => [
      [host, replica.host] as const,
      [replica.host, host] as const,
    ]);
    for (const [from, to] of ways) network.block(from, to);
    for (const socket of sockets.values()) socket.cut(true, true);
    return (): void => {
      for (const [from, to] of ways) network.heal(from, to);
    };
  };

  const expectGood = (stage: Stage, offset: number, expected = good): void => {
    const { error, data } = stage.io('read', offset);
    expect(error).to.equal(null);
    expect(data.equals(expected)).to.equal(true);
  };

  it(
    'rot is never returned: the block is read elsewhere and written anew',
    onStage({}, (stage) => {
      stage.io('write', 8192, good);
      stage.rot(stage.replica(1), 8192 + 100);
      // Short reads stay with a replica for a while: enough of them to come by each.
      for (let count = 0; count < 3 * 64; count++) expectGood(stage, 8192);
      stage.runFor(2000);
      expect(stage.image(stage.replica(1), 8192, BLOCK).equals(good)).to.equal(true);
      expect(stage.target.healthy).to.equal(true);
    }),
  );

  it(
    'rot of the only copy is a medium error with its place, and the rest stays readable',
    onStage({ dataReplicas: 1 }, (stage) => {
      stage.io('write', 0, Buffer.alloc(16_384, 0x5a));
      stage.rot(stage.replica(0), 4096);
      const { error } = stage.io('read', 0, Buffer.alloc(16_384));
      expect([error?.code, error?.offsetBytes]).to.deep.equal(['MEDIUM_ERROR', 4096]);
      expectGood(stage, 8192);
      expect(stage.io('write', 4096, good).error).to.equal(null);
      expectGood(stage, 4096);
    }),
  );

  it(
    'a member without space leaves the set; the write is acknowledged by the others',
    onStage({}, (stage) => {
      isFull(stage.replica(2));
      expect(stage.io('write', 0, good).error).to.equal(null);
      expect(stage.target.replicator.assembly.record?.inSync.length).to.equal(2);
      stage.untilHealthy();
    }),
  );

  it(
    'members without space vote on, so that the one that has some goes on, and come back later',
    onStage({}, (stage) => {
      for (const replica of stage.replicas.slice(1)) isFull(replica);
      expect(stage.io('write', 0, good).error).to.equal(null);
      stage.runFor(2_000);
      const { members } = stage.target.replicator.assembly;
      expect(members.map(({ state }) => state.kind)).to.deep.equal([
        'in-sync',
        'promised',
        'promised',
      ]);
      const { error, tookMs } = stage.io('write', 4096, good);
      expect(error).to.equal(null);
      expect(tookMs).to.be.below(100);
      stage.untilHealthy();
    }),
  );

  it(
    'the last member without space refuses writes, serves reads, and takes writes when there is space',
    onStage({ dataReplicas: 1 }, (stage) => {
      stage.io('write', 0, good);
      isFull(stage.replica(0));
      expect(stage.io('write', 4096, good).error?.code).to.equal('NO_SPACE');
      expect(stage.io('write', 8192, good).error?.code).to.equal('NO_SPACE');
      expectGood(stage, 0);
      stage.untilHealthy();
      expect(stage.io('write', 4096, good).error).to.equal(null);
    }),
  );

  it(
    'below a majority nothing is acknowledged; after the hold time the answer is NOT READY',
    onStage({ holdMs: 3000 }, (stage) => {
      stage.replica(0).kill();
      stage.replica(1).kill();
      stage.runFor(50);
      const { error, tookMs } = stage.io('write', 0, good);
      expect(error?.code).to.equal('NOT_READY');
      expect(tookMs).to.be.within(2000, 3100);
      expect(stage.target.ready).to.equal(false);
      stage.start(stage.replica(0));
      stage.until(() => stage.target.ready);
      expect(stage.io('write', 0, good).error).to.equal(null);
    }),
  );

  it(
    'a target that was replaced acknowledges nothing more',
    onStage({}, (stage) => {
      const { target: first } = stage;
      first.process.pause();
      const held = stage.submit('write', 0, good);
      const second = stage.startTarget();
      stage.untilHealthy();
      first.process.goOn();
      stage.until(() => held.done);
      expect(held.error?.code).to.equal('FENCED');
      expect(first.fenced).to.equal(true);
      expect(second.fenced).to.equal(false);
    }),
  );

  it(
    'a target confirms that a replica may go only where none has replaced it',
    onStage({}, (stage) => {
      const { target: first } = stage;
      const { assembly } = first.replicator;
      const confirm = (id: string): string => {
        const confirmed = assembly.electorate.confirmDeparted([id]);
        const told = (error: unknown): string => (error as Error).message;
        return stage.settled(confirmed.then(() => 'confirmed', told));
      };
      expect(confirm('somebody else')).to.equal('confirmed');
      expect(confirm(assembly.record?.voters[0] ?? '')).to.contain('votes still');
      cutOff(stage, first);
      stage.startTarget();
      stage.untilHealthy();
      expect(confirm('somebody else')).to.contain('no other target serves');
    }),
  );

  it(
    'a target that was cut off and replaced does not take the volume back',
    onStage({}, (stage) => {
      const { target: first } = stage;
      const reconnect = cutOff(stage, first);
      const held = stage.submit('write', 0, good);
      const second = stage.startTarget();
      stage.untilHealthy();
      const newer = Buffer.alloc(BLOCK, 0x77);
      expect(stage.io('write', 0, newer).error).to.equal(null);
      reconnect();
      stage.until(() => first.fenced);
      expect(held.error?.code).to.equal('FENCED');
      expectGood(stage, 0, newer);
      expect(second.fenced).to.equal(false);
    }),
  );

  it(
    'documents survive the loss of any one replica and of the target',
    onStage({}, (stage) => {
      const { replicator } = stage.target;
      stage.settled(replicator.writeDocument('reservations', Buffer.from('first')));
      stage.replica(0).kill();
      stage.settled(replicator.writeDocument('reservations', Buffer.from('second')));
      stage.target.kill();
      stage.replica(1).kill();
      stage.start(stage.replica(0), stage.replica(1));
      const next = stage.startTarget();
      stage.until(() => next.replicator.isOpen);
      const read = stage.settled(next.replicator.readDocument('reservations'));
      expect(Buffer.from(read!).toString()).to.equal('second');
      expect(stage.settled(next.replicator.readDocument('settings'))).to.equal(null);
    }),
  );

  it(
    'a stop in good order leaves nothing to be compared',
    onStage({}, (stage) => {
      stage.io('write', 0, good);
      stage.target.stop();
      stage.until(() => !stage.target.alive);
      stage.startTarget();
      stage.untilHealthy();
      expect(stage.log).to.match(/target-2 +activated .*compared=0/);
      expectGood(stage, 0);
    }),
  );
});
