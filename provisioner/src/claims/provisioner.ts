import { systemClock, type Clock } from '../kubernetes/clock.ts';
import { EventRecorder } from '../kubernetes/event-recorder.ts';
import { GatedApi } from '../kubernetes/gated-api.ts';
import type { KubeApi } from '../kubernetes/kube-api.ts';
import type { KubeObject, Resource } from '../kubernetes/objects.ts';
import { Reflector, type ReflectorOptions } from '../kubernetes/reflector.ts';
import { runWorkers, WorkQueue } from '../kubernetes/work-queue.ts';
import { ChapSecrets } from '../orchestrator/kubernetes/chap-secrets.ts';
import { CopyIndex } from '../orchestrator/kubernetes/copy-index.ts';
import { DEPLOYMENTS, SERVICES } from '../orchestrator/kubernetes/desired-objects.ts';
import { MANAGED_BY, VOLUME_LABEL } from '../orchestrator/kubernetes/names.ts';
import { JOBS, type Job } from '../orchestrator/kubernetes/pool-job.ts';
import { RecordController } from '../orchestrator/kubernetes/record-controller.ts';
import type { Deployment } from '../orchestrator/kubernetes/roll-out.ts';
import type { KubernetesSettings } from '../orchestrator/kubernetes/settings.ts';
import {
  identityOf,
  slim,
  slimDeployment,
  slimJob,
  slimNode,
} from '../orchestrator/kubernetes/slim-objects.ts';
import { HttpTargets } from '../orchestrator/kubernetes/targets.ts';
import { VolumeObjects } from '../orchestrator/kubernetes/volume-objects.ts';
import { STORAGE_POOLS, VOLUME_RESOURCES } from '../orchestrator/kubernetes/volume-resource.ts';
import { BoundFirst } from './bound-first.ts';
import { ClaimController } from './claim-controller.ts';
import { Collector } from './collector.ts';
import { ExpansionController } from './expansion-controller.ts';
import { CLAIMS, CLASSES, NODES, VOLUMES } from './contract.ts';
import type { ProvisionerMetrics } from './provisioner-metrics.ts';
import { SnapshotController } from './snapshot-controller.ts';
import { SNAPSHOTS } from './snapshot-resource.ts';
import { VolumeController } from './volume-controller.ts';

const CLAIM_WORKERS = 16;
const VOLUME_WORKERS = 8;
const EXPANSION_WORKERS = 4;
const SNAPSHOT_WORKERS = 4;
/**
 * Calls at once that are not for claims or removals: what follows from many new records, events
 * and status must not hold up the claims that come after them.
 */
const BEHIND_WIDTH = 4;
const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 300_000;

export interface ProvisionerOptions {
  readonly api: KubeApi;
  readonly settings: KubernetesSettings;
  readonly identity: string;
  readonly metrics: ProvisionerMetrics;
  readonly log: (level: 'debug' | 'info' | 'warn' | 'error', fields: object, text: string) => void;
  readonly clock?: Clock;
}

/** The control loops together, to be run by the leader. */
export class Provisioner {
  readonly #options: ProvisionerOptions;
  readonly #queues: WorkQueue[] = [];

  constructor(options: ProvisionerOptions) {
    this.#options = options;
  }

  get queued(): number {
    return this.#queues.reduce((sum, queue) => sum + queue.length, 0);
  }

  /** Until the signal; everything that is under way has ended when it resolves. */
  async run(signal: AbortSignal): Promise<void> {
    const { api, settings, metrics, log, clock = systemClock } = this.#options;
    const { namespace } = settings;
    const behind = new GatedApi(api, BEHIND_WIDTH);
    const caches = this.#caches();
    const { claims, volumes, classes, nodes, pools, records, deployments, services, jobs } = caches;
    const snapshots = this.#reflect(SNAPSHOTS);
    const targets = new HttpTargets({ tokenFile: settings.controlTokenFile });
    const { chapSecretNamespaces: namespaces } = settings;
    const secrets = new ChapSecrets({ api, clock, log, namespaces });
    const objects = new VolumeObjects({
      ...{ api, behind, settings, pools, deployments, targets, secrets },
    });
    const events = this.#recorder(behind);
    const now = (): number => clock.now();
    const [claimQueue, volumeQueue] = [this.#queue(), this.#queue()];
    const [recordQueue, expansionQueue] = [this.#queue(), this.#queue()];
    const snapshotQueue = this.#queue();
    const copies = new CopyIndex(records);
    const claimController = new ClaimController({
      ...{ api, namespace, claims, volumes, classes, nodes, pools, records, copies },
      ...{ queue: claimQueue, objects, targets, secrets, events, now },
      provisioned: (className, seconds) => metrics.provisioned(className, seconds),
    });
    const volumeController = new VolumeController({
      ...{ api, volumes, records, jobs, nodes, queue: volumeQueue, objects, events, now },
      deleted: (className, seconds) => metrics.deleted(className, seconds),
    });
    const boundFirst = new BoundFirst({ clock, volumes, queue: recordQueue });
    const recordController = new RecordController({
      ...{ api: behind, clock, records, copies, deployments, services, jobs, nodes },
      ...{ namespace, objects, targets, secrets, events, queue: recordQueue },
      replaceAfterMinutes: settings.replaceAfterMinutes,
      mayFill: (name) => boundFirst.mayFill(name),
      wallClock: () => new Date(),
    });
    const expansion = new ExpansionController({
      ...{ api, namespace, claims, volumes, classes, records, events },
      queue: expansionQueue,
      wallClock: () => new Date(),
    });
    const taker = new SnapshotController({
      ...{ api, snapshots, records, queue: snapshotQueue, objects, targets, events },
      wallClock: () => new Date(),
    });
    const reflectors = Object.values(caches);
    // Nobody waits for snapshots: helm leaves the definitions of an older release as they were. Nor
    // for Secrets: a namespace that gives no right to read them holds up its own volumes only.
    const watching = [...reflectors, snapshots, secrets].map((each) => each.run(signal));
    await Promise.race([Promise.all(reflectors.map((each) => each.whenSynced())), aborted(signal)]);
    const collector = new Collector({ api, clock, records, volumes, objects, log });
    const failed = (key: string, error: unknown, retryMs: number): void =>
      log('warn', { key, reason: String(error), retryMs }, 'to be tried again');
    signal.addEventListener('abort', () => this.#queues.forEach((queue) => queue.close()));
    if (signal.aborted) for (const queue of this.#queues) queue.close();
    await Promise.all([
      ...watching,
      runWorkers(claimQueue, CLAIM_WORKERS, (key) => claimController.reconcile(key), failed),
      runWorkers(volumeQueue, VOLUME_WORKERS, (key) => volumeController.reconcile(key), failed),
      runWorkers(expansionQueue, EXPANSION_WORKERS, (key) => expansion.reconcile(key), failed),
      runWorkers(snapshotQueue, SNAPSHOT_WORKERS, (key) => taker.reconcile(key), failed),
      runWorkers(recordQueue, VOLUME_WORKERS, (key) => recordController.reconcile(key), failed),
      collector.run(signal),
    ]);
    await events.settled();
  }

  /** What the cluster has, kept up to date. */
  #caches() {
    const { namespace } = this.#options.settings;
    const managed = Object.entries(MANAGED_BY).map(([name, value]) => `${name}=${value}`);
    const ours = { namespace, labelSelector: `${managed.join(',')},${VOLUME_LABEL}` };
    return {
      claims: this.#reflect(CLAIMS),
      volumes: this.#reflect(VOLUMES),
      classes: this.#reflect(CLASSES),
      nodes: this.#reflect(NODES, { keep: slimNode }),
      pools: this.#reflect(STORAGE_POOLS),
      records: this.#reflect(VOLUME_RESOURCES, { namespace }),
      deployments: this.#reflect<Deployment>(DEPLOYMENTS, { ...ours, keep: slimDeployment }),
      services: this.#reflect<KubeObject>(SERVICES, { ...ours, keep: identityOf }),
      jobs: this.#reflect<Job>(JOBS, { ...ours, keep: slimJob }),
    };
  }

  #reflect<T extends KubeObject>(
    resource: Resource<T>,
    where: Pick<ReflectorOptions<T>, 'namespace' | 'labelSelector' | 'keep'> = {},
  ): Reflector<T> {
    const { api, log, clock = systemClock } = this.#options;
    return new Reflector({ api, clock, resource, keep: slim, log, ...where });
  }

  #recorder(api: KubeApi): EventRecorder {
    const { identity, log, clock = systemClock } = this.#options;
    return new EventRecorder({
      api,
      component: 'openebs-provisioner',
      instance: identity,
      clock,
      wallClock: () => new Date(),
      log: (fields, text) => log('warn', fields, text),
    });
  }

  #queue(): WorkQueue {
    const clock = this.#options.clock ?? systemClock;
    const queue = new WorkQueue({ clock, retryMinMs: RETRY_MIN_MS, retryMaxMs: RETRY_MAX_MS });
    this.#queues.push(queue);
    return queue;
  }
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
