import { expect } from 'chai';
import { FakeKubeApi } from '../kubernetes/fake-kube-api.test-support.ts';
import { Reflector } from '../kubernetes/reflector.ts';
import { settle, VirtualClock } from '../kubernetes/virtual-clock.test-support.ts';
import { WorkQueue } from '../kubernetes/work-queue.ts';
import { BoundFirst } from './bound-first.ts';
import { PROVISIONED_BY, PROVISIONER, VOLUMES, type PersistentVolume } from './contract.ts';

const MANY = 20;

describe('volumes of new claims', () => {
  let api: FakeKubeApi;
  let clock: VirtualClock;
  let queue: WorkQueue;
  let boundFirst: BoundFirst;
  let filled: Set<string>;
  let stop: AbortController;
  let watching: Promise<void>;

  beforeEach(() => {
    api = new FakeKubeApi();
    clock = new VirtualClock();
    queue = new WorkQueue({ clock, retryMinMs: 1_000, retryMaxMs: 1_000 });
    stop = new AbortController();
    filled = new Set();
    const volumes = new Reflector({ api, clock, resource: VOLUMES, log: () => undefined });
    boundFirst = new BoundFirst({ clock, volumes, queue });
    watching = volumes.run(stop.signal);
  });

  afterEach(async () => {
    stop.abort();
    await watching;
  });

  const create = async (name: string): Promise<void> => {
    const annotations = { [PROVISIONED_BY]: PROVISIONER };
    const { apiVersion, kind } = VOLUMES;
    await api.create(VOLUMES, { apiVersion, kind, metadata: { name, annotations } });
    await settle();
  };

  const setPhase = async (name: string, phase: string): Promise<void> => {
    const volume: PersistentVolume = await api.get(VOLUMES, { name });
    await api.replace(VOLUMES, { ...volume, status: { phase } });
    await settle();
  };

  /** As the record controller does with what is in its queue. */
  const fill = async (): Promise<number> => {
    await settle();
    while (queue.length > 0) {
      const name = (await queue.next()) ?? '';
      if (boundFirst.mayFill(name)) filled.add(name);
      queue.done(name);
    }
    return filled.size;
  };

  const names = Array.from({ length: MANY }, (_, index) => `pvc-${index}`);

  it('are filled as soon as their own claims are bound, where they are few', async () => {
    for (const name of ['pvc-0', 'pvc-1', 'pvc-2']) await create(name);
    expect(boundFirst.mayFill('pvc-1'), 'not bound yet').to.equal(false);
    await setPhase('pvc-1', 'Bound');
    await fill();
    expect([...filled]).to.deep.equal(['pvc-1']);
  });

  it('are filled in a rush when the last of the claims is bound', async () => {
    for (const name of names) await create(name);
    for (const name of names.slice(1)) {
      await setPhase(name, 'Bound');
      expect(await fill()).to.equal(0);
    }
    await setPhase('pvc-0', 'Bound');
    expect(await fill()).to.equal(MANY);
    filled.clear();
    await create('pvc-later');
    await setPhase('pvc-later', 'Bound');
    expect(await fill(), 'the rush is over').to.equal(1);
  });

  it('are filled in a rush that goes on when they have waited their time', async () => {
    for (const name of names) await create(name);
    await setPhase('pvc-0', 'Bound');
    expect(await fill()).to.equal(0);
    await clock.pass(15_000);
    // The rush goes on by those that come.
    for (const name of names) await create(`${name}-later`);
    expect(await fill()).to.equal(0);
    await clock.pass(5_000);
    await fill();
    expect([...filled]).to.deep.equal(['pvc-0']);
  });

  it('do not wait for one that nobody binds, or that is gone', async () => {
    for (const name of names) await create(name);
    await setPhase('pvc-0', 'Bound');
    for (const name of names.slice(2)) {
      await api.remove(VOLUMES, { name });
      await settle();
    }
    expect(await fill(), 'one is left that is not bound').to.equal(0);
    await clock.pass(20_000);
    expect(await fill()).to.equal(1);
    await create('pvc-later');
    await setPhase('pvc-later', 'Bound');
    expect(await fill(), 'the rush is over').to.equal(2);
  });
});
