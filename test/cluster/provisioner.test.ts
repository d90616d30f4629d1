import { expect } from 'chai';
import { CLAIMS, VOLUMES } from '../../provisioner/src/claims/contract.ts';
import {
  resource,
  type KubeObject,
  type Resource,
} from '../../provisioner/src/kubernetes/objects.ts';
import {
  DEPLOYMENTS,
  DISRUPTION_BUDGETS,
  SERVICES,
} from '../../provisioner/src/orchestrator/kubernetes/desired-objects.ts';
import { VOLUME_RESOURCES } from '../../provisioner/src/orchestrator/kubernetes/volume-resource.ts';
import { eventually, Installation, NAMESPACE } from './installation.ts';

describe('the provisioner on a real control plane', () => {
  let cluster: Installation;

  const made = async (volume: string): Promise<string[]> => {
    const names: string[] = [];
    const kinds = [VOLUME_RESOURCES, SERVICES, DEPLOYMENTS, DISRUPTION_BUDGETS];
    for (const kind of kinds) {
      const { items } = await cluster.api.list(kind, { namespace: NAMESPACE });
      names.push(
        ...items.map(({ metadata }) => metadata.name).filter((name) => name.includes(volume)),
      );
    }
    return names;
  };

  const freed = async (volume: string): Promise<void> => {
    await eventually(
      'the end of the volume',
      async () => {
        await cluster.endCleaning(volume);
        const { items } = await cluster.api.list(VOLUMES);
        return !items.some(({ metadata }) => metadata.name === volume);
      },
      60_000,
    );
    expect(await made(volume)).to.deep.equal([]);
  };

  before(async () => {
    cluster = new Installation();
    await cluster.prepare();
    await cluster.start();
  });

  after(() => cluster.stop());

  it('binds a claim to a volume that is reached at a Service of its own', async () => {
    const claim = await cluster.claim('simple');
    const volume = await cluster.bound(claim);
    const { name } = volume.metadata;
    const service = await cluster.api.get(SERVICES, {
      namespace: NAMESPACE,
      name: `${name}-ctrl-svc`,
    });
    expect(volume.spec?.iscsi?.targetPortal).to.equal(`${service.spec?.clusterIP ?? ''}:3260`);
    await eventually('all its objects', async () => (await made(name)).length === 8);
    // Events go out behind everything else.
    await eventually('its event', async () =>
      (await cluster.events('simple')).includes('ProvisioningSucceeded'),
    );
  });

  it('frees everything when the claim is deleted', async () => {
    const claim = await cluster.claim('short');
    const { metadata } = await cluster.bound(claim);
    await cluster.api.remove(CLAIMS, claim.metadata);
    await freed(metadata.name);
  });

  it('frees everything also when the volume is deleted before its claim', async () => {
    const claim = await cluster.claim('backwards');
    const { metadata } = await cluster.bound(claim);
    await cluster.api.remove(VOLUMES, metadata);
    await cluster.api.remove(CLAIMS, claim.metadata);
    await freed(metadata.name);
  });

  it('keeps the volume and its data where the class says Retain', async () => {
    await cluster.storageClass('kept', { reclaimPolicy: 'Retain' });
    const claim = await cluster.claim('kept', { storageClassName: 'kept' });
    const { metadata } = await cluster.bound(claim);
    await cluster.api.remove(CLAIMS, claim.metadata);
    await eventually('the phase Released', async () => {
      const volume = await cluster.api.get(VOLUMES, metadata);
      return volume.status?.phase === 'Released';
    });
    expect(await made(metadata.name)).to.have.length(8);
  });

  it('says in an event what is wrong with a claim, and makes nothing', async () => {
    const claim = await cluster.claim('shared', { accessModes: ['ReadWriteMany'] });
    await eventually('the event', async () =>
      (await cluster.events('shared')).includes('write ReadWriteOnce or ReadOnlyMany'),
    );
    expect(await cluster.volumeOf(claim)).to.equal(null);
    expect(await made(claim.metadata.uid ?? '')).to.deep.equal([]);
  });

  it('makes again what somebody deletes or changes, at the same address', async () => {
    const claim = await cluster.claim('stubborn');
    const volume = await cluster.bound(claim);
    const { name } = volume.metadata;
    const where = { namespace: NAMESPACE, name: `${name}-ctrl-svc` };
    const before = await cluster.api.get(SERVICES, where);
    await cluster.api.remove(SERVICES, where);
    const deployment = { namespace: NAMESPACE, name: `${name}-ctrl` };
    await cluster.api.patch(DEPLOYMENTS, deployment, [
      { op: 'replace', path: '/spec/replicas', value: 0 },
    ]);
    const after = await eventually('the Service', async () => {
      const { items } = await cluster.api.list(SERVICES, { namespace: NAMESPACE });
      return items.find(
        ({ metadata }) => metadata.name === where.name && metadata.uid !== before.metadata.uid,
      );
    });
    expect(after.spec?.clusterIP).to.equal(before.spec?.clusterIP);
    await eventually('one target', async () => {
      const live = await cluster.api.get(DEPLOYMENTS, deployment);
      return (live as KubeObject & { spec: { replicas: number } }).spec.replicas === 1;
    });
  });

  it('ends with one volume for each of ten claims, although it is killed in the middle', async () => {
    const claims = await Promise.all(
      Array.from({ length: 10 }, (_, index) => cluster.claim(`many-${index}`)),
    );
    await eventually('the first volume', async () => {
      const volumes = await Promise.all(claims.map((claim) => cluster.volumeOf(claim)));
      return volumes.some((volume) => volume !== null);
    });
    await cluster.stop('SIGKILL');
    await cluster.start();
    const volumes = await Promise.all(claims.map((claim) => cluster.bound(claim)));
    expect(new Set(volumes.map(({ metadata }) => metadata.name)).size).to.equal(10);
    for (const { metadata } of volumes) {
      await eventually('its objects', async () => (await made(metadata.name)).length === 8);
    }
    for (const claim of claims) await cluster.api.remove(CLAIMS, claim.metadata);
    for (const { metadata } of volumes) await freed(metadata.name);
  }).timeout(180_000);

  it('refuses records that make no sense, with words', async () => {
    const record = (change: object): KubeObject =>
      ({
        apiVersion: 'openebs.io/v1alpha1',
        kind: 'OpenEBSVolume',
        metadata: { namespace: NAMESPACE, name: 'by-hand' },
        spec: {
          ...{ size: '1Gi', replicas: 3, pool: 'default', topologyKey: 'kubernetes.io/hostname' },
          ...{ monitored: false, members: [], ...change },
        },
      }) as KubeObject;
    const of = VOLUME_RESOURCES as unknown as Resource;
    const refusal = async (change: object): Promise<string> => {
      try {
        await cluster.api.create(of, record(change));
      } catch (error) {
        return (error as Error).message;
      }
      throw new Error('it was taken');
    };
    expect(await refusal({ size: 'big' })).to.include('write a quantity, as 10Gi');
    expect(await refusal({ size: '0' })).to.include('more than nothing');
    expect(await refusal({ replicas: 6 })).to.include('less than or equal to 5');
    await cluster.api.create(of, record({}));
    const shrink = cluster.api.patch(of, { namespace: NAMESPACE, name: 'by-hand' }, [
      { op: 'replace', path: '/spec/size', value: '512Mi' },
    ]);
    expect(await shrink.then(String, (error: unknown) => String(error))).to.include('can grow');
  });

  it('has used no right that the chart does not give', async () => {
    expect(await cluster.calls(403)).to.deep.equal([]);
    expect(await cluster.calls(200)).not.to.deep.equal([]);
  });

  it('stops in order when it is told to, and gives the lease free', async () => {
    expect(await cluster.stop()).to.equal(0);
    const leases = resource<KubeObject & { spec: { holderIdentity: string } }>(
      'coordination.k8s.io/v1',
      'Lease',
      'leases',
      true,
    );
    const where = { namespace: NAMESPACE, name: 'openebs-provisioner' };
    expect((await cluster.api.get(leases, where)).spec.holderIdentity).to.equal('');
  });
});
