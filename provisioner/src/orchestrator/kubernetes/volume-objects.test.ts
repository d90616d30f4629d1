import { expect } from 'chai';
import { Cluster, SETTINGS } from '../../claims/cluster.test-support.ts';
import { ChapSecrets } from './chap-secrets.ts';
import { DEPLOYMENTS } from './desired-objects.ts';
import { slimDeployment } from './slim-objects.ts';
import { VolumeObjects } from './volume-objects.ts';
import { VOLUME_RESOURCES, type StoragePool, type VolumeResource } from './volume-resource.ts';

const NAME = 'pvc-5f0c1d1e-7e57-4b0a-8a54-6d656d6f7279';
const RECORD: VolumeResource = {
  apiVersion: VOLUME_RESOURCES.apiVersion,
  kind: VOLUME_RESOURCES.kind,
  metadata: { namespace: 'openebs', name: NAME },
  spec: {
    ...{ size: '1Gi', replicas: 1, pool: 'default', topologyKey: 'kubernetes.io/hostname' },
    ...{ monitored: false, members: [{ id: 'one', index: 1, role: 'data', node: 'node1' }] },
  },
};
const POOL: StoragePool = {
  apiVersion: 'openebs.io/v1alpha1',
  kind: 'StoragePool',
  metadata: { name: 'default' },
  spec: { path: '/var/openebs' },
};

describe('the objects of a volume in the cluster', () => {
  let cluster: Cluster;
  let objects: VolumeObjects;
  let record: VolumeResource;

  const drift = (present: Parameters<VolumeObjects['drift']>[1]): string | null =>
    objects.drift(NAME, present, ['Deployment']);

  beforeEach(async () => {
    cluster = new Cluster();
    cluster.giveAddresses();
    record = await cluster.api.create(VOLUME_RESOURCES, RECORD);
    const { api, clock } = cluster;
    const secrets = new ChapSecrets({ api, clock, log: () => undefined, namespaces: [] });
    objects = new VolumeObjects({
      ...{ api, behind: api, settings: SETTINGS, secrets },
      pools: { get: () => undefined },
      deployments: { get: () => undefined },
      targets: cluster.targets,
    });
    await objects.reserve(record, POOL);
    await objects.ensure(record, { knownIp: null, drifted: false });
  });

  it('are made once for one generation of the record, whoever asks', async () => {
    const { length } = cluster.api.calls;
    const address = await objects.ensure(record, { knownIp: null, drifted: false });
    expect(address).to.match(/^10\.96\./);
    expect(await objects.reserve(record, POOL)).to.equal(address);
    expect(cluster.api.calls.length).to.equal(length);
    await objects.ensure(record, { knownIp: null, drifted: true });
    expect(cluster.api.calls.length).to.be.above(length);
  });

  it('are not taken for removed while no watch has told of them, and are when one has', async () => {
    const { items } = await cluster.api.list(DEPLOYMENTS, { namespace: 'openebs' });
    const [first, ...others] = items;
    if (first === undefined) throw new Error('there is no Deployment');
    expect(drift([])).to.equal(null);
    expect(drift(others)).to.equal(null);
    objects.told(NAME, first);
    expect(drift(items)).to.equal(null);
    expect(drift(others)).to.equal(`Deployment ${first.metadata.name}`);
  });

  it('are as they were left where somebody annotates one, and not where its replicas are changed', async () => {
    const { items } = await cluster.api.list(DEPLOYMENTS, { namespace: 'openebs' });
    const [first, ...others] = items.map(slimDeployment);
    if (first === undefined) throw new Error('there is no Deployment');
    const patched = async (path: string, value: unknown): Promise<string | null> => {
      const operations = [{ op: 'add', path, value }] as const;
      const now = await cluster.api.patch(DEPLOYMENTS, first.metadata, operations);
      expect(now.metadata.generation).to.be.above(first.metadata.generation ?? 0);
      return drift([slimDeployment(now), ...others]);
    };
    expect(drift([first, ...others])).to.equal(null);
    expect(await patched('/metadata/annotations/of-somebody', 'else')).to.equal(null);
    const drifted = `Deployment ${first.metadata.name}`;
    expect(await patched('/spec/replicas', 0)).to.equal(drifted);
  });
});
