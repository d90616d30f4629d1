import { expect } from 'chai';
import { claim, Cluster, storageClass } from './cluster.test-support.ts';
import { KubeError } from '../kubernetes/kube-api.ts';
import { JOBS } from '../orchestrator/kubernetes/pool-job.ts';
import { VOLUME_RESOURCES } from '../orchestrator/kubernetes/volume-resource.ts';
import { CLAIMS, CLASSES, NODES, SELECTED_NODE, VOLUME_FINALIZER, VOLUMES } from './contract.ts';

describe('the provisioner', () => {
  let cluster: Cluster;

  beforeEach(async () => {
    cluster = new Cluster();
    cluster.giveAddresses();
    await cluster.prepare();
  });

  afterEach(() => cluster.stop());

  const release = async (name: string): Promise<void> => {
    // What the cluster does itself is not what fails here.
    const { before } = cluster.api;
    cluster.api.before = () => undefined;
    const volume = await cluster.api.get(VOLUMES, { name });
    await cluster.api.replace(VOLUMES, { ...volume, status: { phase: 'Released' } });
    cluster.api.before = before;
  };

  it('makes the objects of a volume and the volume for a claim', async () => {
    cluster.start();
    const made = await cluster.api.create(CLAIMS, claim('data'));
    await cluster.settle();
    const name = `pvc-${made.metadata.uid ?? ''}`;
    expect(await cluster.made()).to.have.members([
      `PersistentVolume ${name}`,
      `OpenEBSVolume ${name}`,
      `Service ${name}-ctrl-svc`,
      `Service ${name}-rep`,
      `Deployment ${name}-ctrl`,
      ...[1, 2, 3].map((index) => `Deployment ${name}-rep-${index}`),
    ]);
    const volume = await cluster.api.get(VOLUMES, { name });
    expect(volume.metadata.finalizers).to.deep.equal([VOLUME_FINALIZER]);
    expect(volume.spec?.claimRef).to.include({ namespace: 'shop', name: 'data' });
    expect(volume.spec?.capacity).to.deep.equal({ storage: '1Gi' });
    expect(volume.spec?.iscsi).to.include({
      targetPortal: '10.96.0.11:3260',
      iqn: `iqn.2016-09.com.openebs:${name}`,
      fsType: 'ext4',
    });
    expect((await cluster.events()).map((text) => text.split(':')[0])).to.have.members([
      'Normal Provisioning',
      'Normal ProvisioningSucceeded',
    ]);
  });

  it('binds the claim before the pods are made, each thing once, and says who refuses those', async () => {
    const refused = new KubeError(403, 'Forbidden', 'exceeded quota: pods');
    const calls: string[] = [];
    let refuses = true;
    cluster.api.before = (method, kind) => {
      if (['list', 'watch', 'get'].includes(method) || kind === 'Event') return;
      calls.push(`${method} ${kind}`);
      if (kind === 'Deployment' && refuses) throw refused;
    };
    cluster.start();
    const { metadata } = await cluster.api.create(CLAIMS, claim('data'));
    const name = `pvc-${metadata.uid ?? ''}`;
    await cluster.settle();
    expect(calls.slice(1, 4)).to.deep.equal([
      ...['create OpenEBSVolume', 'apply Service', 'create PersistentVolume'],
    ]);
    const words = `Warning NotMade: Volume ${name} is not whole: exceeded quota: pods; it is tried`;
    const told = (await cluster.events()).filter((text) => text.startsWith(words));
    expect(told, 'on the record and on the claim').to.have.length(2);
    refuses = false;
    calls.length = 0;
    await cluster.clock.pass(10_000);
    expect(await cluster.made()).to.have.length(8);
    const made = calls.filter((call) => call === 'apply Deployment');
    expect(made, 'each once').to.have.length(4);
  });

  it('makes nothing before it knows that it can, and says what to change', async () => {
    cluster.start();
    await cluster.api.create(
      CLASSES,
      storageClass({ metadata: { name: 'typo' }, parameters: { replica: '3' } }),
    );
    await cluster.api.create(
      CLASSES,
      storageClass({ metadata: { name: 'five' }, parameters: { replicas: '5' } }),
    );
    await cluster.api.create(
      CLASSES,
      storageClass({ metadata: { name: 'fast' }, parameters: { pool: 'ssd' } }),
    );
    await cluster.api.create(CLAIMS, claim('shared', { accessModes: ['ReadWriteMany'] }));
    await cluster.api.create(CLAIMS, claim('picky', { selector: { matchLabels: { a: 'b' } } }));
    await cluster.api.create(CLAIMS, claim('lost', { storageClassName: 'none' }));
    await cluster.api.create(CLAIMS, claim('unknown', { storageClassName: 'typo' }));
    await cluster.api.create(CLAIMS, claim('many', { storageClassName: 'five' }));
    await cluster.api.create(CLAIMS, claim('poolless', { storageClassName: 'fast' }));
    const dataSource = { apiGroup: null, kind: 'PersistentVolumeClaim', name: 'other' };
    await cluster.api.create(CLAIMS, claim('copy', { dataSource }));
    await cluster.settle();
    expect(await cluster.made()).to.deep.equal([]);
    const events = await cluster.events();
    for (const words of [
      'Access mode ReadWriteMany',
      'remove spec.selector',
      'no StorageClass "none"',
      'a parameter replica that is not known',
      'and 3 such nodes are ready',
      'no StoragePool "ssd"',
      'no claim other in namespace shop',
    ]) {
      expect(
        events.some((text) => text.includes(words)),
        words,
      ).to.equal(true);
    }
  });

  it('goes on by itself when what was missing is there', async () => {
    cluster.start();
    await cluster.api.create(CLAIMS, claim('early', { storageClassName: 'later' }));
    await cluster.settle();
    await cluster.api.create(CLASSES, storageClass({ metadata: { name: 'later' } }));
    await cluster.settle();
    expect((await cluster.made()).filter((name) => name.startsWith('Pers'))).to.have.length(1);
  });

  it('leaves claims of others, and data sources of other kinds, alone', async () => {
    cluster.start();
    await cluster.api.create(
      CLAIMS,
      claim('other', {}, { 'volume.kubernetes.io/storage-provisioner': 'example.com/x' }),
    );
    await cluster.api.create(CLAIMS, claim('bound', { volumeName: 'mine' }));
    const dataSourceRef = { apiGroup: 'example.com', kind: 'Backup', name: 'b' };
    await cluster.api.create(CLAIMS, claim('populated', { dataSourceRef }));
    await cluster.settle();
    expect(await cluster.made()).to.deep.equal([]);
    expect((await cluster.events()).join()).to.include('left to its populator');
  });

  it('waits for the node of the first consumer, and gives back a node that is not there', async () => {
    cluster.start();
    const waiting = { metadata: { name: 'late' }, volumeBindingMode: 'WaitForFirstConsumer' };
    await cluster.api.create(CLASSES, storageClass(waiting));
    const made = await cluster.api.create(CLAIMS, claim('data', { storageClassName: 'late' }));
    await cluster.settle();
    expect(await cluster.made()).to.deep.equal([]);
    const select = (name: string): Promise<unknown> =>
      cluster.api.apply(CLAIMS, claim('data', {}, { [SELECTED_NODE]: name }));
    await select('node9');
    await cluster.settle();
    const live = await cluster.api.get(CLAIMS, made.metadata);
    expect(live.metadata.annotations?.[SELECTED_NODE]).to.equal(undefined);
    await select('node2');
    await cluster.settle();
    expect(await cluster.made()).not.to.deep.equal([]);
  });

  it('frees everything of a released volume, and then the volume', async () => {
    cluster.start();
    const made = await cluster.api.create(CLAIMS, claim('data'));
    await cluster.settle();
    await release(`pvc-${made.metadata.uid ?? ''}`);
    await cluster.settle();
    expect(await cluster.made()).to.deep.equal([]);
  });

  it('hears when data are removed, asks for nothing meanwhile, and waits for no node that is gone', async () => {
    cluster.cleans = false;
    cluster.start();
    const made = await cluster.api.create(CLAIMS, claim('data'));
    await cluster.settle();
    const name = `pvc-${made.metadata.uid ?? ''}`;
    const where = { namespace: 'openebs', name };
    const { members } = (await cluster.api.get(VOLUME_RESOURCES, where)).spec;
    await release(name);
    await cluster.clock.pass(10_000);
    const { items } = await cluster.api.list(JOBS, {});
    expect(items).to.have.length(3);
    const before = cluster.api.calls.length;
    await cluster.clock.pass(600_000);
    expect(cluster.api.calls.slice(before)).to.deep.equal([]);
    const [first, second] = items;
    for (const job of [first!, second!]) {
      await cluster.api.replace(JOBS, { ...job, status: { succeeded: 1 } });
    }
    await cluster.clock.pass(1_000);
    expect((await cluster.made()).join()).to.include(name);
    await cluster.api.remove(NODES, { name: members[2]!.node });
    await cluster.clock.pass(1_000);
    expect(await cluster.made()).to.deep.equal([]);
    expect(cluster.failures).to.deep.equal([]);
  });

  it('keeps a released volume of policy Retain, and holds it by no finalizer', async () => {
    cluster.start();
    const kept = storageClass({ metadata: { name: 'kept' }, reclaimPolicy: 'Retain' });
    await cluster.api.create(CLASSES, kept);
    const made = await cluster.api.create(CLAIMS, claim('data', { storageClassName: 'kept' }));
    await cluster.settle();
    const name = `pvc-${made.metadata.uid ?? ''}`;
    const before = await cluster.made();
    await release(name);
    await cluster.settle();
    expect(await cluster.made()).to.have.members(before);
    const volume = await cluster.api.get(VOLUMES, { name });
    expect(volume.metadata.finalizers ?? []).to.deep.equal([]);
  });

  it('ends up with one whole volume, whichever call fails and however often it is stopped', async () => {
    for (let failing = 1; ; failing++) {
      cluster = new Cluster();
      cluster.giveAddresses();
      await cluster.prepare();
      let calls = 0;
      const hits: string[] = [];
      cluster.api.before = (method, kind) => {
        if (['list', 'watch'].includes(method) || kind === 'Event') return;
        if (++calls !== failing) return;
        hits.push(`${method} ${kind}`);
        throw new KubeError(500, 'InternalError', 'the call failed');
      };
      const { before } = cluster.api;
      cluster.api.before = () => undefined;
      const made = await cluster.api.create(CLAIMS, claim('data'));
      cluster.api.before = before;
      cluster.start();
      await cluster.settle();
      // Stopped in this state, whatever it is, and started again.
      await cluster.stop();
      cluster.start();
      await cluster.clock.pass(10_000);
      await cluster.settle();
      const name = `pvc-${made.metadata.uid ?? ''}`;
      expect(await cluster.made(), `call ${failing}`).to.have.length(8);
      await release(name);
      await cluster.clock.pass(10_000);
      await cluster.settle();
      expect(await cluster.made(), `call ${failing}`).to.deep.equal([]);
      await cluster.stop();
      if (hits.length === 0) break;
      expect(failing).to.be.lessThan(120);
    }
  }).timeout(20_000);
});
