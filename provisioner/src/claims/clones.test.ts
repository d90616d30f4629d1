import { expect } from 'chai';
import { KubeError } from '../kubernetes/kube-api.ts';
import { JOBS } from '../orchestrator/kubernetes/pool-job.ts';
import { DEPLOYMENTS } from '../orchestrator/kubernetes/desired-objects.ts';
import {
  STORAGE_POOLS,
  VOLUME_RESOURCES,
  type VolumeResource,
} from '../orchestrator/kubernetes/volume-resource.ts';
import { claim, Cluster, storageClass } from './cluster.test-support.ts';
import { CLAIMS, CLASSES, NODES, VOLUMES, type Claim } from './contract.ts';
import { SNAPSHOTS, type SnapshotResource } from './snapshot-resource.ts';

const FROM_CLAIM = { dataSource: { apiGroup: null, kind: 'PersistentVolumeClaim', name: 'data' } };
const FROM_SNAPSHOT = {
  dataSourceRef: { apiGroup: 'openebs.io', kind: 'OpenEBSSnapshot', name: 'monday' },
};

const snapshotOf = (of: string): SnapshotResource => ({
  apiVersion: SNAPSHOTS.apiVersion,
  kind: SNAPSHOTS.kind,
  metadata: { namespace: 'shop', name: 'monday' },
  spec: { claim: of },
});

const nameOf = ({ metadata }: Claim): string => `pvc-${metadata.uid ?? ''}`;

describe('a claim that names a source', () => {
  let cluster: Cluster;
  let origin: string;

  /** As the controller manager does it. */
  const bind = async (made: Claim): Promise<void> => {
    const live = await cluster.api.get(CLAIMS, made.metadata);
    const spec = { ...live.spec, volumeName: nameOf(made) };
    await cluster.api.replace(CLAIMS, { ...live, spec, status: { phase: 'Bound' } });
  };

  /** On six nodes, a volume of three copies that serves, and its claim. */
  const make = async (): Promise<void> => {
    cluster = new Cluster();
    cluster.giveAddresses();
    await cluster.prepare(6);
    cluster.start();
    const made = await cluster.api.create(CLAIMS, claim('data'));
    origin = nameOf(made);
    await cluster.clock.pass(10_000);
    await bind(made);
  };

  beforeEach(make);
  afterEach(() => cluster.stop());

  const record = (name: string): Promise<VolumeResource> =>
    cluster.api.get(VOLUME_RESOURCES, { namespace: 'openebs', name });

  const places = async (name: string): Promise<string[]> =>
    (await record(name)).spec.members.map(({ index, role, node }) => `${index} ${role} ${node}`);

  const isThere = async (name: string): Promise<boolean> =>
    (await cluster.made()).includes(`PersistentVolume ${name}`);

  const refused = async (spec: object, words: string): Promise<void> => {
    const made = await cluster.api.create(CLAIMS, claim(`refused-${Math.random()}`, spec));
    await cluster.clock.pass(1_000);
    await cluster.settle();
    expect((await cluster.events()).join('\n')).to.include(words);
    expect((await cluster.made()).join()).not.to.include(nameOf(made));
    await cluster.api.remove(CLAIMS, made.metadata);
  };

  const take = async (): Promise<SnapshotResource> => {
    await cluster.api.create(SNAPSHOTS, snapshotOf('data'));
    await cluster.clock.pass(1_000);
    return cluster.api.get(SNAPSHOTS, { namespace: 'shop', name: 'monday' });
  };

  it('becomes a volume with a copy beside each of the copies of a claim', async () => {
    const made = await cluster.api.create(CLAIMS, claim('copy', FROM_CLAIM));
    await cluster.clock.pass(10_000);
    expect(await isThere(nameOf(made))).to.equal(true);
    const { spec } = await record(nameOf(made));
    const snapshot = `clone-${made.metadata.uid ?? ''}`;
    const source = { volume: origin, snapshot, temporary: true, layer: 1, stage: 'Done' };
    expect(spec.source).to.deep.equal(source);
    expect(await places(nameOf(made))).to.deep.equal(await places(origin));
    const ids = [...spec.members, ...(await record(origin)).spec.members].map(({ id }) => id);
    expect(new Set(ids).size).to.equal(6);
    // Made for the clone, and of no use to anybody when that is whole.
    expect(cluster.targets.taken.get(origin)).to.deep.equal([]);
    expect((await cluster.api.list(JOBS, {})).items).to.deep.equal([]);
  });

  it('becomes a volume of a snapshot that stays', async () => {
    const { status, metadata } = await take();
    expect(status).to.include({ ready: true, volume: origin, size: '1Gi' });
    const made = await cluster.api.create(CLAIMS, claim('copy', FROM_SNAPSHOT));
    await cluster.clock.pass(10_000);
    expect(await isThere(nameOf(made))).to.equal(true);
    expect((await record(nameOf(made))).spec.source).to.include({ stage: 'Done' });
    const name = `snapshot-${metadata.uid ?? ''}`;
    expect(cluster.targets.taken.get(origin)).to.deep.equal([name]);
    await cluster.api.remove(SNAPSHOTS, metadata);
    await cluster.clock.pass(1_000);
    expect(cluster.targets.taken.get(origin)).to.deep.equal([]);
    expect((await cluster.api.list(SNAPSHOTS, {})).items).to.deep.equal([]);
  });

  it('starts nothing before all copies are whole, whatever becomes of the origin', async () => {
    cluster.jobStatus = {};
    const made = await cluster.api.create(CLAIMS, claim('copy', FROM_CLAIM));
    await cluster.clock.pass(10_000);
    const { items } = await cluster.api.list(JOBS, {});
    expect(items).to.have.length(3);
    await cluster.api.remove(VOLUME_RESOURCES, { namespace: 'openebs', name: origin });
    const [first, second] = items;
    for (const job of [first!, second!]) {
      await cluster.api.replace(JOBS, { ...job, status: { succeeded: 1 } });
    }
    await cluster.clock.pass(10_000);
    expect(await isThere(nameOf(made))).to.equal(false);
    const { items: deployments } = await cluster.api.list(DEPLOYMENTS, {});
    expect(deployments.filter(({ metadata }) => metadata.name.includes(nameOf(made)))).to.be.empty;
    const third = await cluster.api.get(JOBS, items[2]!.metadata);
    await cluster.api.replace(JOBS, { ...third, status: { succeeded: 1 } });
    await cluster.clock.pass(10_000);
    expect(await isThere(nameOf(made))).to.equal(true);
  });

  it('keeps a source that is given up until its copies are whole, and then no longer', async () => {
    cluster.jobStatus = {};
    const made = await cluster.api.create(CLAIMS, claim('copy', FROM_CLAIM));
    await cluster.clock.pass(10_000);
    const volume = await cluster.api.get(VOLUMES, { name: origin });
    await cluster.api.replace(VOLUMES, { ...volume, status: { phase: 'Released' } });
    await cluster.clock.pass(60_000);
    await cluster.settle();
    expect(await isThere(origin)).to.equal(true);
    expect((await cluster.events()).join('\n')).to.include('is being made as a copy of this one');
    for (const job of (await cluster.api.list(JOBS, {})).items) {
      await cluster.api.replace(JOBS, { ...job, status: { succeeded: 1 } });
    }
    await cluster.clock.pass(30_000);
    expect(await isThere(nameOf(made))).to.equal(true);
    expect(await isThere(origin)).to.equal(false);
  });

  it('asks for nothing while its copies are made', async () => {
    cluster.jobStatus = {};
    const made = await cluster.api.create(CLAIMS, claim('copy', FROM_CLAIM));
    await cluster.clock.pass(10_000);
    const before = cluster.api.calls.length;
    await cluster.clock.pass(600_000);
    const calls = cluster.api.calls.slice(before);
    expect(calls.filter((call) => call.includes(nameOf(made)) || /Job/.test(call))).to.be.empty;
    for (const job of (await cluster.api.list(JOBS, {})).items) {
      await cluster.api.replace(JOBS, { ...job, status: { succeeded: 1 } });
    }
    await cluster.clock.pass(10_000);
    expect(await isThere(nameOf(made))).to.equal(true);
  });

  it('copies nothing from a copy that does not hold everything, until it does', async () => {
    cluster.jobStatus = { conditions: [{ type: 'Failed', status: 'True' }] };
    const made = await cluster.api.create(CLAIMS, claim('copy', FROM_CLAIM));
    await cluster.clock.pass(5_000);
    const { members } = (await record(origin)).spec;
    const { node } = members[1]!;
    cluster.targets.lost.add(node);
    cluster.jobStatus = {};
    await cluster.clock.pass(60_000);
    await cluster.settle();
    const copied = async (): Promise<string[]> =>
      (await cluster.api.list(JOBS, {})).items.map(({ metadata }) => metadata.name);
    const names = members.map(({ index }) => `${nameOf(made)}-clone-${index}`);
    expect(await copied()).to.have.members([names[0], names[2]]);
    expect((await cluster.events()).join('\n')).to.include(`on ${node} does not hold everything`);
    cluster.targets.lost.clear();
    await cluster.clock.pass(10_000);
    expect(await copied()).to.have.members(names);
  });

  it('waits with an event, and makes a copy anew, where a Job fails', async () => {
    cluster.jobStatus = { conditions: [{ type: 'Failed', status: 'True' }] };
    const made = await cluster.api.create(CLAIMS, claim('copy', FROM_CLAIM));
    await cluster.clock.pass(5_000);
    await cluster.settle();
    expect((await cluster.events()).join('\n')).to.include('its pod says why');
    expect(await isThere(nameOf(made))).to.equal(false);
    cluster.jobStatus = { succeeded: 1 };
    await cluster.clock.pass(30_000);
    expect(await isThere(nameOf(made))).to.equal(true);
  });

  const ready = async (name: string, status: 'True' | 'Unknown'): Promise<void> => {
    const node = await cluster.api.get(NODES, { name });
    const lastTransitionTime = cluster.date().toISOString();
    const conditions = [{ type: 'Ready', status, lastTransitionTime }];
    await cluster.api.replace(NODES, { ...node, status: { conditions } });
  };

  it('names the node that is lost, waits for it, and goes on when it is there again', async () => {
    cluster.jobStatus = {};
    const made = await cluster.api.create(CLAIMS, claim('copy', FROM_CLAIM));
    await cluster.clock.pass(10_000);
    const { items } = await cluster.api.list(JOBS, {});
    for (const job of items.slice(0, 2)) {
      await cluster.api.replace(JOBS, { ...job, status: { succeeded: 1 } });
    }
    const hosts = (await record(nameOf(made))).spec.members.map(({ node }) => node);
    // What is whole already is not waited for.
    await ready(hosts[0]!, 'Unknown');
    await cluster.clock.pass(10_000);
    await cluster.settle();
    expect((await cluster.events()).join('\n')).not.to.include('is not ready');
    await ready(hosts[2]!, 'Unknown');
    await cluster.clock.pass(10_000);
    await cluster.settle();
    const told = (await cluster.events()).filter((each) => each.includes('is not ready'));
    expect(told.map((each) => each.split(':')[0])).to.have.members([
      ...['Warning CloneWaits', 'Warning ProvisioningFailed'],
    ]);
    expect(told[0]).to.include(`Node ${hosts[2]!} is not ready. A copy of volume ${origin}`);
    expect((await record(nameOf(made))).status?.conditions?.[0]?.message).to.include(hosts[2]);
    await cluster.api.remove(NODES, { name: hosts[2]! });
    await cluster.clock.pass(10_000);
    await cluster.settle();
    expect((await cluster.events()).join('\n')).to.include(`Node ${hosts[2]!} is gone.`);
    expect(await isThere(nameOf(made))).to.equal(false);
    await cluster.api.create(NODES, {
      ...{ apiVersion: 'v1', kind: 'Node' },
      metadata: { name: hosts[2]!, labels: { 'kubernetes.io/hostname': hosts[2]! } },
    });
    await cluster.api.replace(JOBS, { ...items[2]!, status: { succeeded: 1 } });
    await cluster.clock.pass(10_000);
    expect(await isThere(nameOf(made))).to.equal(true);
  });

  it('is made where its origin has a copy by now, when a node is lost for good', async () => {
    cluster.jobStatus = {};
    const made = await cluster.api.create(CLAIMS, claim('copy', FROM_CLAIM));
    await cluster.clock.pass(10_000);
    const { items } = await cluster.api.list(JOBS, {});
    for (const job of items.slice(0, 2)) {
      await cluster.api.replace(JOBS, { ...job, status: { succeeded: 1 } });
    }
    // As a Job whose pod is on a node that does not answer: it goes when that does.
    const stuck = await cluster.api.get(JOBS, items[2]!.metadata);
    const metadata = { ...stuck.metadata, finalizers: ['foregroundDeletion'] };
    await cluster.api.replace(JOBS, { ...stuck, metadata });
    const { node: lost, id } = (await record(nameOf(made))).spec.members[2]!;
    cluster.targets.lost.add(lost);
    await ready(lost, 'Unknown');
    await cluster.clock.pass(20 * 60_000);
    expect((await record(nameOf(made))).spec.members).to.have.length(3);
    await cluster.clock.pass(20 * 60_000);
    const moved = await record(nameOf(made));
    expect(moved.spec.members.find((member) => member.id === id)?.state).to.equal('Departed');
    const wanted = moved.spec.members.filter(({ state }) => state === undefined);
    const copies = (await record(origin)).spec.members.filter(({ state }) => state === undefined);
    const placeOf = ({ index, node }: { index: number; node: string }): string =>
      `${index} ${node}`;
    expect(wanted.map(placeOf)).to.have.members(copies.map(placeOf));
    expect(wanted.map(({ node }) => node)).not.to.include(lost);
    await cluster.settle();
    expect((await cluster.events()).join('\n')).to.include(`Node ${lost} is lost; the copy`);
    // Nothing of it starts before the new one is whole.
    expect(await isThere(nameOf(made))).to.equal(false);
    const index = wanted.at(-1)!.index;
    const where = { namespace: 'openebs', name: `${nameOf(made)}-clone-${index}` };
    const job = await cluster.api.get(JOBS, where);
    await cluster.api.replace(JOBS, { ...job, status: { succeeded: 1 } });
    await cluster.clock.pass(10_000);
    expect(await isThere(nameOf(made))).to.equal(true);
    // What may be on the lost node is removed behind the pod that may still write there.
    cluster.targets.lost.clear();
    await ready(lost, 'True');
    await cluster.clock.pass(60_000);
    expect((await record(nameOf(made))).spec.members).to.have.length(4);
    const ended = await cluster.api.get(JOBS, stuck.metadata);
    expect(ended.metadata.deletionTimestamp).to.be.a('string');
    const free = { ...ended.metadata, finalizers: [] };
    await cluster.api.replace(JOBS, { ...ended, metadata: free });
    await cluster.clock.pass(60_000);
    expect((await record(nameOf(made))).spec.members).to.deep.equal(wanted);
    expect((await cluster.api.list(JOBS, {})).items).to.deep.equal([]);
  });

  it('takes the snapshot with it that was made for it, when it is given up', async () => {
    cluster.jobStatus = {};
    const made = await cluster.api.create(CLAIMS, claim('copy', FROM_CLAIM));
    await cluster.clock.pass(5_000);
    expect(cluster.targets.taken.get(origin)).to.have.length(1);
    await cluster.api.remove(CLAIMS, made.metadata);
    const objects = cluster.objects!;
    // The Jobs go first, and are waited for: a pod could still be making a copy.
    expect(await objects.remove(nameOf(made), () => undefined).then(() => 'gone', String)).to.match(
      /StillCleaning/,
    );
    await objects.remove(nameOf(made), () => undefined);
    expect(cluster.targets.taken.get(origin)).to.deep.equal([]);
    expect((await cluster.made()).join()).not.to.include(nameOf(made));
  });

  it('is refused where it cannot be a copy, before anything is made', async () => {
    const other = storageClass({ metadata: { name: 'other' }, provisioner: 'example.com/x' });
    await cluster.api.create(CLASSES, other);
    const parameters = (name: string, values: Record<string, string>): Promise<unknown> =>
      cluster.api.create(CLASSES, storageClass({ metadata: { name }, parameters: values }));
    await parameters('one', { replicas: '1' });
    await parameters('fast', { pool: 'ssd' });
    await parameters('xfs', { fsType: 'xfs' });
    await cluster.api.create(STORAGE_POOLS, {
      apiVersion: STORAGE_POOLS.apiVersion,
      kind: STORAGE_POOLS.kind,
      metadata: { name: 'ssd' },
      spec: { path: '/ssd' },
    });
    const small = { resources: { requests: { storage: '512Mi' } } };
    await refused({ ...FROM_CLAIM, ...small }, 'has at least its 1Gi; the claim asks for 512Mi');
    await refused({ ...FROM_CLAIM, storageClassName: 'one' }, 'has 3 copies, class one makes 1');
    await refused({ ...FROM_CLAIM, storageClassName: 'fast' }, 'are in pool default');
    await refused({ ...FROM_CLAIM, storageClassName: 'xfs' }, 'has the file system ext4');
    await refused({ ...FROM_CLAIM, volumeMode: 'Block' }, 'has volumeMode Filesystem');
    await refused(FROM_SNAPSHOT, 'There is no OpenEBSSnapshot monday');
    const elsewhere = { dataSourceRef: { ...FROM_CLAIM.dataSource, namespace: 'bank' } };
    await refused(elsewhere, 'in another namespace is not supported');
    await cluster.api.create(CLAIMS, claim('loose', { volumeName: 'none' }));
    const loose = { dataSource: { ...FROM_CLAIM.dataSource, name: 'loose' } };
    await refused(loose, 'Claim loose is not bound yet');
    const foreign = await cluster.api.create(CLAIMS, claim('foreign', { volumeName: 'theirs' }));
    await cluster.api.replace(CLAIMS, { ...foreign, status: { phase: 'Bound' } });
    await cluster.api.create(VOLUMES, {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name: 'theirs', annotations: { 'pv.kubernetes.io/provisioned-by': 'x.com/y' } },
    });
    const theirs = { dataSource: { ...FROM_CLAIM.dataSource, name: 'foreign' } };
    await refused(theirs, 'was made by x.com/y');
    const { status, metadata } = await take();
    expect(status?.ready).to.equal(true);
    cluster.targets.taken.delete(origin);
    await refused(FROM_SNAPSHOT, 'somebody has deleted it at the volume');
    await cluster.api.remove(SNAPSHOTS, metadata);
    cluster.targets.lost.add('node2');
    await refused(FROM_CLAIM, 'Not all 3 copies of claim data hold everything now');
    cluster.targets.lost.clear();
    await cluster.api.remove(NODES, { name: 'node2' });
    await refused(FROM_CLAIM, 'node2 cannot take one');
  });

  it('is told when the volume of a snapshot is gone, and the snapshot with it', async () => {
    await cluster.api.create(SNAPSHOTS, snapshotOf('none'));
    await cluster.clock.pass(1_000);
    const where = { namespace: 'shop', name: 'monday' };
    const { status, metadata } = await cluster.api.get(SNAPSHOTS, where);
    expect(status?.conditions[0]?.message).to.include('There is no claim none');
    await cluster.api.remove(SNAPSHOTS, metadata);
    await cluster.clock.pass(1_000);
    await take();
    await cluster.objects!.remove(origin, () => undefined);
    await cluster.clock.pass(1_000);
    const after = await cluster.api.get(SNAPSHOTS, where);
    expect(after.status).to.deep.include({ ready: false, volume: origin });
    expect(after.status?.conditions[0]).to.include({ reason: 'VolumeGone' });
    await refused(FROM_SNAPSHOT, 'is gone, and its snapshots with it');
    await cluster.api.remove(SNAPSHOTS, after.metadata);
    await cluster.clock.pass(1_000);
    expect((await cluster.api.list(SNAPSHOTS, {})).items).to.deep.equal([]);
  });

  it('ends up whole, whichever call fails and however often it is stopped', async () => {
    for (let failing = 1; ; failing++) {
      let calls = 0;
      const hits: string[] = [];
      const made = await cluster.api.create(CLAIMS, claim(`copy-${failing}`, FROM_CLAIM));
      cluster.api.before = (method, kind) => {
        if (['list', 'watch'].includes(method) || kind === 'Event') return;
        if (++calls !== failing) return;
        hits.push(`${method} ${kind}`);
        throw new KubeError(500, 'InternalError', 'the call failed');
      };
      await cluster.settle();
      await cluster.stop();
      cluster.start();
      await cluster.clock.pass(12_000);
      cluster.api.before = () => undefined;
      const name = nameOf(made);
      const { spec } = await record(name);
      expect(spec.source?.stage, `call ${failing} ${hits.join()}`).to.equal('Done');
      expect(await isThere(name), `call ${failing}`).to.equal(true);
      expect(cluster.targets.taken.get(origin), `call ${failing}`).to.deep.equal([]);
      await cluster.api.remove(CLAIMS, made.metadata);
      const volume = await cluster.api.get(VOLUMES, { name });
      await cluster.api.replace(VOLUMES, { ...volume, status: { phase: 'Released' } });
      await cluster.clock.pass(5_000);
      expect((await cluster.made()).join()).not.to.include(name);
      if (hits.length === 0) break;
      expect(failing).to.be.lessThan(200);
    }
  }).timeout(60_000);
});
