import { expect } from 'chai';
import { EventRecorder } from './event-recorder.ts';
import { FakeKubeApi } from './fake-kube-api.test-support.ts';
import { KubeError } from './kube-api.ts';
import { resource, type KubeObject } from './objects.ts';
import { VirtualClock } from './virtual-clock.test-support.ts';

interface Recorded extends KubeObject {
  readonly reason: string;
  readonly message: string;
  readonly count: number;
}

const EVENTS = resource<Recorded>('v1', 'Event', 'events', true);

describe('the event recorder', () => {
  let api: FakeKubeApi;
  let clock: VirtualClock;
  let recorder: EventRecorder;
  const claim: KubeObject = {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { namespace: 'shop', name: 'data', uid: 'u-1' },
  };

  const events = async (): Promise<readonly Recorded[]> => {
    await recorder.settled();
    return (await api.list(EVENTS, {})).items;
  };

  beforeEach(() => {
    api = new FakeKubeApi();
    clock = new VirtualClock();
    recorder = new EventRecorder({
      api,
      component: 'openebs',
      instance: 'one',
      clock,
      wallClock: () => new Date('2026-01-01T00:00:00Z'),
      log: () => undefined,
    });
  });

  it('counts the same event instead of writing it again', async () => {
    for (let n = 0; n < 3; n++) recorder.event(claim, 'Warning', 'ProvisioningFailed', 'no pool');
    recorder.event(claim, 'Normal', 'Provisioning', 'begins');
    const all = await events();
    expect(all.map(({ reason, count }) => `${reason} ${count}`)).to.have.members([
      'ProvisioningFailed 3',
      'Provisioning 1',
    ]);
    expect(all[0]?.metadata.namespace).to.equal('shop');
  });

  it('cuts off a storm on one object, and only on that', async () => {
    for (let n = 0; n < 100; n++) recorder.event(claim, 'Warning', 'ProvisioningFailed', `no ${n}`);
    const other = { ...claim, metadata: { ...claim.metadata, uid: 'u-2' } };
    recorder.event(other, 'Normal', 'Provisioning', 'begins');
    expect(await events()).to.have.length(26);
    await clock.pass(300_000);
    recorder.event(claim, 'Warning', 'ProvisioningFailed', 'still');
    expect(await events()).to.have.length(27);
  });

  it('does not fail when an event cannot be written, and goes on', async () => {
    api.before = () => {
      throw new KubeError(403, 'Forbidden', 'no');
    };
    recorder.event(claim, 'Warning', 'ProvisioningFailed', 'one');
    await recorder.settled();
    api.before = () => undefined;
    recorder.event(claim, 'Warning', 'ProvisioningFailed', 'two');
    expect((await events()).map(({ message }) => message)).to.deep.equal(['two']);
  });
});
