/**
 * Goal: a class with `chap` gives a volume that lets nobody in who does not know its secret, and
 * whom its PersistentVolume tells where the secret is, as kubelet needs it, gets in.
 */
import { expect } from 'chai';
import { CLAIMS, CLASSES, VOLUMES, type Claim } from '../../provisioner/src/claims/contract.ts';
import { SECRETS } from '../../provisioner/src/orchestrator/kubernetes/chap-secret.ts';
import { openDisk } from '../initiator/disk.ts';
import { SYSTEM_NAMESPACE, claimOf } from './openebs-system.ts';
import { type SharedCluster, theCluster } from './the-cluster.ts';
import { removeVolume } from './volume-claim.ts';
import { VolumePods } from './volume-pods.ts';

const READY_MS = 120_000;
const CLASS = 'proved';
const BLOCK = Buffer.alloc(4096, 'proved');

interface IscsiSource {
  readonly targetPortal: string;
  readonly iqn: string;
  readonly chapAuthSession?: boolean;
  readonly chapAuthDiscovery?: boolean;
  readonly secretRef?: { readonly name: string; readonly namespace: string };
}

describe('a claim of a class with CHAP', function () {
  this.timeout(240_000);
  let shared: SharedCluster;
  let claim: Claim;
  let name: string;

  before(async function () {
    const found = await theCluster();
    if (found === null) this.skip();
    shared = found;
    const { api } = shared;
    const known = await api.get(CLASSES, { name: 'openebs' });
    const { apiVersion, kind, provisioner } = known;
    const parameters = { chap: 'true' };
    await api.create(CLASSES, {
      ...{ apiVersion, kind, metadata: { name: CLASS }, provisioner, parameters },
      volumeBindingMode: 'Immediate',
    });
    claim = await api.create(CLAIMS, JSON.parse(claimOf('proved', '16Mi', CLASS)) as Claim);
    name = `pvc-${claim.metadata.uid ?? ''}`;
    await new VolumePods(api, name).until('ready', READY_MS);
  });

  it('is a volume that is used with the secret that it names, and with no other', async () => {
    const { api, cluster } = shared;
    const source = (await api.get(VOLUMES, { name })).spec?.iscsi as unknown as IscsiSource;
    expect(source).to.include({ chapAuthSession: true, chapAuthDiscovery: true });
    const secret = (await api.get(SECRETS, source.secretRef!)) as unknown as {
      readonly type: string;
      readonly data: Readonly<Record<string, string>>;
    };
    expect(secret.type).to.equal('kubernetes.io/iscsi-chap');
    const read = (key: string): string => Buffer.from(secret.data[key] ?? '', 'base64').toString();
    const [host = '', port = ''] = source.targetPortal.split(':');
    const where = { host, port: Number(port), targetName: source.iqn };
    await cluster.reachServicesBy(cluster.node('node1'));
    const user = read('node.session.auth.username');
    const chap = { user, secret: read('node.session.auth.password') };
    const failure = async (attempt: Promise<unknown>): Promise<string> =>
      attempt.then(() => 'let in', String);
    expect(await failure(openDisk(where))).to.match(/login/i);
    const wrong = { user, secret: 'another secret' };
    expect(await failure(openDisk({ ...where, chap: wrong }))).to.match(/login/i);
    const disk = await openDisk({ ...where, chap });
    await disk.write(0, BLOCK);
    expect(await disk.read(0, BLOCK.length)).to.deep.equal(BLOCK);
    disk.session.destroy();
  });

  it('takes its secret with it when it is deleted', async () => {
    const { api } = shared;
    await removeVolume(api, claim, name);
    const { items } = await api.list(SECRETS, { namespace: SYSTEM_NAMESPACE });
    expect(items.map(({ metadata }) => metadata.name).join()).not.to.include(name);
  });
});
