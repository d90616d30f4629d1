/**
 * Goal: whom a Secret names that is there, and nobody else, uses the volumes whose class names it,
 * also when what it says has changed; and a volume without a claim lets in whom mayactl says.
 * Method: real logins, by CHAP in one direction and in both, at the address of the Service.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { CLAIMS, CLASSES, VOLUMES, type Claim } from '../../provisioner/src/claims/contract.ts';
import { SECRETS } from '../../provisioner/src/orchestrator/kubernetes/chap-secret.ts';
import {
  chapKeys,
  chapSecret,
} from '../../provisioner/src/orchestrator/kubernetes/chap-secret.test-support.ts';
import {
  VOLUME_RESOURCES,
  type VolumeResource,
} from '../../provisioner/src/orchestrator/kubernetes/volume-resource.ts';
import { openSession, type SessionOptions } from '../initiator/connect.ts';
import { openDisk } from '../initiator/disk.ts';
import { REPOSITORY } from '../support/daemons.ts';
import { tryTool } from '../support/tool.ts';
import { until } from '../support/until.ts';
import { claimOf, SYSTEM_NAMESPACE } from './openebs-system.ts';
import { type SharedCluster, theCluster } from './the-cluster.ts';
import { removeVolume } from './volume-claim.ts';
import { PODS, VolumePods } from './volume-pods.ts';

const MAYACTL = join(REPOSITORY, 'provisioner', 'bin', 'mayactl.js');
const CLASS = 'private';
const READY_MS = 180_000;
/** A target that says the same is asked every half minute. */
const TOLD_MS = 90_000;
const [FIRST, SECOND, MUTUAL] = ['first-secret-of-12', 'second-secret-of-12', 'mutual-secret-12'];
const BLOCK = Buffer.alloc(4096, 'proved');

describe('volumes with CHAP credentials of their users', function () {
  this.timeout(300_000);
  let shared: SharedCluster;
  const claims = new Map<string, Claim>();

  const volumeOf = (name: string): string => {
    const claim = claims.get(name);
    return claim === undefined ? name : `pvc-${claim.metadata.uid ?? ''}`;
  };

  const say = async (name: string, user: string, ...secrets: string[]): Promise<void> => {
    const [secret = '', mutual] = secrets;
    const mutualUser = mutual === undefined ? undefined : 'volume';
    const keys = chapKeys(user, secret, mutualUser, mutual);
    await shared.api.remove(SECRETS, { namespace: 'default', name: `${name}-chap` });
    await shared.api.create(SECRETS, chapSecret('default', `${name}-chap`, keys));
  };

  const record = (name: string): Promise<VolumeResource> =>
    shared.api.get(VOLUME_RESOURCES, { namespace: SYSTEM_NAMESPACE, name: volumeOf(name) });

  const untilFor = (name: string, user: string | undefined): Promise<void> =>
    until(
      `credentials of ${user ?? 'nobody'} in force`,
      async () => {
        const { status } = await record(name);
        return status?.phase === 'Healthy' && status.chap?.user === user;
      },
      TOLD_MS,
    );

  const placeOf = async (name: string) => {
    const { portal = '', iqn = '' } = (await record(name)).status ?? {};
    const [host = '', port = ''] = portal.split(':');
    return { host, port: Number(port), targetName: iqn };
  };

  const login = async (
    name: string,
    by: Pick<SessionOptions, 'chap' | 'mutualChap'> = {},
  ): Promise<string> => {
    const attempt = openSession({ ...(await placeOf(name)), ...by });
    return attempt.then(
      async (session) => {
        await session.logout();
        return 'in';
      },
      (error: unknown) => String(error),
    );
  };

  const by = (user: string, secret = '') => ({ chap: { user, secret } });

  const mayactl = (...words: string[]) => {
    const { kubeconfig } = shared.cluster.plane;
    return tryTool(process.execPath, [MAYACTL, '--kubeconfig', kubeconfig, 'volume', ...words]);
  };

  const secretFile = (secret = ''): string => {
    const path = join(shared.cluster.plane.directory, 'chap-secret');
    writeFileSync(path, `${secret}\n`, { mode: 0o600 });
    return path;
  };

  before(async function () {
    const found = await theCluster();
    if (found === null) this.skip();
    shared = found;
    const { api, cluster } = shared;
    await cluster.reachServicesBy(cluster.node('node1'));
    const { apiVersion, kind, provisioner } = await api.get(CLASSES, { name: 'openebs' });
    await api.create(CLASSES, {
      ...{ apiVersion, kind, metadata: { name: CLASS }, provisioner },
      parameters: {
        chapSecretName: '${pvc.name}-chap',
        chapSecretNamespace: '${pvc.namespace}',
      },
      volumeBindingMode: 'Immediate',
    });
    for (const name of ['used', 'rotated']) {
      await say(name, 'alice', FIRST, MUTUAL);
      const claim = JSON.parse(claimOf(name, '16Mi', CLASS)) as Claim;
      claims.set(name, await api.create(CLAIMS, claim));
    }
    for (const name of ['used', 'rotated']) {
      await new VolumePods(api, volumeOf(name)).until('ready', READY_MS);
      await untilFor(name, 'alice');
    }
  });

  it('a Secret that changes while nobody is logged in counts, also for a target that starts anew', async () => {
    expect(await login('rotated', by('alice', SECOND)), 'not yet').to.match(/login/i);
    await say('rotated', 'bob', SECOND);
    await untilFor('rotated', 'bob');
    expect(await login('rotated', by('alice', FIRST))).to.match(/login/i);
    expect(await login('rotated', by('bob', SECOND))).to.equal('in');
    const pods = new VolumePods(shared.api, volumeOf('rotated'));
    for (const { metadata } of await pods.of('target')) await shared.api.remove(PODS, metadata);
    await until('a new target', async () => (await login('rotated', by('bob', SECOND))) === 'in');
    expect(await login('rotated', by('alice', FIRST))).to.match(/login/i);
    expect(await login('rotated')).to.match(/login/i);
  });

  it('a class that names a Secret lets in whom it names, and the volume proves itself too', async () => {
    const source = (await shared.api.get(VOLUMES, { name: volumeOf('used') })).spec?.iscsi;
    expect(source).to.deep.include({ chapAuthSession: true, chapAuthDiscovery: true });
    expect(source?.secretRef).to.deep.equal({ namespace: 'default', name: 'used-chap' });
    for (const wrong of [{}, by('alice', SECOND), by('bob', FIRST)]) {
      expect(await login('used', wrong), JSON.stringify(wrong)).to.match(/login/i);
    }
    const alice = by('alice', FIRST);
    const mutual = (secret = '') => ({ ...alice, mutualChap: { user: 'volume', secret } });
    expect(await login('used', mutual(MUTUAL))).to.equal('in');
    expect(await login('used', mutual(SECOND)), 'a false volume').not.to.equal('in');
    const disk = await openDisk({ ...(await placeOf('used')), ...alice });
    await disk.write(0, BLOCK);
    expect(await disk.read(0, BLOCK.length)).to.deep.equal(BLOCK);
    disk.session.destroy();
  });

  it('a Secret that changes locks out nobody who is logged in, and the record says that it waits', async () => {
    const alice = by('alice', FIRST);
    const session = await openSession({ ...(await placeOf('used')), ...alice });
    const seen = async (): Promise<boolean> => (await record('used')).status?.sessions === 1;
    await until('a session that is told', seen, TOLD_MS);
    await say('used', 'bob', SECOND);
    await until(
      'words',
      async () => {
        const conditions = (await record('used')).status?.conditions ?? [];
        const words = conditions.find(({ type }) => type === 'AsRecorded')?.message ?? '';
        return words.includes('Secret default/used-chap has changed; it counts when');
      },
      TOLD_MS,
    );
    expect(await login('used', alice), 'who has to come back').to.equal('in');
    expect(await login('used', by('bob', SECOND))).to.match(/login/i);
    await session.logout();
  });

  it('a volume without a claim lets in whom mayactl says, and that of a claim stays as it is', async () => {
    const made = await mayactl('create', 'by-hand', '--size', '16MiB', '--replicas', '3');
    expect(made.code, made.stderr).to.equal(0);
    await new VolumePods(shared.api, 'by-hand').until('ready', READY_MS);
    await untilFor('by-hand', undefined);
    expect(await login('by-hand')).to.equal('in');
    const set = (name: string, user: string, secret?: string) =>
      mayactl('set-chap', name, '--chap-user', user, '--chap-secret-file', secretFile(secret));
    expect((await set('by-hand', 'alice', FIRST)).code).to.equal(0);
    expect(await login('by-hand')).to.match(/login/i);
    expect(await login('by-hand', by('alice', FIRST))).to.equal('in');
    await untilFor('by-hand', 'alice');
    expect((await set('by-hand', 'bob', SECOND)).code).to.equal(0);
    expect(await login('by-hand', by('alice', FIRST))).to.match(/login/i);
    expect(await login('by-hand', by('bob', SECOND))).to.equal('in');
    expect((await mayactl('set-chap', 'by-hand', '--none')).code).to.equal(0);
    expect(await login('by-hand')).to.equal('in');
    const refused = await set(volumeOf('used'), 'carol', FIRST);
    expect(refused.stderr).to.include('kubectl -n default edit secret used-chap');
    expect((await mayactl('delete', 'by-hand', '--yes')).code).to.equal(0);
  });

  it('nothing of their credentials is left when their claims are gone', async () => {
    const { api } = shared;
    for (const [name, claim] of claims) await removeVolume(api, claim, volumeOf(name));
    const { items } = await api.list(SECRETS, { namespace: SYSTEM_NAMESPACE });
    const names = items.map(({ metadata }) => metadata.name).join();
    for (const name of claims.keys()) expect(names).not.to.include(volumeOf(name));
  });
});
