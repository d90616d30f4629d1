import { expect } from 'chai';
import { FakeKubeApi } from './fake-kube-api.test-support.ts';
import { KubeError } from './kube-api.ts';
import { LeaderElector, LEASES } from './leader-elector.ts';
import { settle, VirtualClock } from './virtual-clock.test-support.ts';

describe('the leader elector', () => {
  let api: FakeKubeApi;
  let clock: VirtualClock;
  let stop: AbortController;

  const elector = (identity: string): LeaderElector =>
    new LeaderElector({
      api,
      clock,
      namespace: 'openebs',
      name: 'openebs-provisioner',
      identity,
      // Years apart: nothing may be judged by what others write.
      wallClock: () => new Date(identity === 'a' ? '2001-01-01' : '2040-01-01'),
      log: () => undefined,
    });

  const state = async (promise: Promise<unknown>): Promise<unknown> => {
    await settle();
    return Promise.race([promise, Promise.resolve('pending')]);
  };

  beforeEach(() => {
    api = new FakeKubeApi();
    clock = new VirtualClock();
    stop = new AbortController();
  });

  afterEach(() => stop.abort());

  it('lets one lead, and another one only when the lease was not renewed for 15 s', async () => {
    const a = elector('a');
    expect(await a.acquire(stop.signal)).to.equal(true);
    const second = elector('b').acquire(stop.signal);
    await clock.pass(14_000);
    expect(await state(second)).to.equal('pending');
    await clock.pass(6_000);
    expect(await state(second)).to.equal(true);
    const lease = await api.get(LEASES, { namespace: 'openebs', name: 'openebs-provisioner' });
    expect(lease.spec).to.include({ holderIdentity: 'b', leaseTransitions: 1 });
    expect(lease.spec?.renewTime).to.equal('2040-01-01T00:00:00.000000Z');
  });

  it('leads on while it renews', async () => {
    const a = elector('a');
    await a.acquire(stop.signal);
    const held = a.hold(stop.signal);
    const second = elector('b').acquire(stop.signal);
    await clock.pass(120_000);
    expect(await state(second)).to.equal('pending');
    expect(await state(held)).to.equal('pending');
  });

  it('stops leading after 10 s without renewal, before anybody else can begin', async () => {
    const a = elector('a');
    await a.acquire(stop.signal);
    const held = a.hold(stop.signal);
    const second = elector('b').acquire(stop.signal);
    await clock.pass(5_000);
    let isCut = true;
    api.before = (method) => {
      if (isCut && method !== 'list') throw new KubeError(0, 'Unreachable', 'cut');
    };
    await clock.pass(10_500);
    expect(await state(held)).to.equal('lost');
    expect(await state(second)).to.equal('pending');
    isCut = false;
    await clock.pass(20_000);
    expect(await state(second)).to.equal(true);
  });

  it('gives the lease free, so that the next one needs not wait', async () => {
    const a = elector('a');
    await a.acquire(stop.signal);
    await a.release();
    const second = elector('b').acquire(stop.signal);
    await clock.pass(3_000);
    expect(await state(second)).to.equal(true);
  });

  it('gives way at once to somebody who has taken the lease', async () => {
    const a = elector('a');
    await a.acquire(stop.signal);
    const held = a.hold(stop.signal);
    const where = { namespace: 'openebs', name: 'openebs-provisioner' };
    const lease = await api.get(LEASES, where);
    await api.replace(LEASES, { ...lease, spec: { ...lease.spec, holderIdentity: 'x' } });
    await clock.pass(4_000);
    expect(await state(held)).to.equal('lost');
  });
});
