import { systemClock } from '../../kubernetes/clock.ts';
import { KubeError, orNull, type KubeApi } from '../../kubernetes/kube-api.ts';
import { Reflector } from '../../kubernetes/reflector.ts';
import { Problem } from '../../problem.ts';
import { controlSend, type ControlPlace } from '../local/control-client.ts';
import { scrubOf } from '../local/volume-integrity.ts';
import {
  createSnapshot,
  deleteSnapshot,
  listSnapshots,
  revertVolume,
  type SnapshotPlaces,
} from '../local/volume-snapshots.ts';
import { volumeStats } from '../local/volume-stats.ts';
import { findReplica } from '../local/record-changes.ts';
import { sendSetting } from '../local/target-settings.ts';
import type {
  CloneSpec,
  DaemonMetrics,
  DamagedVolume,
  NodeView,
  Orchestrator,
  PoolView,
  RevertView,
  ScrubView,
  SnapshotView,
  VolumeChange,
  VolumeEvent,
  VolumeSpec,
  VolumeStats,
  VolumeView,
} from '../orchestrator.ts';
import { CLUSTER_NODES, hostOf, notReadySince, type ClusterNode } from './cluster-node.ts';
import { MANAGED_BY, REPLICA_CONTROL_PORT, replicaDomain, VOLUME_LABEL } from './names.ts';
import { ofVolume, PODS, processOf, slimPod, type Pod } from './pod-state.ts';
import { noClone, noFirstChap, recordEdits, requireFreeChap } from './record-edits.ts';
import { resourceView } from './resource-view.ts';
import type { KubernetesSettings } from './settings.ts';
import type { HttpTargets } from './targets.ts';
import { idempotencyKeyOf, newRecord } from './new-record.ts';
import { recordEvents } from './record-events.ts';
import {
  REPLICA_RESOURCES,
  STORAGE_POOLS,
  VOLUME_RESOURCES,
  type ReplicaResource,
  type VolumeResource,
} from './volume-resource.ts';

export interface KubernetesOrchestratorOptions {
  readonly api: KubeApi;
  readonly settings: KubernetesSettings;
  readonly targets: HttpTargets;
  readonly log: (level: 'debug' | 'warn', fields: object, text: string) => void;
}

/** Somebody else has changed the record at the same moment. */
const EDIT_ATTEMPTS = 5;

/**
 * Volumes of a cluster, for the API server. It writes records and nothing else: the provisioner
 * brings about what they say. Orders that say nothing of what shall be (snapshots, a scrub) go to
 * the volume's target.
 */
export class KubernetesOrchestrator implements Orchestrator {
  readonly kind = 'kubernetes';
  readonly #options: KubernetesOrchestratorOptions;
  readonly #stop = new AbortController();
  readonly #records: Reflector<VolumeResource>;
  readonly #replicas: Reflector<ReplicaResource>;
  readonly #nodes: Reflector<ClusterNode>;
  readonly #pods: Reflector<Pod>;
  /** By volume, its members' resources by index, and its pods by what they are. */
  readonly #replicasOf = new Map<string, Map<number, ReplicaResource>>();
  readonly #podsOf = new Map<string, Map<string, Pod>>();
  readonly #listeners = new Set<(event: VolumeEvent) => void>();
  #running: Promise<unknown> = Promise.resolve();

  constructor(options: KubernetesOrchestratorOptions) {
    this.#options = options;
    const { api, settings, log } = options;
    const { namespace } = settings;
    const managed = Object.entries(MANAGED_BY).map(([name, value]) => `${name}=${value}`);
    const labelSelector = `${managed.join(',')},${VOLUME_LABEL}`;
    const common = { api, clock: systemClock, log };
    this.#records = new Reflector({ ...common, resource: VOLUME_RESOURCES, namespace });
    this.#replicas = new Reflector({ ...common, resource: REPLICA_RESOURCES, namespace });
    this.#nodes = new Reflector({ ...common, resource: CLUSTER_NODES });
    const pods = { resource: PODS, namespace, labelSelector, keep: slimPod };
    this.#pods = new Reflector({ ...common, ...pods });
    this.#replicas.onChange((before, after) => this.#keepReplica(before, after));
    this.#pods.onChange((before, after) => this.#keepPod(before, after));
    this.#records.onChange((before, after) => {
      // What is there when this begins is no event.
      if (!this.#records.synced) return;
      for (const event of recordEvents(before, after)) this.#emit(event);
    });
  }

  /** Resolves when everything is known once. */
  async start(): Promise<void> {
    const all = [this.#records, this.#replicas, this.#nodes, this.#pods];
    this.#running = Promise.all(all.map((each) => each.run(this.#stop.signal)));
    await Promise.all(all.map((each) => each.whenSynced()));
  }

  async createVolume(
    spec: VolumeSpec,
    origin: { idempotencyKey: string | null },
  ): Promise<VolumeView> {
    if (spec.chap != null) throw noFirstChap(spec.name);
    const { api, settings } = this.#options;
    const record = newRecord(spec, settings.namespace, origin.idempotencyKey);
    try {
      return this.#viewOf(await api.create(VOLUME_RESOURCES, record));
    } catch (error) {
      if (!(error instanceof KubeError && error.isConflict)) throw problemOf(error);
      throw new Problem('volume-exists', `there is a volume ${spec.name} already`, {
        next: `choose another name, or see it with: mayactl volume info ${spec.name}`,
      });
    }
  }

  async cloneVolume({ source }: CloneSpec): Promise<never> {
    throw noClone(await this.#require(source.volume), source.snapshot);
  }

  async volume(name: string, options = { fresh: false }): Promise<VolumeView | null> {
    if (!options.fresh) {
      const known = this.#records.get(`${this.#options.settings.namespace}/${name}`);
      return known === undefined ? null : this.#viewOf(known);
    }
    const record = await this.#live(name);
    return record === null ? null : this.#observe(record);
  }

  volumes(): readonly VolumeView[] {
    return [...this.#records.values()]
      .map((record) => this.#viewOf(record))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** The API server of the cluster keeps no record that cannot be read. */
  damaged(): readonly DamagedVolume[] {
    return [];
  }

  async volumeStats(name: string): Promise<VolumeStats> {
    const { volume, target, replicas } = await this.#places(name);
    const sizeBytes = this.#viewOf(await this.#require(name)).size;
    const stats = await volumeStats({ volume, sizeBytes, target, replicas });
    if (stats !== null) return stats;
    throw notReady(name);
  }

  volumeByIdempotencyKey(key: string): VolumeView | null {
    for (const record of this.#records.values()) {
      if (idempotencyKeyOf(record) === key) return this.#viewOf(record);
    }
    return null;
  }

  async deleteVolume(name: string): Promise<{ readonly gone: Promise<void> }> {
    const record = await this.#require(name);
    const { claimRef } = record.spec;
    if (claimRef !== undefined) {
      const words = `volume ${name} belongs to claim ${claimRef.namespace}/${claimRef.name}`;
      const next = `kubectl -n ${claimRef.namespace} delete pvc ${claimRef.name}`;
      throw new Problem('volume-in-use', words, { next });
    }
    const { uid = '' } = record.metadata;
    await this.#options.api.remove(VOLUME_RESOURCES, record.metadata, { uid });
    return { gone: this.#gone(uid, record) };
  }

  async changeVolume(name: string, change: VolumeChange): Promise<VolumeView> {
    const { api } = this.#options;
    if (change.kind === 'chap') {
      const record = await this.#require(name);
      requireFreeChap(record);
      const { target } = await this.#places(name);
      if (target === null) throw notReady(name);
      await sendSetting(name, target, change);
      return this.#observe(record);
    }
    for (let attempt = 1; ; attempt++) {
      const record = await this.#require(name);
      const edits = recordEdits(record, await this.#observe(record), change);
      if (edits === null) return this.#observe(record);
      try {
        return await this.#observe(await api.patch(VOLUME_RESOURCES, record.metadata, edits));
      } catch (error) {
        const isLate = error instanceof KubeError && error.status === 422;
        if (!isLate || attempt === EDIT_ATTEMPTS) throw problemOf(error);
      }
    }
  }

  async killReplica(name: string, replica: string): Promise<VolumeView> {
    const record = await this.#require(name);
    const view = this.#viewOf(record);
    const { index } = findReplica({ name, members: view.replicas }, replica);
    const pod = this.#podsOf.get(name)?.get(String(index));
    if (pod !== undefined) await this.#options.api.remove(PODS, pod.metadata);
    return this.#observe(record);
  }

  async scrubVolume(name: string): Promise<ScrubView> {
    const { target } = await this.#places(name);
    const answer =
      target === null ? null : await controlSend(target, 'POST', '/v1/scrub').catch(() => null);
    const scrub = answer?.status === 200 ? scrubOf(JSON.parse(answer.body)) : null;
    if (scrub !== null) return scrub;
    throw notReady(name);
  }

  async snapshots(volume: string): Promise<readonly SnapshotView[]> {
    return listSnapshots(await this.#places(volume));
  }

  async createSnapshot(volume: string, name: string): Promise<SnapshotView> {
    const snapshot = await createSnapshot(await this.#places(volume), name);
    this.#tellSnapshot(volume, `snapshot ${name} made`);
    return snapshot;
  }

  async deleteSnapshot(volume: string, name: string): Promise<void> {
    await deleteSnapshot(await this.#places(volume), name);
    this.#tellSnapshot(volume, `snapshot ${name} deleted`);
  }

  async revertVolume(
    volume: string,
    snapshot: string,
    { force }: { force: boolean },
  ): Promise<RevertView> {
    const reverted = await revertVolume(await this.#places(volume), snapshot, force);
    const message = `reverted to snapshot ${snapshot}, what it was is ${reverted.keptAs}`;
    this.#tellSnapshot(volume, message);
    return reverted;
  }

  nodes(): Promise<readonly NodeView[]> {
    const nodes = [...this.#nodes.values()].map((node): NodeView => ({
      name: hostOf(node),
      status: notReadySince(node) === null ? 'ready' : 'not-ready',
    }));
    return Promise.resolve(nodes.sort((a, b) => (a.name < b.name ? -1 : 1)));
  }

  /** A pool is a directory of many nodes; how much space each has is not known here. */
  async pools(): Promise<readonly PoolView[]> {
    const { api, settings } = this.#options;
    const { items } = await api.list(STORAGE_POOLS);
    const pools = items.map(({ metadata, spec }) => ({ name: metadata.name, path: spec.path }));
    if (pools.every(({ name }) => name !== 'default')) {
      pools.unshift({ name: 'default', path: settings.defaultPoolPath });
    }
    return pools.map((pool) => ({ ...pool, node: '', capacityBytes: null, freeBytes: null }));
  }

  /** Prometheus finds the pods itself, by their annotations. */
  scrape(): Promise<readonly DaemonMetrics[]> {
    return Promise.resolve([]);
  }

  onEvent(listener: (event: VolumeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  #live(name: string): Promise<VolumeResource | null> {
    const { api, settings } = this.#options;
    return api.get(VOLUME_RESOURCES, { namespace: settings.namespace, name }).catch(orNull);
  }

  async #require(name: string): Promise<VolumeResource> {
    const record = await this.#live(name);
    if (record !== null) return record;
    throw new Problem('volume-not-found', `there is no volume ${name}`, {
      next: 'mayactl volume list',
    });
  }

  #viewOf(record: VolumeResource, target: Parameters<typeof resourceView>[0]['target'] = null) {
    const { settings } = this.#options;
    const { name } = record.metadata;
    return resourceView({
      record,
      namespace: settings.namespace,
      poolPath: settings.defaultPoolPath,
      replicas: this.#replicasOf.get(name) ?? new Map<number, ReplicaResource>(),
      pods: this.#podsOf.get(name) ?? new Map<string, Pod>(),
      target,
    });
  }

  async #observe(record: VolumeResource): Promise<VolumeView> {
    const address = this.#targetAddress(record);
    const target = address === null ? null : await this.#options.targets.status(address);
    return this.#viewOf(record, target);
  }

  /** Null while no pod of the target is ready: nothing is sent to an address that nobody has. */
  #targetAddress({ metadata, status }: VolumeResource): string | null {
    const pod = this.#podsOf.get(metadata.name)?.get('target') ?? null;
    const portal = status?.portal;
    if (portal === undefined || processOf(pod).status !== 'running') return null;
    return portal.slice(0, portal.lastIndexOf(':'));
  }

  async #places(name: string): Promise<SnapshotPlaces> {
    const record = await this.#require(name);
    const address = this.#targetAddress(record);
    const { settings, targets } = this.#options;
    const view = await this.#observe(record);
    const replicas = view.replicas
      .filter(
        ({ role, mode, status }) => role === 'data' && mode === 'in-sync' && status === 'running',
      )
      .map(({ index }): ControlPlace => ({
        host: replicaDomain(name, settings.namespace, index),
        port: REPLICA_CONTROL_PORT,
        token: null,
      }));
    const target = address === null ? null : await targets.place(address);
    return { volume: name, target, replicas };
  }

  #keepReplica(before: ReplicaResource | null, after: ReplicaResource | null): void {
    const resource = after ?? before;
    if (resource === null) return;
    const { volume, index } = resource.spec;
    const known = this.#replicasOf.get(volume) ?? new Map<number, ReplicaResource>();
    if (after === null) known.delete(index);
    else known.set(index, after);
    if (known.size === 0) this.#replicasOf.delete(volume);
    else this.#replicasOf.set(volume, known);
  }

  #keepPod(before: Pod | null, after: Pod | null): void {
    const pod = after ?? before;
    const of = pod === null ? null : ofVolume(pod);
    if (pod === null || of === null) return;
    const known = this.#podsOf.get(of.volume) ?? new Map<string, Pod>();
    const present = known.get(of.part);
    if (after !== null) {
      // The one that is on its way out says nothing of the one that comes.
      const isOlder = after.metadata.deletionTimestamp !== undefined && present !== undefined;
      if (!isOlder || present.metadata.uid === after.metadata.uid) known.set(of.part, after);
    } else if (present?.metadata.uid === pod.metadata.uid) {
      known.delete(of.part);
    }
    if (known.size === 0) this.#podsOf.delete(of.volume);
    else this.#podsOf.set(of.volume, known);
  }

  #gone(uid: string, { metadata }: VolumeResource): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = async (): Promise<void> => {
        const live = await this.#live(metadata.name);
        if (live?.metadata.uid !== uid) resolve();
        else if (this.#stop.signal.aborted) reject(new Problem('stopping', 'the server stops'));
        else setTimeout(() => void look().catch(reject), GONE_POLL_MS).unref();
      };
      void look().catch(reject);
    });
  }

  #tellSnapshot(volume: string, message: string): void {
    this.#emit({ kind: 'snapshot', severity: 'info', volume, message, status: null });
  }

  #emit(event: VolumeEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

const GONE_POLL_MS = 1_000;

const notReady = (name: string): Problem =>
  new Problem('volume-not-ready', `the target of volume ${name} takes no orders now`, {
    next: `see why: mayactl volume info ${name}`,
  });

/** What the cluster refuses, in its own words. */
const problemOf = (error: unknown): unknown =>
  error instanceof KubeError && (error.status === 422 || error.status === 403)
    ? new Problem('bad-request', error.message, { cause: error })
    : error;
