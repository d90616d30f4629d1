import { expect } from 'chai';
import { SECRETS } from '../orchestrator/kubernetes/chap-secret.ts';
import { chapKeys, chapSecret } from '../orchestrator/kubernetes/chap-secret.test-support.ts';
import {
  VOLUME_RESOURCES,
  type VolumeResource,
} from '../orchestrator/kubernetes/volume-resource.ts';
import { claim, Cluster, storageClass } from './cluster.test-support.ts';
import { CLAIMS, CLASSES, VOLUMES, type Claim } from './contract.ts';

const FIRST = 'first-secret-of-12';
const SECOND = 'second-secret-of-12';
const PARAMETERS = {
  'csi.storage.k8s.io/node-stage-secret-name': "${pvc.annotations['secret']}",
  'csi.storage.k8s.io/node-stage-secret-namespace': '${pvc.namespace}',
};

describe('a class that names a CHAP Secret', () => {
  let cluster: Cluster;
  let name: string;

  const make = async (parameters: Record<string, string>, of: Claim): Promise<Claim> => {
    const metadata = { name: 'private' };
    await cluster.api.create(CLASSES, storageClass({ metadata, parameters }));
    const made = await cluster.api.create(CLAIMS, of);
    name = `pvc-${made.metadata.uid ?? ''}`;
    await cluster.settle();
    return made;
  };

  const orders = (): Claim => claim('orders', { storageClassName: 'private' }, { secret: 'mine' });

  const say = async (user: string, password: string): Promise<void> => {
    await cluster.api.remove(SECRETS, { namespace: 'shop', name: 'mine' });
    await cluster.api.create(SECRETS, chapSecret('shop', 'mine', chapKeys(user, password)));
    await cluster.clock.pass(1_000);
    await cluster.settle();
  };

  const record = (): Promise<VolumeResource> =>
    cluster.api.get(VOLUME_RESOURCES, { namespace: 'openebs', name });

  const settings = (): string[] =>
    cluster.targets.orders.filter((order) => order.startsWith('/v1/settings'));

  const recorded = async (): Promise<string> =>
    (await record()).status?.conditions?.find(({ type }) => type === 'AsRecorded')?.message ?? '';

  beforeEach(async () => {
    cluster = new Cluster();
    cluster.giveAddresses();
    await cluster.prepare();
  });

  afterEach(() => cluster.stop());

  it('is refused before anything is made where it is not right, with what to write', async () => {
    cluster.start();
    const of = (label: string): Claim => claim(label, { storageClassName: label });
    const classes: [string, Record<string, string>, string][] = [
      ['half', { chapSecretName: 'a' }, 'write chapSecretNamespace too'],
      ['other-half', { chapSecretNamespace: 'a' }, 'write chapSecretName too'],
      ['both', { chapSecretName: 'a', chapSecretNamespace: 'shop', chap: 'true' }, 'keep one'],
      ['twice', { ...PARAMETERS, chapSecretName: 'a' }, 'which mean the same; keep one'],
      ['unknown', { chapSecretName: '${a}', chapSecretNamespace: 'shop' }, '${a} is not known'],
      ['nameless', PARAMETERS, 'the claim has no annotation secret'],
      ['absent', { chapSecretName: 'a', chapSecretNamespace: 'shop' }, 'no Secret shop/a of type'],
      ['afar', { chapSecretName: 'a', chapSecretNamespace: 'far' }, 'chap.secretNamespaces'],
    ];
    for (const [label, parameters] of classes) {
      const metadata = { name: label };
      await cluster.api.create(CLASSES, storageClass({ metadata, parameters }));
      await cluster.api.create(CLAIMS, of(label));
    }
    await cluster.settle();
    expect(await cluster.made()).to.deep.equal([]);
    const events = (await cluster.events()).join('\n');
    for (const [label, , words] of classes) expect(events, label).to.include(words);
  });

  it('gives the volume its credentials, tells kubelet where they are, and leaves nothing', async () => {
    cluster.start();
    await make(PARAMETERS, orders());
    expect(await cluster.made()).to.deep.equal([]);
    await say('alice', FIRST);
    const volume = await cluster.api.get(VOLUMES, { name });
    const chapSecretRef = { namespace: 'shop', name: 'mine' };
    expect(volume.spec?.iscsi).to.deep.include({
      ...{ chapAuthDiscovery: true, chapAuthSession: true, secretRef: chapSecretRef },
    });
    expect((await record()).spec.chapSecretRef).to.deep.equal(chapSecretRef);
    const own = await cluster.api.get(SECRETS, { namespace: 'openebs', name: `${name}-chap` });
    const { stringData } = own as unknown as { stringData: Record<string, string> };
    expect(JSON.parse(stringData['first-chap.json'] ?? '')).to.include({ secret: FIRST });
    await cluster.clock.pass(5_000);
    const { resourceVersion } = (await cluster.api.get(SECRETS, chapSecretRef)).metadata;
    const inForce = { user: 'alice', secretVersion: resourceVersion };
    expect((await record()).status?.chap).to.deep.equal(inForce);
    expect(settings()).to.have.length(1);
    expect(JSON.stringify(await record()), 'the secret').not.to.include(FIRST);
    expect((await cluster.events()).join(), 'the secret').not.to.include(FIRST);
    await cluster.api.replace(VOLUMES, { ...volume, status: { phase: 'Released' } });
    await cluster.clock.pass(60_000);
    const { items } = await cluster.api.list(SECRETS, {});
    expect(items.map(({ metadata }) => metadata.name)).to.deep.equal(['mine']);
  });

  it('follows its Secret, but locks out nobody who is logged in', async () => {
    cluster.start();
    await say('alice', FIRST);
    await make(PARAMETERS, orders());
    await cluster.clock.pass(5_000);
    await say('bob', SECOND);
    await cluster.clock.pass(60_000);
    expect((await record()).status?.chap?.user, 'nobody was there').to.equal('bob');
    expect(settings()).to.have.length(2);
    cluster.targets.sessions = 1;
    await cluster.clock.pass(60_000);
    await say('carol', FIRST);
    await cluster.clock.pass(600_000);
    expect((await record()).status?.chap?.user, 'somebody is').to.equal('bob');
    expect(await recorded()).to.include('has changed; it counts when no initiator has been logged');
    // Nobody can come back while there is no target.
    cluster.targets.answers = false;
    await cluster.clock.pass(600_000);
    cluster.targets.sessions = 0;
    cluster.targets.answers = true;
    await cluster.clock.pass(120_000);
    expect((await record()).status?.chap?.user, 'the target is back').to.equal('bob');
    cluster.targets.sessions = 1;
    await cluster.clock.pass(60_000);
    // What led before is not there any more: who leads now takes the record's word.
    await cluster.stop();
    cluster.targets.sessions = 0;
    cluster.start();
    await cluster.clock.pass(120_000);
    expect((await record()).status?.chap?.user, 'somebody may come back').to.equal('bob');
    await cluster.clock.pass(120_000);
    expect((await record()).status?.chap?.user, 'nobody comes any more').to.equal('carol');
    expect(await recorded()).to.equal('it is what its record says');
    expect(settings()).to.have.length(3);
  });

  it('makes a clone with the credentials of its own class, and none without any', async () => {
    cluster.start();
    await say('alice', FIRST);
    const origin = await make(PARAMETERS, orders());
    await cluster.clock.pass(10_000);
    const live = await cluster.api.get(CLAIMS, origin.metadata);
    const spec = { ...live.spec, volumeName: name };
    await cluster.api.replace(CLAIMS, { ...live, spec, status: { phase: 'Bound' } });
    const dataSource = { apiGroup: null, kind: 'PersistentVolumeClaim', name: 'orders' };
    await cluster.api.create(CLAIMS, claim('open', { dataSource }));
    await cluster.clock.pass(10_000);
    expect((await cluster.events()).join()).to.include('is protected by CHAP; name a class');
    await cluster.api.create(SECRETS, chapSecret('shop', 'other', chapKeys('bob', SECOND)));
    const from = { storageClassName: 'private', dataSource };
    const copy = await cluster.api.create(CLAIMS, claim('copy', from, { secret: 'other' }));
    await cluster.clock.pass(20_000);
    name = `pvc-${copy.metadata.uid ?? ''}`;
    const secretRef = { namespace: 'shop', name: 'other' };
    const volume = await cluster.api.get(VOLUMES, { name });
    expect(volume.spec?.iscsi?.secretRef).to.deep.equal(secretRef);
    expect((await record()).status?.chap?.user).to.equal('bob');
  });

  it('keeps what counted when its Secret is gone or spoilt, and says so', async () => {
    cluster.start();
    await say('alice', FIRST);
    await make(PARAMETERS, orders());
    await cluster.clock.pass(5_000);
    await say('alice', 'short');
    await cluster.clock.pass(60_000);
    expect(await recorded()).to.include('12 to 255 bytes');
    await cluster.api.remove(SECRETS, { namespace: 'shop', name: 'mine' });
    await cluster.clock.pass(60_000);
    expect(await recorded()).to.include('credentials that counted before still do');
    expect((await record()).status?.chap?.user).to.equal('alice');
    // Drift is repaired without it.
    await cluster.stop();
    cluster.start();
    await cluster.clock.pass(60_000);
    expect(cluster.failures).to.deep.equal([]);
    expect(settings()).to.have.length(1);
  });
});
