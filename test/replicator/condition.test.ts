/**
 * Goal: what a volume says of itself to people: what initiators get, since when, why, what is next.
 * Method: one volume of the simulator, of which replicas are lost and come back.
 */
import { expect } from 'chai';
import { ConditionLog } from '../../target/src/condition-log.ts';
import type { TargetFacts } from '../../target/src/facts.ts';
import type { IscsiServer } from '../../target/src/iscsi/index.ts';
import { onStage, type Stage } from './stage.ts';

const EPOCH_MS = Date.parse('2026-01-01T00:00:00Z');

const wallMs = ({ world }: Stage): number => EPOCH_MS + world.now;

const watch = (stage: Stage): ConditionLog => {
  const { replicator } = stage.target;
  const facts = { replicator, server: () => ({}) as IscsiServer, stopping: () => false };
  const log = new ConditionLog(facts as TargetFacts, () => wallMs(stage));
  replicator.onCondition(() => log.note());
  log.note();
  return log;
};

describe('the condition of a volume', () => {
  it(
    'is healthy without a reason, since the first look',
    onStage({}, (stage) => {
      const log = watch(stage);
      const since = new Date(wallMs(stage)).toISOString();
      stage.runFor(5_000);
      const healthy = { state: 'healthy', access: 'read-write', reason: null, next: null };
      expect(log.now()).to.deep.equal({ ...healthy, since });
    }),
  );

  it(
    'is degraded since the loss of a replica, not since somebody asked',
    onStage({}, (stage) => {
      const log = watch(stage);
      stage.runFor(5_000);
      const lostMs = wallMs(stage);
      stage.replica(1).kill();
      stage.runFor(30_000);
      const { state, access, since, reason, next } = log.now();
      expect([state, access]).to.deep.equal(['degraded', 'read-write']);
      expect(Date.parse(since) - lostMs).to.be.within(0, 1_000);
      expect(reason).to.include(stage.replica(1).address).and.to.include('is offline');
      expect(reason).to.not.include(stage.replica(0).address);
      expect(next).to.include('go on until one more is lost').and.to.include('dialled again');
      const member = stage.target.replicator.assembly.members[1]!;
      expect(log.memberSince(member)).to.equal(since);
    }),
  );

  it(
    'waits without a majority and says until when, then answers NOT READY, then is healthy',
    onStage({}, (stage) => {
      const log = watch(stage);
      const { holdMs } = stage.target.replicator;
      stage.replica(1).kill();
      stage.replica(2).kill();
      stage.runFor(2_000);
      const waiting = log.now();
      expect([waiting.state, waiting.access]).to.deep.equal(['unavailable', 'waiting']);
      expect(waiting.reason).to.match(/^waiting for .*majority/);
      const untilMs = Date.parse(waiting.since) + holdMs;
      const shown = new Date(untilMs).toISOString().slice(0, 19);
      expect(waiting.next).to.include(`held until ${shown}Z`);
      stage.runFor(holdMs * 1.05);
      const failing = log.now();
      expect([failing.state, failing.access]).to.deep.equal(['unavailable', 'none']);
      // The clock of the target's process is not quite that of the wall.
      expect(Date.parse(failing.since) - untilMs).to.be.within(-1_000, 1_000);
      expect(failing.next).to.include('answered NOT READY');
      stage.start(stage.replica(1), stage.replica(2));
      stage.until(() => log.now().state === 'healthy');
      expect(log.now()).to.include({ access: 'read-write', reason: null, next: null });
      expect(Date.parse(log.now().since)).to.be.greaterThan(Date.parse(failing.since));
    }),
  );
});
