import { expect } from 'chai';
import { claim, Cluster, SETTINGS } from '../../claims/cluster.test-support.ts';
import { CLAIMS } from '../../claims/contract.ts';
import { DEPLOYMENTS } from './desired-objects.ts';
import { VOLUME_RESOURCES } from './volume-resource.ts';

const NEW_IMAGE = 'openebs/new:test';

describe('a volume whose image is changed', () => {
  let cluster: Cluster;
  let name: string;
  /** Deployments whose pods were started anew, in order. */
  let started: string[];

  beforeEach(async () => {
    cluster = new Cluster();
    started = [];
    cluster.giveAddresses();
    await cluster.prepare(3);
    cluster.start();
    const made = await cluster.api.create(CLAIMS, claim('data'));
    name = `pvc-${made.metadata.uid ?? ''}`;
    await cluster.clock.pass(10_000);
    await cluster.stop();
    const { api } = cluster;
    const apply = api.apply.bind(api);
    api.apply = async (of, object) => {
      const before = of.kind === 'Deployment' ? await api.get(of, object.metadata) : null;
      const applied = await apply(of, object);
      if (before !== null && before.metadata.generation !== applied.metadata.generation) {
        expect([...cluster.targets.lost], 'copies away at this moment').to.deep.equal([]);
        const index = /-rep-(\d)$/.exec(object.metadata.name)?.[1];
        started.push(index ?? 'target');
        if (index !== undefined) cluster.targets.lost.add(`node${index}`);
      }
      return applied;
    };
    cluster.settings = { ...SETTINGS, replicaImage: NEW_IMAGE, targetImage: NEW_IMAGE };
    cluster.start();
  });

  afterEach(() => cluster.stop());

  const recorded = async (): Promise<string | undefined> => {
    const { status } = await cluster.api.get(VOLUME_RESOURCES, { namespace: 'openebs', name });
    return status?.conditions?.find(({ type }) => type === 'AsRecorded')?.message;
  };

  it('starts its replicas anew one at a time, each when all are in sync, the target last', async () => {
    for (const expected of [['1'], ['1', '2'], ['1', '2', '3'], ['1', '2', '3', 'target']]) {
      await cluster.clock.pass(60_000);
      expect(started).to.deep.equal(expected);
      cluster.targets.lost.clear();
    }
    await cluster.clock.pass(60_000);
    expect(started).to.have.length(4);
    expect(await recorded()).to.equal('it is what its record says');
    expect((await cluster.events()).join('\n')).to.include(
      'the target is started anew with changed settings; 0 more to follow.',
    );
  });

  it('stops at the first replica that does not come back, and says what waits', async () => {
    await cluster.clock.pass(60_000);
    expect(started).to.deep.equal(['1']);
    expect(await recorded()).to.include('replica 2, replica 3, the target are to be started anew');
  });

  it('starts anew at once what does not serve', async () => {
    await cluster.stop();
    const { items } = await cluster.api.list(DEPLOYMENTS, {});
    for (const { metadata } of items.filter(({ metadata }) => metadata.name.endsWith('rep-3'))) {
      await cluster.api.patch(DEPLOYMENTS, metadata, [
        { op: 'replace', path: '/status/availableReplicas', value: 0 },
      ]);
    }
    const { targets } = cluster;
    const ask = targets.status.bind(targets);
    // Away from the beginning, and no reason for the others to wait once it is back.
    targets.status = async (address) => {
      const status = await ask(address);
      if (status === null || started.length > 0) return status;
      const replicas = status.replicas.map((each, at) =>
        at === 2 ? { ...each, mode: 'offline' as const } : each,
      );
      return { ...status, state: 'degraded', replicas };
    };
    cluster.start();
    await cluster.clock.pass(60_000);
    expect(started).to.deep.equal(['3']);
  });
});
