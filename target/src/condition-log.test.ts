import { expect } from 'chai';
import { ConditionLog } from './condition-log.ts';
import type { TargetFacts } from './facts.ts';
import type { IscsiServer } from './iscsi/index.ts';
import { Scene } from './replicator/scene.test-support.ts';

const EPOCH_MS = Date.parse('2026-01-01T00:00:00Z');

const watch = async (): Promise<{ scene: Scene; log: ConditionLog; second: () => string }> => {
  const scene = await Scene.begin(7, 3);
  const { simulation, target } = scene;
  const facts = {
    replicator: target.replicator,
    server: () => ({}) as IscsiServer,
    stopping: () => false,
  } as TargetFacts;
  const wallNow = (): number => EPOCH_MS + simulation.now;
  const log = new ConditionLog(facts, wallNow);
  target.replicator.onCondition(() => log.note());
  log.note();
  return { scene, log, second: () => new Date(wallNow()).toISOString() };
};

describe('the condition of a volume', () => {
  it('is healthy without a reason, since the first look', async () => {
    const { scene, log, second } = await watch();
    const began = second();
    await scene.simulation.runFor(5_000);
    expect(log.now()).to.deep.equal({
      state: 'healthy',
      access: 'read-write',
      since: began,
      reason: null,
      next: null,
    });
  });

  it('is degraded since the loss of a replica, not since somebody asked', async () => {
    const { scene, log, second } = await watch();
    await scene.simulation.runFor(5_000);
    const lost = second();
    scene.replica(1).kill(false);
    await scene.simulation.runFor(30_000);
    const { state, access, since, reason, next } = log.now();
    expect([state, access]).to.deep.equal(['degraded', 'read-write']);
    expect(Date.parse(since) - Date.parse(lost)).to.be.within(0, 1_000);
    expect(reason).to.include(scene.replica(1).address).and.to.include('is offline');
    expect(reason).to.not.include(scene.replica(0).address);
    expect(next).to.include('go on until one more is lost').and.to.include('dialled again');
    const member = scene.target.replicator.assembly.members[1]!;
    expect(log.memberSince(member)).to.equal(since);
  });

  it('waits without a majority and says until when, then answers NOT READY, then is healthy', async () => {
    const { scene, log, second } = await watch();
    scene.replica(1).kill(false);
    scene.replica(2).kill(false);
    await scene.simulation.runFor(2_000);
    const waiting = log.now();
    expect([waiting.state, waiting.access]).to.deep.equal(['unavailable', 'waiting']);
    expect(waiting.reason).to.match(/^waiting for .*majority/);
    const until = new Date(Date.parse(waiting.since) + scene.target.replicator.holdMs);
    expect(waiting.next).to.include(`held until ${until.toISOString().slice(0, 19)}Z`);
    await scene.simulation.runFor(scene.target.replicator.holdMs);
    const failing = log.now();
    expect([failing.state, failing.access]).to.deep.equal(['unavailable', 'none']);
    expect(Date.parse(failing.since)).to.be.within(until.getTime(), Date.parse(second()));
    expect(failing.next).to.include('answered NOT READY');
    await scene.replica(1).start();
    await scene.replica(2).start();
    const { simulation } = scene;
    expect(await simulation.runUntil(() => log.now().state === 'healthy', 60_000)).to.equal(true);
    expect(log.now()).to.include({ access: 'read-write', reason: null, next: null });
    expect(Date.parse(log.now().since)).to.be.greaterThan(until.getTime());
  });
});
