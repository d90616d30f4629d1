import { expect } from 'chai';
import { FakeKubeApi } from '../../kubernetes/fake-kube-api.test-support.ts';
import { Reflector } from '../../kubernetes/reflector.ts';
import { settle, VirtualClock } from '../../kubernetes/virtual-clock.test-support.ts';
import { CopyIndex } from './copy-index.ts';
import { VOLUME_RESOURCES, type VolumeMember, type VolumeResource } from './volume-resource.ts';

const member = (index: number, node: string, state?: 'Leaving' | 'Departed'): VolumeMember => ({
  ...{ id: `member-${index}`, index, role: 'data', node },
  ...(state === undefined ? {} : { state }),
});

const record = (name: string, members: readonly VolumeMember[]): VolumeResource => ({
  apiVersion: VOLUME_RESOURCES.apiVersion,
  kind: VOLUME_RESOURCES.kind,
  metadata: { namespace: 'openebs', name },
  spec: {
    ...{ size: '1Gi', replicas: 2, pool: 'default', topologyKey: 'kubernetes.io/hostname' },
    ...{ monitored: false, members },
  },
});

describe('the count of copies of each node', () => {
  it('follows the records: those that come, change and go', async () => {
    const [api, clock, stop] = [new FakeKubeApi(), new VirtualClock(), new AbortController()];
    await api.create(VOLUME_RESOURCES, record('before', [member(1, 'a'), member(2, 'b')]));
    const records = new Reflector({
      ...{ api, clock, resource: VOLUME_RESOURCES, log: (): void => undefined },
    });
    const copies = new CopyIndex(records);
    const watching = records.run(stop.signal);
    await settle();
    const made = await api.create(VOLUME_RESOURCES, record('made', [member(1, 'a')]));
    await settle();
    expect(Object.fromEntries(copies.byNode)).to.deep.equal({ a: 2, b: 1 });
    const members = [member(1, 'a', 'Departed'), member(2, 'c', 'Leaving')];
    await api.replace(VOLUME_RESOURCES, { ...made, spec: { ...made.spec, members } });
    await settle();
    const now = Object.fromEntries(copies.byNode);
    expect(now, 'who leaves counts until it has departed').to.deep.equal({ a: 1, b: 1, c: 1 });
    await api.remove(VOLUME_RESOURCES, { namespace: 'openebs', name: 'before' });
    await settle();
    expect(Object.fromEntries(copies.byNode)).to.deep.equal({ c: 1 });
    stop.abort();
    await watching;
  });
});
