/**
 * Goal: what Kubernetes expects of an external provisioner, row by row (deletion, leaders and leaks
 * are in provisioner.test.ts). Method: the provisioner with the chart's rights beside a real API
 * server and controller manager.
 */
import { expect } from 'chai';
import {
  CLAIMS,
  NODES,
  PROVISIONED_BY,
  PROVISIONER,
  SELECTED_NODE,
  VOLUME_FINALIZER,
  type Claim,
} from '../../provisioner/src/claims/contract.ts';
import {
  SNAPSHOTS,
  type SnapshotResource,
} from '../../provisioner/src/claims/snapshot-resource.ts';
import { VOLUME_POLICIES } from '../../provisioner/src/claims/volume-policy.ts';
import {
  VOLUME_RESOURCES,
  type VolumeResource,
} from '../../provisioner/src/orchestrator/kubernetes/volume-resource.ts';
import { SECRETS } from '../../provisioner/src/orchestrator/kubernetes/chap-secret.ts';
import {
  chapKeys,
  chapSecret,
} from '../../provisioner/src/orchestrator/kubernetes/chap-secret.test-support.ts';
import { eventually, Installation, NAMESPACE } from './installation.ts';

describe('the contract of an external provisioner', () => {
  let cluster: Installation;

  const recordOf = ({ metadata }: Claim): Promise<VolumeResource> =>
    cluster.api.get(VOLUME_RESOURCES, {
      namespace: NAMESPACE,
      name: `pvc-${metadata.uid ?? ''}`,
    });

  const refused = async (claim: Claim, words: string): Promise<void> => {
    const { name } = claim.metadata;
    await eventually(words, async () => (await cluster.events(name)).includes(words));
    expect(await cluster.volumeOf(claim)).to.equal(null);
    const { items } = await cluster.api.list(VOLUME_RESOURCES, { namespace: NAMESPACE });
    expect(items.map(({ metadata }) => metadata.name)).not.to.include(
      `pvc-${claim.metadata.uid ?? ''}`,
    );
  };

  /** As the scheduler does it. */
  const select = async (claim: Claim, node: string): Promise<void> => {
    const { metadata } = await cluster.api.get(CLAIMS, claim.metadata);
    const value = { ...metadata.annotations, [SELECTED_NODE]: node };
    await cluster.api.patch(CLAIMS, metadata, [
      { op: 'add', path: '/metadata/annotations', value },
    ]);
  };

  const annotated = (claim: Claim): Promise<Claim> =>
    eventually('who shall provision', async () => {
      const live = await cluster.api.get(CLAIMS, claim.metadata);
      return live.metadata.annotations === undefined ? null : live;
    });

  before(async () => {
    cluster = new Installation();
    await cluster.prepare();
    await cluster.start();
  });

  after(() => cluster.stop());

  it('trigger: leaves the claims of other provisioners alone', async () => {
    await cluster.storageClass('foreign', { provisioner: 'example.com/other' });
    const other = await annotated(await cluster.claim('of-other', { storageClassName: 'foreign' }));
    await cluster.bound(await cluster.claim('of-ours'));
    expect(await cluster.volumeOf(other)).to.equal(null);
    expect(await cluster.events('of-other')).not.to.include('openebs');
  });

  it('first consumer: waits for a node, puts the first copy there, and gives back one that is not there', async () => {
    await cluster.storageClass('late', { volumeBindingMode: 'WaitForFirstConsumer' });
    const claim = await cluster.claim('late', { storageClassName: 'late' });
    await eventually('the wait', async () =>
      (await cluster.events('late')).includes('WaitForFirstConsumer'),
    );
    expect(await cluster.volumeOf(claim)).to.equal(null);
    await select(claim, 'node9');
    // The controller manager names the provisioner when a node is selected.
    await eventually('another choice', async () => {
      const live = await cluster.api.get(CLAIMS, claim.metadata);
      return live.metadata.annotations?.[SELECTED_NODE] === undefined;
    });
    await select(claim, 'node2');
    await cluster.bound(claim);
    const { spec } = await recordOf(claim);
    expect(spec.members[0]?.node).to.equal('node2');
    expect(spec.selectedNode).to.equal('node2');
  });

  it("names: the volume is the claim's by name and uid, and has all that its class says", async () => {
    await cluster.storageClass('said', {
      mountOptions: ['noatime'],
      parameters: { fsType: 'xfs' },
    });
    const requests = { storage: '1000000000' };
    const claim = await cluster.claim('named', {
      storageClassName: 'said',
      resources: { requests },
    });
    const { metadata, spec } = await cluster.bound(claim);
    expect(metadata.name).to.equal(`pvc-${claim.metadata.uid ?? ''}`);
    expect(metadata.annotations?.[PROVISIONED_BY]).to.equal(PROVISIONER);
    expect(metadata.finalizers).to.include(VOLUME_FINALIZER);
    expect(spec?.claimRef).to.include({ name: 'named', uid: claim.metadata.uid });
    expect(spec).to.include({
      storageClassName: 'said',
      persistentVolumeReclaimPolicy: 'Delete',
      volumeMode: 'Filesystem',
    });
    expect(spec?.mountOptions).to.deep.equal(['noatime']);
    expect(spec?.iscsi?.fsType).to.equal('xfs');
    // At least what was asked for, in whole blocks of 4 KiB.
    expect(spec?.capacity).to.deep.equal({ storage: '976564Ki' });
  });

  it('access modes: one writer, or many readers, and nothing else', async () => {
    const claim = await cluster.claim('readers', { accessModes: ['ReadOnlyMany'] });
    expect((await cluster.bound(claim)).spec?.accessModes).to.deep.equal(['ReadOnlyMany']);
    const many = await cluster.claim('writers', { accessModes: ['ReadWriteMany'] });
    await refused(many, 'write ReadWriteOnce or ReadOnlyMany');
  });

  it('volumeMode: a device where the claim asks for one', async () => {
    const { spec } = await cluster.bound(await cluster.claim('device', { volumeMode: 'Block' }));
    expect(spec?.volumeMode).to.equal('Block');
    expect(spec?.iscsi?.fsType).to.equal(undefined);
  });

  it('data source: never an empty volume instead of a copy', async () => {
    const dataSource = { kind: 'PersistentVolumeClaim', name: 'device' };
    // Nothing runs on these nodes: the volume has no target to ask for a snapshot.
    const block = { volumeMode: 'Block', dataSource };
    await refused(await cluster.claim('copy', block), 'does not serve now');
    await refused(await cluster.claim('files', { dataSource }), 'has volumeMode Block');
    const missing = { ...dataSource, name: 'missing' };
    await refused(await cluster.claim('of-none', { dataSource: missing }), 'no claim missing');
    const small = { resources: { requests: { storage: '1Mi' } }, volumeMode: 'Block', dataSource };
    await refused(await cluster.claim('smaller', small), 'has at least its 1Gi');
    const dataSourceRef = { apiGroup: 'example.com', kind: 'Backup', name: 'b' };
    await refused(await cluster.claim('populated', { dataSourceRef }), 'left to its populator');
  });

  it('snapshot: waits for its claim, is refused where it makes no sense, and goes when deleted', async () => {
    const make = (name: string, spec: object): Promise<SnapshotResource> =>
      cluster.api.create(SNAPSHOTS, {
        apiVersion: SNAPSHOTS.apiVersion,
        kind: SNAPSHOTS.kind,
        metadata: { namespace: 'default', name },
        spec,
      } as SnapshotResource);
    const message = async ({ metadata }: SnapshotResource): Promise<string> =>
      (await cluster.api.get(SNAPSHOTS, metadata)).status?.conditions[0]?.message ?? '';
    const error = async (call: Promise<unknown>): Promise<string> =>
      call.then(() => 'taken', String);
    expect(await error(make('wrong', { claim: 'a/b' }))).to.include('the name of a claim in this');
    expect(await error(make('empty', {}))).to.include('spec.claim: Required');
    const early = await make('early', { claim: 'nobody' });
    await eventually('words', async () => (await message(early)).includes('no claim nobody'));
    const change = [{ op: 'replace', path: '/spec/claim', value: 'device' }] as const;
    const changed = cluster.api.patch(SNAPSHOTS, early.metadata, change);
    expect(await error(changed)).to.include('make another one');
    const dataSourceRef = { apiGroup: 'openebs.io', kind: 'OpenEBSSnapshot', name: 'early' };
    await refused(await cluster.claim('of-early', { dataSourceRef }), 'early is not ready');
    const late = await make('late', { claim: 'device' });
    await eventually('words', async () => (await message(late)).includes('the snapshot is taken'));
    await cluster.api.remove(SNAPSHOTS, early.metadata);
    await eventually('its end', async () => {
      const { items } = await cluster.api.list(SNAPSHOTS);
      return items.every(({ metadata }) => metadata.name !== 'early');
    });
  });

  it('source: what a volume begins with is recorded once, and known to the definition', async () => {
    const claim = await cluster.claim('begun');
    await cluster.bound(claim);
    const { metadata } = await recordOf(claim);
    const source = { volume: 'pvc-other', snapshot: 's', temporary: false, stage: 'Pending' };
    const added = cluster.api.patch(VOLUME_RESOURCES, metadata, [
      { op: 'add', path: '/spec/source', value: source },
    ]);
    const words = await added.then(() => 'taken', String);
    expect(words).to.include('what a volume begins with is decided when it is made');
    const unknown = {
      apiVersion: VOLUME_RESOURCES.apiVersion,
      kind: VOLUME_RESOURCES.kind,
      metadata: { namespace: NAMESPACE, name: 'unknown' },
      spec: { ...(await recordOf(claim)).spec, sources: [] },
    };
    const dropped = await cluster.api.create(VOLUME_RESOURCES, unknown).then(() => 'taken', String);
    expect(dropped).to.include('unknown field "spec.sources"');
  });

  it('selector: refused with what to do', async () => {
    const selector = { matchLabels: { a: 'b' } };
    await refused(await cluster.claim('picky', { selector }), 'remove spec.selector');
  });

  it('allowedTopologies: copies are nowhere else', async () => {
    const matchLabelExpressions = [{ key: 'kubernetes.io/hostname', values: ['node3'] }];
    const allowedTopologies = [{ matchLabelExpressions }];
    await cluster.storageClass('one', { allowedTopologies, parameters: { replicas: '1' } });
    await cluster.storageClass('three', { allowedTopologies });
    const claim = await cluster.claim('placed', { storageClassName: 'one' });
    await cluster.bound(claim);
    const { spec } = await recordOf(claim);
    expect(spec.members.map(({ node }) => node)).to.deep.equal(['node3']);
    expect(spec.allowedTopologies).to.deep.equal(allowedTopologies);
    await refused(await cluster.claim('wide', { storageClassName: 'three' }), '1 such nodes');
  });

  it('parameters: the names of the original are known, and unknown ones refused', async () => {
    const parameters = { 'openebs.io/jiva-replica-count': '1', 'openebs.io/capacity': '2Gi' };
    await cluster.storageClass('original', { parameters });
    const claim = await cluster.claim('original', { storageClassName: 'original' });
    expect((await cluster.bound(claim)).spec?.capacity).to.deep.equal({ storage: '2Gi' });
    expect((await recordOf(claim)).spec.replicas).to.equal(1);
    await cluster.storageClass('typo', { parameters: { replica: '3' } });
    const unknown = await cluster.claim('typo', { storageClassName: 'typo' });
    await refused(unknown, 'a parameter replica that is not known');
  });

  it("parameters: a CHAP Secret is found by the claim's names and annotations, and is in the volume", async () => {
    const stage = 'csi.storage.k8s.io/node-stage-secret';
    const template = "${pvc.name}-${pvc.annotations['example.com/who']}";
    const parameters = { [`${stage}-name`]: template, [`${stage}-namespace`]: '${pvc.namespace}' };
    await cluster.storageClass('private', { parameters });
    const claim = await cluster.claim('private', { storageClassName: 'private' });
    await refused(claim, 'has no annotation example.com/who');
    await cluster.api.patch(CLAIMS, claim.metadata, [
      { op: 'add', path: '/metadata/annotations/example.com~1who', value: 'alice' },
    ]);
    await refused(claim, 'no Secret default/private-alice of type kubernetes.io/iscsi-chap');
    const keys = chapKeys('alice', 'a-secret-of-12');
    await cluster.api.create(SECRETS, chapSecret('default', 'private-alice', keys));
    const secretRef = { namespace: 'default', name: 'private-alice' };
    const { spec } = await cluster.bound(claim);
    expect(spec?.iscsi).to.deep.include({ chapAuthDiscovery: true, chapAuthSession: true });
    expect(spec?.iscsi?.secretRef).to.deep.equal(secretRef);
    const record = await recordOf(claim);
    expect(record.spec.chapSecretRef).to.deep.equal(secretRef);
    const other = { ...secretRef, name: 'other' };
    const change = [{ op: 'replace', path: '/spec/chapSecretRef', value: other }] as const;
    const changed = cluster.api.patch(VOLUME_RESOURCES, record.metadata, change);
    expect(await changed.then(() => 'taken', String)).to.include('change what the Secret says');
  });

  it('parameters: a CHAP Secret that is not right is refused with what to write', async () => {
    const wrong: [string, string, string, string][] = [
      ['chap-template', '${pvc.uid}', 'default', '${pvc.uid} is not known there; write ${pv.name}'],
      ['chap-choice', 'a', "${pvc.annotations['a']}", 'write ${pv.name} and ${pvc.namespace}'],
      ['chap-name', '${pvc.name}_', 'default', 'which is "chap-name_" for this claim'],
      ['chap-afar', 'a', 'kube-system', 'chap.secretNamespaces'],
      ['chap-keys', 'keyless', 'default', 'has no node.session.auth.password'],
    ];
    await cluster.api.create(SECRETS, chapSecret('default', 'keyless', chapKeys('alice', '')));
    for (const [name, chapSecretName, chapSecretNamespace, words] of wrong) {
      await cluster.storageClass(name, { parameters: { chapSecretName, chapSecretNamespace } });
      await refused(await cluster.claim(name, { storageClassName: name }), words);
    }
    await cluster.storageClass('chap-half', { parameters: { chapSecretName: 'a' } });
    const half = await cluster.claim('chap-half', { storageClassName: 'chap-half' });
    await refused(half, 'write chapSecretNamespace too');
  });

  it('parameters: a policy says what the class does not, and no limits of I/O', async () => {
    const policy = (name: string, spec: object) => ({
      apiVersion: VOLUME_POLICIES.apiVersion,
      kind: VOLUME_POLICIES.kind,
      metadata: { name },
      spec,
    });
    const tolerations = [{ key: 'disk', operator: 'Exists' }];
    const spec = { replicas: 1, replaceAfterMinutes: 7, tolerations };
    await cluster.api.create(VOLUME_POLICIES, policy('small', spec));
    await cluster.storageClass('ruled', { parameters: { policy: 'small' } });
    const claim = await cluster.claim('ruled', { storageClassName: 'ruled' });
    await cluster.bound(claim);
    expect((await recordOf(claim)).spec).to.deep.include(spec);
    const limits = { qos: { iops: 100 } };
    const call = cluster.api.create(VOLUME_POLICIES, policy('limited', limits));
    const told = await call.then(
      () => 'taken',
      (error: unknown) => String(error),
    );
    expect(told).to.include('leave qos out');
    await cluster.storageClass('lawless', { parameters: { policy: 'none' } });
    const lawless = await cluster.claim('lawless', { storageClassName: 'lawless' });
    await refused(lawless, 'no VolumePolicy "none"');
  });

  it('events: tells the claim when it begins and when it is done', async () => {
    await cluster.bound(await cluster.claim('told'));
    const events = await eventually('both events', async () => {
      const text = await cluster.events('told');
      return text.includes('ProvisioningSucceeded') && text.includes('Provisioning:') ? text : null;
    });
    expect(events).to.include('is made with 3 copies');
  });

  it('retries: goes on by itself when what was missing is there', async () => {
    await cluster.storageClass('racks', { parameters: { topologyKey: 'rack', replicas: '1' } });
    const claim = await cluster.claim('racks', { storageClassName: 'racks' });
    await refused(claim, '0 such nodes are ready');
    await cluster.api.patch(NODES, { name: 'node1' }, [
      { op: 'add', path: '/metadata/labels/rack', value: 'left' },
    ]);
    await cluster.bound(claim);
  });

  it('metrics: by the names of the Go library', async () => {
    const text = await cluster.metrics();
    for (const name of [
      'controller_persistentvolumeclaim_provision_total',
      'controller_persistentvolumeclaim_provision_failed_total',
      'controller_persistentvolumeclaim_provision_duration_seconds_bucket',
      'controller_persistentvolume_delete_total',
      'controller_persistentvolume_delete_failed_total',
      'controller_persistentvolume_delete_duration_seconds',
    ]) {
      expect(text).to.include(name);
    }
  });

  it('rights: none is used that the chart does not give', async () => {
    expect(await cluster.calls(403)).to.deep.equal([]);
  });
});
