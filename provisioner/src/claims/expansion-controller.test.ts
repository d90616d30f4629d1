import { expect } from 'chai';
import { VOLUME_RESOURCES } from '../orchestrator/kubernetes/volume-resource.ts';
import { claim, Cluster, storageClass } from './cluster.test-support.ts';
import { CLAIMS, CLASSES, FILE_SYSTEM_SIZE, VOLUMES, type Claim } from './contract.ts';

const MINUTE = 60_000;

describe('a claim that asks for more', () => {
  let cluster: Cluster;
  let name: string;

  const live = (): Promise<Claim> => cluster.api.get(CLAIMS, { namespace: 'shop', name: 'data' });

  const ask = (storage: string): Promise<unknown> =>
    cluster.api.patch(CLAIMS, { namespace: 'shop', name: 'data' }, [
      { op: 'replace', path: '/spec/resources/requests/storage', value: storage },
    ]);

  /** A claim of 1 GiB whose volume serves, bound as the cluster binds it. */
  const make = async (spec: object = {}): Promise<void> => {
    const made = await cluster.api.create(CLAIMS, claim('data', spec));
    name = `pvc-${made.metadata.uid ?? ''}`;
    await cluster.clock.pass(10_000);
    await cluster.api.patch(CLAIMS, made.metadata, [
      { op: 'add', path: '/spec/volumeName', value: name },
      { op: 'add', path: '/status', value: { phase: 'Bound', capacity: { storage: '1Gi' } } },
    ]);
    await cluster.clock.pass(10_000);
  };

  const capacity = async (): Promise<unknown> =>
    (await cluster.api.get(VOLUMES, { name })).spec?.capacity?.['storage'];

  const size = async (): Promise<string> =>
    (await cluster.api.get(VOLUME_RESOURCES, { namespace: 'openebs', name })).spec.size;

  beforeEach(async () => {
    cluster = new Cluster();
    cluster.giveAddresses();
    await cluster.prepare();
    const growing = { metadata: { name: 'growing' }, allowVolumeExpansion: true };
    await cluster.api.create(CLASSES, storageClass(growing));
    cluster.start();
  });
  afterEach(() => cluster.stop());

  it('gets it as a device at once', async () => {
    await make({ storageClassName: 'growing', volumeMode: 'Block' });
    await ask('1500M');
    await cluster.clock.pass(MINUTE);
    // Whole blocks of 4 KiB.
    expect(await size()).to.equal('1464844Ki');
    expect(cluster.targets.orders).to.deep.equal(['/v1/size {"sizeBytes":1500000256}']);
    expect(await capacity()).to.equal('1464844Ki');
    const { status } = await live();
    expect(status?.capacity).to.deep.equal({ storage: '1464844Ki' });
    expect(status?.conditions ?? []).to.deep.equal([]);
  });

  it('is told that its file system is left to a person, and has the size when they say so', async () => {
    await make({ storageClassName: 'growing' });
    await ask('2Gi');
    await cluster.clock.pass(MINUTE);
    expect(await capacity()).to.equal('2Gi');
    const waiting = (await live()).status;
    expect(waiting?.capacity).to.deep.equal({ storage: '1Gi' });
    const [condition] = waiting?.conditions ?? [];
    expect(condition).to.include({ type: 'FileSystemResizePending', status: 'True' });
    expect(condition?.message).to.include('iscsiadm -m node -R, then resize2fs');
    await cluster.api.patch(CLAIMS, { namespace: 'shop', name: 'data' }, [
      { op: 'add', path: '/metadata/annotations', value: { [FILE_SYSTEM_SIZE]: '2Gi' } },
    ]);
    await cluster.clock.pass(MINUTE);
    const grown = (await live()).status;
    expect(grown?.capacity).to.deep.equal({ storage: '2Gi' });
    expect(grown?.conditions).to.deep.equal([]);
  });

  it('is told so while the volume has not grown yet by nothing but an event', async () => {
    await make({ storageClassName: 'growing' });
    cluster.targets.order = () => Promise.resolve('the volume does not serve at present');
    await ask('2Gi');
    await cluster.clock.pass(MINUTE);
    expect(await size()).to.equal('2Gi');
    expect(await capacity()).to.equal('1Gi');
    expect((await cluster.events()).join()).to.include('grows from 1Gi to 2Gi');
  });

  it('gets nothing where its class does not allow it', async () => {
    await make();
    await ask('2Gi');
    await cluster.clock.pass(MINUTE);
    expect(await size()).to.equal('1Gi');
    expect((await cluster.events()).join()).to.include('set allowVolumeExpansion: true');
  });

  it('for less is refused, with an event', async () => {
    await make({ storageClassName: 'growing' });
    await ask('512Mi');
    await cluster.clock.pass(MINUTE);
    expect(await size()).to.equal('1Gi');
    expect((await cluster.events()).join()).to.include('VolumeShrinkRefused');
    await ask('65Ti');
    await cluster.clock.pass(MINUTE);
    expect(await size()).to.equal('1Gi');
    expect((await cluster.events()).join()).to.include('A volume has at most 64Ti');
  });
});
