import { EventRecorder } from '../kubernetes/event-recorder.ts';
import { FakeKubeApi } from '../kubernetes/fake-kube-api.test-support.ts';
import { resource, type KubeObject, type Resource } from '../kubernetes/objects.ts';
import { Reflector } from '../kubernetes/reflector.ts';
import { settle, VirtualClock } from '../kubernetes/virtual-clock.test-support.ts';
import { runWorkers, WorkQueue } from '../kubernetes/work-queue.ts';
import { ChapSecrets } from '../orchestrator/kubernetes/chap-secrets.ts';
import { CopyIndex } from '../orchestrator/kubernetes/copy-index.ts';
import { DEPLOYMENTS, SERVICES } from '../orchestrator/kubernetes/desired-objects.ts';
import { ModelTargets } from '../orchestrator/kubernetes/model-targets.test-support.ts';
import { JOBS } from '../orchestrator/kubernetes/pool-job.ts';
import { RecordController } from '../orchestrator/kubernetes/record-controller.ts';
import type { Deployment } from '../orchestrator/kubernetes/roll-out.ts';
import type { KubernetesSettings } from '../orchestrator/kubernetes/settings.ts';
import { VolumeObjects } from '../orchestrator/kubernetes/volume-objects.ts';
import { STORAGE_POOLS, VOLUME_RESOURCES } from '../orchestrator/kubernetes/volume-resource.ts';
import { BoundFirst } from './bound-first.ts';
import { ExpansionController } from './expansion-controller.ts';
import { ClaimController } from './claim-controller.ts';
import {
  CLAIMS,
  CLASSES,
  NODES,
  PROVISIONER,
  STORAGE_PROVISIONER,
  VOLUMES,
  type Claim,
  type StorageClass,
} from './contract.ts';
import { SnapshotController } from './snapshot-controller.ts';
import { SNAPSHOTS } from './snapshot-resource.ts';
import { VolumeController } from './volume-controller.ts';

export const SETTINGS: KubernetesSettings = {
  namespace: 'openebs',
  targetImage: 'openebs/target:test',
  replicaImage: 'openebs/replica:test',
  imagePullPolicy: 'IfNotPresent',
  imagePullSecrets: [],
  defaultPoolPath: '/var/openebs',
  targetResources: {},
  replicaResources: {},
  tolerations: [],
  controlTokenSecret: 'openebs-control',
  controlTokenFile: '/run/openebs/control/token',
  replaceAfterMinutes: 30,
  chapSecretNamespaces: ['shop', 'vault'],
};

interface Told extends KubeObject {
  readonly type: string;
  readonly reason: string;
  readonly message: string;
}

const EVENTS = resource<Told>('v1', 'Event', 'events', true);

export const storageClass = (change: Partial<StorageClass> = {}): StorageClass => ({
  apiVersion: 'storage.k8s.io/v1',
  kind: 'StorageClass',
  metadata: { name: 'mirrored' },
  provisioner: PROVISIONER,
  reclaimPolicy: 'Delete',
  volumeBindingMode: 'Immediate',
  ...change,
});

export const claim = (name: string, spec: object = {}, annotations: object = {}): Claim => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: {
    namespace: 'shop',
    name,
    annotations: { [STORAGE_PROVISIONER]: PROVISIONER, ...annotations },
  },
  spec: {
    storageClassName: 'mirrored',
    accessModes: ['ReadWriteOnce'],
    resources: { requests: { storage: '1Gi' } },
    ...spec,
  },
});

const node = (name: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name, labels: { 'kubernetes.io/hostname': name } },
});

/** The controllers on an API in memory, and what the rest of Kubernetes would do. */
export class Cluster {
  readonly api = new FakeKubeApi();
  readonly clock = new VirtualClock();
  readonly targets = new ModelTargets(this.api);
  readonly failures: string[] = [];
  /** Of the controllers that run. */
  objects: VolumeObjects | null = null;
  /** Of each Job that is created from now on. */
  jobStatus: object = { succeeded: 1 };
  /** Whether Jobs that remove data end at once. */
  cleans = true;
  /** Read when it starts. */
  settings = SETTINGS;
  #stop = new AbortController();
  #ended: Promise<unknown> = Promise.resolve();
  #queues: WorkQueue[] = [];
  #events: EventRecorder | null = null;

  async prepare(nodes = 3): Promise<void> {
    for (let n = 1; n <= nodes; n++) await this.api.create(NODES, node(`node${n}`));
    await this.api.create(CLASSES, storageClass());
  }

  /** Starts the controllers; what ran before has to be stopped. */
  start(): void {
    this.#stop = new AbortController();
    const { api, clock } = this;
    const log = (): void => undefined;
    const reflectors = this.#reflectors();
    const { claims, volumes, classes, nodes, pools, records } = reflectors;
    const { deployments, services, jobs, snapshots } = reflectors;
    const queue = (): WorkQueue => new WorkQueue({ clock, retryMinMs: 1_000, retryMaxMs: 300_000 });
    const [claimQueue, volumeQueue, recordQueue] = [queue(), queue(), queue()];
    const [expansionQueue, snapshotQueue] = [queue(), queue()];
    const events = this.#recorder();
    const { settings, targets } = this;
    const { namespace } = SETTINGS;
    const { chapSecretNamespaces: namespaces } = settings;
    const secrets = new ChapSecrets({ api, clock, log, namespaces });
    const objects = new VolumeObjects({
      ...{ api, behind: api, settings, pools, deployments, targets, secrets },
    });
    this.objects = objects;
    const now = (): number => clock.now();
    const copies = new CopyIndex(records);
    const claimController = new ClaimController({
      ...{ api, namespace, claims, volumes, classes, nodes, pools, records, copies },
      ...{ queue: claimQueue, objects, targets, secrets, events, now, provisioned: log },
    });
    const volumeController = new VolumeController({
      ...{ api, volumes, records, jobs, nodes, queue: volumeQueue, objects, events, now },
      deleted: log,
    });
    const boundFirst = new BoundFirst({ clock, volumes, queue: recordQueue });
    const recordController = new RecordController({
      ...{ api, clock, records, copies, deployments, services, jobs, nodes, objects, events },
      ...{ namespace, targets, secrets, queue: recordQueue },
      replaceAfterMinutes: SETTINGS.replaceAfterMinutes,
      mayFill: (name) => boundFirst.mayFill(name),
      wallClock: () => this.date(),
    });
    const expansion = new ExpansionController({
      ...{ api, namespace, claims, volumes, classes, records, events },
      ...{ queue: expansionQueue, wallClock: () => this.date() },
    });
    const snapshotController = new SnapshotController({
      ...{ api, snapshots, records, objects, targets: this.targets, events },
      ...{ queue: snapshotQueue, wallClock: () => this.date() },
    });
    const failed = (key: string, error: unknown): void => {
      this.failures.push(`${key}: ${String(error)}`);
    };
    const { signal } = this.#stop;
    this.#queues = [claimQueue, volumeQueue, recordQueue, expansionQueue, snapshotQueue];
    this.#events = events;
    const watching = Object.values(reflectors);
    this.#ended = Promise.all([
      ...[...watching, secrets].map((each) => each.run(signal)),
      Promise.all(watching.map((each) => each.whenSynced())).then(() =>
        Promise.all([
          runWorkers(claimQueue, 4, (key) => claimController.reconcile(key), failed),
          runWorkers(volumeQueue, 4, (key) => volumeController.reconcile(key), failed),
          runWorkers(expansionQueue, 4, (key) => expansion.reconcile(key), failed),
          runWorkers(snapshotQueue, 4, (key) => snapshotController.reconcile(key), failed),
          runWorkers(recordQueue, 4, (key) => recordController.reconcile(key), failed),
        ]),
      ),
    ]);
  }

  #recorder(): EventRecorder {
    return new EventRecorder({
      ...{ api: this.api, component: 'openebs', instance: 'test', clock: this.clock },
      wallClock: () => this.date(),
      log: () => undefined,
    });
  }

  #reflectors() {
    const { api, clock } = this;
    const log = (): void => undefined;
    const reflect = <T extends KubeObject>(of: Resource<T>): Reflector<T> =>
      new Reflector({ api, clock, resource: of, log });
    return {
      claims: reflect(CLAIMS),
      volumes: reflect(VOLUMES),
      classes: reflect(CLASSES),
      nodes: reflect(NODES),
      pools: reflect(STORAGE_POOLS),
      records: reflect(VOLUME_RESOURCES),
      deployments: reflect<Deployment>(DEPLOYMENTS),
      services: reflect(SERVICES),
      jobs: reflect(JOBS),
      snapshots: reflect(SNAPSHOTS),
    };
  }

  /** As the clock goes. */
  date(): Date {
    return new Date(Date.parse('2026-01-01T00:00:00Z') + this.clock.now());
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    for (const queue of this.#queues) queue.close();
    await this.#ended;
  }

  /**
   * What the cluster does: a new Service gets an address, a Job runs, pods are ready, and a volume
   * is bound to its claim.
   */
  giveAddresses(): void {
    const { api } = this;
    const [apply, create] = [api.apply.bind(api), api.create.bind(api)];
    const first: Readonly<Record<string, () => unknown>> = {
      Job: () => this.jobStatus,
      PersistentVolume: () => ({ phase: 'Bound' }),
    };
    api.create = async (of, object) => {
      const status = first[of.kind];
      return create(of, status === undefined ? object : { ...object, status: status() });
    };
    let last = 0;
    api.apply = async (of, object) => {
      if (of.kind === 'Job') {
        return apply(of, this.cleans ? { ...object, status: { succeeded: 1 } } : object);
      }
      if (of.kind === 'Deployment') {
        const pods = { replicas: 1, updatedReplicas: 1, availableReplicas: 1 };
        // Of any generation.
        return apply(of, { ...object, status: { ...pods, observedGeneration: Infinity } });
      }
      const spec = (object as { spec?: { clusterIP?: string } }).spec;
      if (of.kind !== 'Service' || spec?.clusterIP !== undefined) return apply(of, object);
      const known = await api.get(SERVICES, object.metadata).catch(() => null);
      const clusterIP = known?.spec?.clusterIP ?? `10.96.0.${++last + 10}`;
      return apply(of, { ...object, spec: { ...spec, clusterIP } });
    };
  }

  async settle(): Promise<void> {
    await settle();
    await this.#events?.settled();
    await settle();
  }

  async events(): Promise<string[]> {
    const { items } = await this.api.list(EVENTS, {});
    return items.map(({ type, reason, message }) => `${type} ${reason}: ${message}`);
  }

  /** Names of everything that was made for volumes. */
  async made(): Promise<string[]> {
    const names: string[] = [];
    for (const kind of [VOLUMES, VOLUME_RESOURCES, SERVICES, DEPLOYMENTS] as Resource[]) {
      const { items } = await this.api.list(kind, {});
      names.push(...items.map((each) => `${each.kind} ${each.metadata.name}`));
    }
    return names;
  }
}
