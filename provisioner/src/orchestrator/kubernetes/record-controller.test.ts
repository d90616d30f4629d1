import { expect } from 'chai';
import { claim, Cluster } from '../../claims/cluster.test-support.ts';
import { CLAIMS, NODES } from '../../claims/contract.ts';
import { KubeError } from '../../kubernetes/kube-api.ts';
import type { KubeObject } from '../../kubernetes/objects.ts';
import { DEPLOYMENTS } from './desired-objects.ts';
import { JOBS } from './pool-job.ts';
import { REPLICA_RESOURCES, VOLUME_RESOURCES, type VolumeResource } from './volume-resource.ts';

const MINUTE = 60_000;

const node = (name: string, ready: 'True' | 'Unknown', since: Date): KubeObject =>
  ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { 'kubernetes.io/hostname': name } },
    status: {
      conditions: [{ type: 'Ready', status: ready, lastTransitionTime: since.toISOString() }],
    },
  }) as KubeObject;

describe('a recorded volume', () => {
  let cluster: Cluster;
  let name: string;

  const record = (): Promise<VolumeResource> =>
    cluster.api.get(VOLUME_RESOURCES, { namespace: 'openebs', name });

  const edit = (path: string, value: unknown): Promise<unknown> =>
    cluster.api.patch(VOLUME_RESOURCES, { namespace: 'openebs', name }, [
      { op: 'replace', path, value },
    ]);

  const members = async (): Promise<string[]> =>
    (await record()).spec.members.map(({ index, role, node: where, state = '' }) =>
      `${index} ${role} ${where} ${state}`.trim(),
    );

  const deployments = async (): Promise<string[]> => {
    const { items } = await cluster.api.list(DEPLOYMENTS, { namespace: 'openebs' });
    return items.map(({ metadata }) => metadata.name.replace(name, 'V')).sort();
  };

  /** A volume of three copies that serves, on six nodes. */
  const make = async (): Promise<void> => {
    cluster = new Cluster();
    cluster.giveAddresses();
    await cluster.prepare(6);
    cluster.start();
    const made = await cluster.api.create(CLAIMS, claim('data'));
    name = `pvc-${made.metadata.uid ?? ''}`;
    await cluster.clock.pass(10_000);
    expect((await record()).status?.phase).to.equal('Healthy');
  };

  beforeEach(make);
  afterEach(() => cluster.stop());

  const asRecorded = async (replicas: number): Promise<void> => {
    const { spec } = await record();
    const witness = replicas % 2 === 0 ? 1 : 0;
    expect(spec.members.map(({ state }) => state ?? 'Member')).to.deep.equal(
      new Array(replicas + witness).fill('Member'),
    );
    expect(spec.members.filter(({ role }) => role === 'data')).to.have.length(replicas);
    expect(cluster.targets.voters(name)).to.deep.equal(spec.members.map(({ id }) => id).sort());
    const names = spec.members.map(({ index }) => `V-rep-${index}`);
    expect(await deployments()).to.deep.equal(['V-ctrl', ...names].sort());
    const { items } = await cluster.api.list(REPLICA_RESOURCES, { namespace: 'openebs' });
    expect(items.map(({ metadata }) => metadata.name.replace(name, 'V')).sort()).to.deep.equal(
      names.sort(),
    );
    expect((await cluster.api.list(JOBS, {})).items).to.deep.equal([]);
  };

  it('tells what its target says, in its status and in that of each replica', async () => {
    const { status } = await record();
    expect(status).to.include({ phase: 'Healthy', inSync: 3, size: '1Gi', sessions: 0 });
    cluster.targets.lost.add('node2');
    await cluster.clock.pass(60_000);
    const after = (await record()).status;
    expect(after).to.include({ phase: 'Degraded', inSync: 2 });
    const inSync = after?.conditions?.find(({ type }) => type === 'InSync');
    expect(inSync).to.include({ status: 'False', message: '2 of 3 copies hold everything' });
    const { items } = await cluster.api.list(REPLICA_RESOURCES, { namespace: 'openebs' });
    expect(items.map(({ spec, status: own }) => [spec.node, own?.mode])).to.deep.equal([
      ...[
        ['node1', 'InSync'],
        ['node2', 'Offline'],
        ['node3', 'InSync'],
      ],
    ]);
  });

  it('is asked by nobody more than a few times a minute while it is healthy', async () => {
    const { targets } = cluster;
    const status = targets.status.bind(targets);
    let asked = 0;
    targets.status = (address) => {
      asked++;
      return status(address);
    };
    await cluster.clock.pass(10 * MINUTE);
    expect(asked).to.be.within(10, 30);
    const writes = cluster.api.calls.length;
    await cluster.clock.pass(10 * MINUTE);
    const calls = cluster.api.calls.slice(writes).filter((call) => !/^(get|list)/.test(call));
    expect(calls).to.deep.equal([]);
  });

  it('gets another number of copies when its record says so', async () => {
    for (const replicas of [5, 2, 3, 4, 1]) {
      await edit('/spec/replicas', replicas);
      await cluster.clock.pass(MINUTE);
      await asRecorded(replicas);
    }
  });

  it('grows when its record says so, without another pod', async () => {
    const before = (await cluster.api.list(DEPLOYMENTS, {})).items;
    await edit('/spec/size', '2Gi');
    await cluster.clock.pass(MINUTE);
    expect(cluster.targets.orders).to.deep.equal(['/v1/size {"sizeBytes":2147483648}']);
    expect((await record()).status?.size).to.equal('2Gi');
    const after = (await cluster.api.list(DEPLOYMENTS, {})).items;
    expect(after.map(({ metadata }) => metadata.generation)).to.deep.equal(
      before.map(({ metadata }) => metadata.generation),
    );
  });

  it('limits rebuilds as its record says, without another pod, and again when it is changed', async () => {
    const before = (await cluster.api.list(DEPLOYMENTS, {})).items;
    const where = { namespace: 'openebs', name };
    const path = '/spec/rebuildRate';
    await cluster.api.patch(VOLUME_RESOURCES, where, [{ op: 'add', path, value: '32Mi' }]);
    await cluster.clock.pass(MINUTE);
    await cluster.api.patch(VOLUME_RESOURCES, where, [{ op: 'remove', path }]);
    await cluster.clock.pass(MINUTE);
    expect(cluster.targets.orders).to.deep.equal([
      '/v1/settings {"rebuildBytesPerSecond":33554432}',
      '/v1/settings {"rebuildBytesPerSecond":null}',
    ]);
    const after = (await cluster.api.list(DEPLOYMENTS, {})).items;
    expect(after.map(({ metadata }) => metadata.generation)).to.deep.equal(
      before.map(({ metadata }) => metadata.generation),
    );
  });

  it('ends no replica that its target may need, whichever call fails and whenever it is stopped', async () => {
    for (const replicas of [2, 5]) {
      for (let failing = 1; ; failing++) {
        await cluster.stop();
        await make();
        let calls = 0;
        const hits: string[] = [];
        cluster.api.before = (method, kind, called) => {
          const index = Number(/-rep-(\d+)$/.exec(called)?.[1]);
          if (method === 'remove' && kind === 'Deployment') {
            expect(cluster.targets.needs(name, index), called).to.equal(false);
          }
          if (['list', 'watch', 'get'].includes(method) || kind === 'Event') return;
          if (++calls !== failing) return;
          hits.push(`${method} ${kind}`);
          throw new KubeError(500, 'InternalError', 'the call failed');
        };
        const { before } = cluster.api;
        cluster.api.before = () => undefined;
        await edit('/spec/replicas', replicas);
        cluster.api.before = before;
        await cluster.settle();
        // Stopped in this state, whatever it is, and started again.
        await cluster.stop();
        cluster.start();
        await cluster.clock.pass(2 * MINUTE);
        await asRecorded(replicas);
        if (hits.length === 0) break;
        expect(failing).to.be.lessThan(80);
      }
    }
  }).timeout(60_000);

  it('is made whole on another node when one of its own is lost for good', async () => {
    const lost = 'node2';
    cluster.targets.lost.add(lost);
    await cluster.api.apply(NODES, node(lost, 'Unknown', cluster.date()));
    await cluster.clock.pass(29 * MINUTE);
    expect(await members()).to.deep.equal(['1 data node1', '2 data node2', '3 data node3']);
    const recorded = (await record()).status?.conditions?.find(({ type }) => type === 'AsRecorded');
    expect(recorded?.message).to.include('replica 2 on node2; made anew elsewhere after 30 min');
    await cluster.clock.pass(5 * MINUTE);
    expect(await members()).to.deep.equal(['1 data node1', '3 data node3', '4 data node4']);
    await asRecorded(3);
    expect((await cluster.events()).join()).to.include('replica 2 is made anew on node4');
  });

  it('removes what is on a node that was gone when that comes back', async () => {
    const lost = 'node2';
    cluster.targets.lost.add(lost);
    const { api } = cluster;
    await api.remove(NODES, { name: lost });
    await cluster.clock.pass(35 * MINUTE);
    expect(await members()).to.deep.equal([
      ...['1 data node1', '2 data node2 Departed', '3 data node3', '4 data node4'],
    ]);
    expect(await deployments()).to.deep.equal(['V-ctrl', 'V-rep-1', 'V-rep-3', 'V-rep-4']);
    await api.create(NODES, node(lost, 'True', cluster.date()));
    await cluster.clock.pass(MINUTE);
    await asRecorded(3);
  });

  it('loses no copy for a node that is lost while others are behind', async () => {
    for (const lost of ['node2', 'node3']) {
      cluster.targets.lost.add(lost);
      await cluster.api.apply(NODES, node(lost, 'Unknown', cluster.date()));
    }
    await cluster.clock.pass(120 * MINUTE);
    expect(await members()).to.deep.equal(['1 data node1', '2 data node2', '3 data node3']);
    expect((await cluster.events()).join()).to.include('not replaced while 1 of the others');
  });

  it('that a person has made gets its members, and goes with everything when it is deleted', async () => {
    const { spec, apiVersion, kind, metadata } = await record();
    const { claimRef, ...rest } = spec;
    expect(claimRef).to.not.equal(undefined);
    const finalizers = metadata.finalizers ?? [];
    const own: VolumeResource = {
      ...{ apiVersion, kind },
      metadata: { namespace: 'openebs', name: 'by-hand', finalizers },
      spec: { ...rest, members: [] },
    };
    await cluster.api.create(VOLUME_RESOURCES, own);
    name = 'by-hand';
    await cluster.clock.pass(MINUTE);
    expect((await record()).status?.phase).to.equal('Healthy');
    await cluster.api.remove(VOLUME_RESOURCES, { namespace: 'openebs', name });
    await cluster.clock.pass(MINUTE);
    expect((await cluster.made()).filter((made) => made.includes('by-hand'))).to.deep.equal([]);
  });
});
