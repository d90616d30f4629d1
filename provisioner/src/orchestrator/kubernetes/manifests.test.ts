import { expect } from 'chai';
import { SETTINGS } from '../../claims/cluster.test-support.ts';
import { desiredAddress, desiredObjects } from './desired-objects.ts';
import { replicaDisruptionBudget } from './service-manifests.ts';
import type { StoragePool, VolumeMember, VolumeResource } from './volume-resource.ts';

const member = (index: number, change: Partial<VolumeMember> = {}): VolumeMember => ({
  id: `5f0c1d1e-7e57-4b0a-8a54-00000000000${index}`,
  index,
  role: 'data',
  node: `node${index}`,
  ...change,
});

const volume = (change: Partial<VolumeResource['spec']> = {}): VolumeResource => ({
  apiVersion: 'openebs.io/v1alpha1',
  kind: 'OpenEBSVolume',
  metadata: { namespace: 'openebs', name: 'pvc-5f0c1d1e-7e57-4b0a-8a54-6d656d6f7279' },
  spec: {
    size: '1Gi',
    replicas: 3,
    pool: 'default',
    topologyKey: 'kubernetes.io/hostname',
    monitored: false,
    members: [1, 2, 3].map((index) => member(index)),
    claimRef: { namespace: 'shop', name: 'data', uid: '5f0c1d1e-7e57-4b0a-8a54-6d656d6f7279' },
    ...change,
  },
});

const pool: StoragePool = {
  apiVersion: 'openebs.io/v1alpha1',
  kind: 'StoragePool',
  metadata: { name: 'default' },
  spec: { path: '/var/openebs' },
};

/** Reads a path like spec.template.spec.containers.0.args of an object. */
const at = (object: unknown, path: string): unknown =>
  path
    .split('.')
    .reduce<unknown>((value, name) => (value as Record<string, unknown>)[name], object);

const made = (change: Partial<VolumeResource['spec']> = {}): Map<string, unknown> =>
  new Map(
    desiredObjects(volume(change), pool, SETTINGS, '10.96.0.7').map(({ object }) => [
      `${object.kind} ${object.metadata.name.replace(volume().metadata.name, 'V')}`,
      object,
    ]),
  );

const TEMPLATE = 'spec.template.spec';

describe('the objects of a volume', () => {
  it('are a function of its record: the same each time', () => {
    expect(JSON.stringify([...made()])).to.equal(JSON.stringify([...made()]));
    expect([...made().keys()]).to.deep.equal([
      'Service V-rep',
      'ConfigMap V-settings',
      ...[1, 2, 3].flatMap((index) => [
        `Deployment V-rep-${index}`,
        `OpenEBSReplica V-rep-${index}`,
      ]),
      'Deployment V-ctrl',
      'PodDisruptionBudget V-rep',
    ]);
  });

  it('have a witness where its record has one', () => {
    const members = [member(1), member(2), member(3, { role: 'witness' })];
    const replicas = made({ replicas: 2, members });
    const role = (index: number): unknown => {
      const args = at(replicas.get(`Deployment V-rep-${index}`), `${TEMPLATE}.containers.0.args`);
      const list = args as string[];
      return list[list.indexOf('--role') + 1];
    };
    expect([1, 2, 3].map(role)).to.deep.equal(['data', 'data', 'witness']);
    expect(at(replicas.get('PodDisruptionBudget V-rep'), 'spec.minAvailable')).to.equal(3);
  });

  it('keep what leaves running, and not what has departed', () => {
    const members = [
      ...[1, 2, 3].map((index) => member(index)),
      member(4, { state: 'Leaving' }),
      member(5, { state: 'Departed' }),
    ];
    const objects = made({ members });
    const replicas = [...objects.keys()].filter((name) => name.startsWith('Deployment V-rep'));
    expect(replicas).to.deep.equal([1, 2, 3, 4].map((index) => `Deployment V-rep-${index}`));
    expect(at(objects.get('PodDisruptionBudget V-rep'), 'spec.minAvailable')).to.equal(4);
  });

  it('are changed in no pod template when the volume grows or another copy comes', () => {
    const templates = (objects: Map<string, unknown>): unknown[] =>
      [1, 2, 3]
        .map((index) => `Deployment V-rep-${index}`)
        .concat('Deployment V-ctrl')
        .map((name) => at(objects.get(name), 'spec.template'));
    const members = [1, 2, 3, 4].map((index) => member(index));
    expect(templates(made({ size: '2Gi', members }))).to.deep.equal(templates(made()));
    expect(at(made({ size: '2Gi' }).get('ConfigMap V-settings'), 'data.size')).to.equal(
      '2147483648',
    );
  });

  it('carry the claim as a label by its uid, and as an annotation by its name', () => {
    for (const [name, object] of made()) {
      expect(at(object, 'metadata.labels'), name).to.include({
        'openebs.io/persistent-volume-claim-uid': '5f0c1d1e-7e57-4b0a-8a54-6d656d6f7279',
      });
      expect(at(object, 'metadata.annotations'), name).to.include({
        'openebs.io/persistent-volume-claim': 'shop/data',
      });
    }
  });

  it('let a drain take one replica while all are in sync, and else none', () => {
    const least = (inSync: 'True' | 'False' | null, members: number): unknown => {
      const volume_ = volume({
        members: Array.from({ length: members }, (_, at) => member(at + 1)),
      });
      const condition = {
        type: 'InSync' as const,
        reason: '',
        message: '',
        lastTransitionTime: '',
      };
      const conditions = inSync === null ? [] : [{ ...condition, status: inSync }];
      const status = { phase: 'Healthy' as const, conditions };
      return at(replicaDisruptionBudget({ ...volume_, status }, 'openebs'), 'spec.minAvailable');
    };
    expect([least('True', 3), least('True', 5)]).to.deep.equal([2, 4]);
    expect([least('False', 3), least(null, 3)]).to.deep.equal([3, 3]);
    // The only copy is not taken from a volume by a drain.
    expect(least('True', 1)).to.equal(1);
  });

  it('give the target the secret of the volume where its record asks for CHAP', () => {
    const args = (change: object): unknown =>
      at(made(change).get('Deployment V-ctrl'), `${TEMPLATE}.containers.0.args`);
    expect(args({})).not.to.include('--chap-user');
    expect(args({ chap: true })).to.include.members([
      ...['--chap-user', volume().metadata.name],
      ...['--chap-secret-file', '/run/openebs/chap/secret'],
    ]);
    expect(
      at(made({ chap: true }).get('Deployment V-ctrl'), `${TEMPLATE}.volumes.1.secret.secretName`),
    ).to.equal(`${volume().metadata.name}-chap`);
  });

  it('let the target start with what a Secret of somebody else said, which may change', () => {
    const chapSecretRef = { namespace: 'vault', name: 'orders' };
    const target = made({ chapSecretRef }).get('Deployment V-ctrl');
    const args = at(target, `${TEMPLATE}.containers.0.args`);
    expect(args).to.include.members(['--first-chap-file', '/run/openebs/chap/first-chap.json']);
    expect(args).not.to.include('--chap-user');
    expect(at(target, `${TEMPLATE}.volumes.1.secret`)).to.deep.equal({
      secretName: `${volume().metadata.name}-chap`,
      defaultMode: 0o440,
      items: [{ key: 'first-chap.json', path: 'first-chap.json' }],
    });
  });

  it('let the target find its replicas by names that stay', () => {
    const args = at(made().get('Deployment V-ctrl'), `${TEMPLATE}.containers.0.args`) as string[];
    const { name } = volume().metadata;
    expect(at(made().get('ConfigMap V-settings'), 'data.replica')).to.equal(
      [1, 2, 3].map((index) => `rep-${index}.${name}-rep.openebs.svc:9503`).join(),
    );
    expect(args[args.indexOf('--portal') + 1]).to.equal('10.96.0.7:3260');
    expect(at(made().get('ConfigMap V-settings'), 'data.size')).to.equal('1073741824');
    const first = made().get('Deployment V-rep-1');
    expect(at(first, `${TEMPLATE}.hostname`)).to.equal('rep-1');
    expect(at(first, `${TEMPLATE}.subdomain`)).to.equal(`${name}-rep`);
  });

  it('put each replica on its node, and never two copies together', () => {
    const objects = made({ members: [member(2, { node: 'node3' }), member(3)] });
    const affinity = `${TEMPLATE}.affinity`;
    const required = 'requiredDuringSchedulingIgnoredDuringExecution';
    expect(
      at(
        objects.get('Deployment V-rep-2'),
        `${affinity}.nodeAffinity.${required}.nodeSelectorTerms`,
      ),
    ).to.deep.equal([
      {
        matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: ['node3'] }],
      },
    ]);
    expect(
      at(
        objects.get('Deployment V-rep-3'),
        `${affinity}.podAntiAffinity.${required}.0.topologyKey`,
      ),
    ).to.equal('kubernetes.io/hostname');
  });

  it('may do nothing but their work', () => {
    for (const [name, object] of made()) {
      if (!name.startsWith('Deployment')) continue;
      expect(at(object, `${TEMPLATE}.automountServiceAccountToken`), name).to.equal(false);
      expect(at(object, `${TEMPLATE}.containers.0.securityContext`), name).to.deep.equal({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
    }
    const target = at(made().get('Deployment V-ctrl'), `${TEMPLATE}.securityContext`);
    expect(target).to.include({ runAsNonRoot: true });
  });

  it('keep the address that the PersistentVolume names when the Service is made again', () => {
    const again = desiredAddress(volume(), SETTINGS, '10.96.0.7').object;
    expect(at(again, 'spec.clusterIP')).to.equal('10.96.0.7');
    expect(at(desiredAddress(volume(), SETTINGS, null).object, 'spec')).not.to.have.property(
      'clusterIP',
    );
  });
});
