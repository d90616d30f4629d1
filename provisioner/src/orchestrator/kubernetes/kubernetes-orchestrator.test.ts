import { expect } from 'chai';
import { SETTINGS } from '../../claims/cluster.test-support.ts';
import { FakeKubeApi } from '../../kubernetes/fake-kube-api.test-support.ts';
import { Problem } from '../../problem.ts';
import { KubernetesOrchestrator } from './kubernetes-orchestrator.ts';
import { newRecord } from './new-record.ts';
import { HttpTargets } from './targets.ts';
import { VOLUME_RESOURCES } from './volume-resource.ts';

describe('volumes of a cluster, for the API server', () => {
  const api = new FakeKubeApi();
  const orchestrator = new KubernetesOrchestrator({
    ...{ api, settings: SETTINGS, log: () => undefined },
    targets: new HttpTargets({ tokenFile: SETTINGS.controlTokenFile }),
  });

  const refusal = async (volume: string, snapshot: string | null): Promise<Problem> => {
    const rest = { sizeBytes: null, replicas: null, chap: null };
    try {
      await orchestrator.cloneVolume({ name: 'copy', source: { volume, snapshot }, ...rest });
    } catch (error) {
      expect(error).to.be.instanceOf(Problem);
      return error as Problem;
    }
    throw new Error('it was not refused');
  };

  before(async () => {
    const spec = { sizeBytes: 2 ** 30, replicas: 3, chap: null };
    const record = newRecord({ name: 'by-hand', ...spec }, 'openebs', null);
    await api.create(VOLUME_RESOURCES, record);
    const claimRef = { namespace: 'shop', name: 'orders', uid: '1' };
    await api.create(VOLUME_RESOURCES, {
      ...record,
      metadata: { ...record.metadata, name: 'pvc-1' },
      spec: { ...record.spec, claimRef },
    });
  });

  it('are cloned by claims, and who asks for a clone is told how', async () => {
    const now = await refusal('pvc-1', null);
    expect(now.code).to.equal('clone-refused');
    expect(now.next).to.include('kubectl -n shop apply');
    expect(now.next).to.include('dataSourceRef: {kind: PersistentVolumeClaim, name: orders}');
    expect(now.next).to.include('manifests/examples/clone.yaml');
    const then = await refusal('pvc-1', 'monday');
    expect(then.next).to.include('kind: OpenEBSSnapshot');
    expect(then.next).to.include('kubectl -n shop get openebssnapshots');
    expect((await refusal('by-hand', null)).message).to.include('was made for no claim');
    expect((await refusal('gone', null)).code).to.equal('volume-not-found');
  });

  it('let nobody lock kubelet out, and say what to do where credentials shall change', async () => {
    const chap = { user: 'u', secret: 'a-secret-of-12', mutualUser: null, mutualSecret: null };
    const failed = async (call: Promise<unknown>): Promise<Problem> =>
      call.then(
        () => Promise.reject(new Error('it was not refused')),
        (error: unknown) => error as Problem,
      );
    const change = (name: string) => orchestrator.changeVolume(name, { kind: 'chap', chap });
    const claimed = await failed(change('pvc-1'));
    expect(claimed.code).to.equal('chap-invalid');
    expect(claimed.message).to.include('logs in to volume pvc-1 without CHAP');
    expect(claimed.next).to.include('a class with chapSecretName');
    const record = await api.get(VOLUME_RESOURCES, { namespace: 'openebs', name: 'pvc-1' });
    const chapSecretRef = { namespace: 'vault', name: 'orders' };
    await api.create(VOLUME_RESOURCES, {
      ...record,
      metadata: { ...record.metadata, name: 'pvc-2' },
      spec: { ...record.spec, chapSecretRef },
    });
    expect((await failed(change('pvc-2'))).next).to.include('-n vault edit secret orders');
    expect((await failed(change('by-hand'))).code).to.equal('volume-not-ready');
    const spec = { name: 'new', sizeBytes: 2 ** 30, replicas: 3, chap };
    const first = await failed(orchestrator.createVolume(spec, { idempotencyKey: null }));
    expect(first.next).to.include('mayactl volume set-chap new');
  });
});
