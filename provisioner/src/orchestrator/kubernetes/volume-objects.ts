import assert from 'node:assert/strict';
import { setFinalizer } from '../../kubernetes/finalizer.ts';
import { KubeError, orNull, type KubeApi } from '../../kubernetes/kube-api.ts';
import type { KubeObject, Resource } from '../../kubernetes/objects.ts';
import type { Reflector } from '../../kubernetes/reflector.ts';
import {
  DEPLOYMENTS,
  desiredAddress,
  desiredObjects,
  DISRUPTION_BUDGETS,
  SERVICES,
  type Desired,
  type Service,
} from './desired-objects.ts';
import { chapSecretName, SECRETS } from './chap-secret.ts';
import { makeOwnSecret, type ChapSecrets } from './chap-secrets.ts';
import { cleaningJob, cleaningJobName } from './cleaning-job.ts';
import { JOBS } from './pool-job.ts';
import { CLUSTER_NODES } from './cluster-node.ts';
import {
  COMPONENT_LABEL,
  controllerServiceName,
  replicaName,
  targetName,
  VOLUME_LABEL,
} from './names.ts';
import { CONFIG_MAPS, settingsMapName } from './volume-settings.ts';
import { replicaDisruptionBudget } from './service-manifests.ts';
import type { KubernetesSettings } from './settings.ts';
import { fingerprintOf } from './slim-objects.ts';
import { targetOf, type Targets } from './targets.ts';
import { isOutdated } from './template-hash.ts';
import {
  isCopied,
  isProtected,
  RECORD_FINALIZER,
  REPLICA_RESOURCES,
  STORAGE_POOLS,
  VOLUME_RESOURCES,
  type StoragePool,
  type VolumeMember,
  type VolumeResource,
} from './volume-resource.ts';

/** The pool that a volume asks for is not there; told to whoever asked. */
export class PoolMissing extends Error {
  override readonly name = 'PoolMissing';
}

/** Data of the volume are being removed on these nodes: look again. */
export class StillCleaning extends Error {
  override readonly name = 'StillCleaning';

  constructor(nodes: readonly string[]) {
    super(`its data are being removed on ${nodes.join(', ')}`);
  }
}

interface Made {
  readonly generation: number;
  readonly fingerprint: string;
  /** A watch has told of it since. */
  readonly isTold: boolean;
}

/** What is known of a volume that has its address, and nothing else yet. */
interface Reserved {
  readonly generation: number;
  readonly address: string;
  readonly pool: StoragePool;
}

/** Brings the objects of a volume about, and takes them away. Everything may be done again. */
export class VolumeObjects {
  readonly #api: KubeApi;
  readonly #behind: KubeApi;
  readonly settings: KubernetesSettings;
  /** Volumes that are worked on: making and removing one must not overtake each other. */
  readonly #busy = new Map<string, Promise<unknown>>();
  /** By volume, each object as we left it: what asks for something else later is not our work. */
  readonly #made = new Map<string, Map<string, Made>>();
  /** By volume, which generation of its record was brought about, and the address. */
  readonly #applied = new Map<string, { readonly generation: number; readonly address: string }>();
  /** By volume, those whose address was made for a record that is known to be there. */
  readonly #reserved = new Map<string, Reserved>();
  /** By volume, Deployments whose pods would start anew: that waits for its moment. */
  readonly #outdated = new Map<string, Map<string, KubeObject>>();
  readonly #pools: Pick<Reflector<StoragePool>, 'get'>;
  readonly #deployments: Pick<Reflector<KubeObject>, 'get'>;
  readonly #targets: Targets;
  readonly #secrets: ChapSecrets;

  /**
   * `behind`: by which new volumes are filled, so that they wait for each other. `pools` and
   * `deployments`: those that are there, as far as is known.
   */
  constructor({
    api,
    behind,
    settings,
    pools,
    deployments,
    targets,
    secrets,
  }: {
    readonly api: KubeApi;
    readonly behind: KubeApi;
    readonly settings: KubernetesSettings;
    readonly pools: Pick<Reflector<StoragePool>, 'get'>;
    readonly deployments: Pick<Reflector<KubeObject>, 'get'>;
    readonly targets: Targets;
    readonly secrets: ChapSecrets;
  }) {
    this.#api = api;
    this.#behind = behind;
    this.settings = settings;
    this.#pools = pools;
    this.#deployments = deployments;
    this.#targets = targets;
    this.#secrets = secrets;
  }

  /**
   * The address of a volume whose record was just made or read: all that its PersistentVolume
   * needs. What else the record asks for is brought about by ensure().
   */
  reserve(volume: VolumeResource, pool: StoragePool): Promise<string> {
    const { name, generation = 0 } = volume.metadata;
    return this.alone(name, async () => {
      const applied = this.#applied.get(name);
      if (applied?.generation === generation) return applied.address;
      const address = await this.#address(volume, null);
      this.#reserved.set(name, { generation, address, pool });
      return address;
    });
  }

  /**
   * Applies everything that the record asks for, but what would start a pod anew: see outdated().
   * Objects that are as they should be are left untouched by the API server. It is done from the
   * record as it is now, unless this generation of it was brought about already and nothing has
   * drifted. `knownIp`: the address that is named elsewhere already. Resolves with the address;
   * null: the record is gone, or going.
   */
  ensure(
    volume: VolumeResource,
    { knownIp, drifted }: { readonly knownIp: string | null; readonly drifted: boolean },
  ): Promise<string | null> {
    const { name, generation = 0 } = volume.metadata;
    return this.alone(name, async () => {
      const { namespace } = this.settings;
      const applied = this.#applied.get(name);
      if (!drifted && applied?.generation === generation) return applied.address;
      const reserved = this.#reserved.get(name);
      // Nothing has removed it since: that would have been done here, and forgotten this.
      if (!drifted && reserved?.generation === generation) return this.#make(volume, reserved);
      const live = await this.#api.get(VOLUME_RESOURCES, { namespace, name }).catch(orNull);
      if (live === null || live.metadata.deletionTimestamp !== undefined) return null;
      const pool = this.pool(live.spec.pool);
      const address = await this.#address(live, knownIp);
      return this.#make(live, { generation: live.metadata.generation ?? 0, address, pool });
    });
  }

  async #address(volume: VolumeResource, knownIp: string | null): Promise<string> {
    assert(isCopied(volume), 'a volume starts when it has what it begins with');
    const { resource, object } = desiredAddress(volume, this.settings, knownIp);
    const service: Service = await this.#api.apply(resource, object);
    this.#note(volume, service);
    const address = service.spec?.clusterIP;
    if (address !== undefined && address !== 'None') return address;
    throw new KubeError(0, 'NoAddress', `Service ${service.metadata.name} has no address yet`);
  }

  /** Everything but the address. Throws ChapSecretUnfit. */
  async #make(volume: VolumeResource, { generation, address, pool }: Reserved): Promise<string> {
    assert(isCopied(volume), 'a volume starts when it has what it begins with');
    const { name } = volume.metadata;
    const desired = desiredObjects(volume, pool, this.settings, address);
    await makeOwnSecret(volume, this.#api, this.#secrets, this.settings.namespace);
    const outdated = this.#sortOut(volume, desired);
    const made = await Promise.all(
      desired
        .filter(({ object }) => !outdated.has(object.metadata.name))
        .map(({ resource, object }) => this.#behind.apply(resource, object)),
    );
    for (const object of made) this.#note(volume, object);
    this.#reserved.delete(name);
    this.#applied.set(name, { generation, address });
    return address;
  }

  #sortOut(volume: VolumeResource, desired: readonly Desired[]): ReadonlyMap<string, KubeObject> {
    const outdated = new Map<string, KubeObject>();
    for (const { resource, object } of desired) {
      if (resource !== DEPLOYMENTS) continue;
      const { namespace = '', name } = object.metadata;
      const live = this.#deployments.get(`${namespace}/${name}`);
      if (live === undefined || !isOutdated(object, live)) continue;
      outdated.set(name, object);
      this.#note(volume, live);
    }
    if (outdated.size === 0) this.#outdated.delete(volume.metadata.name);
    else this.#outdated.set(volume.metadata.name, outdated);
    return outdated;
  }

  /** How many replicas a drain may take follows from the volume's status. */
  async setBudget(volume: VolumeResource): Promise<void> {
    const budget = replicaDisruptionBudget(volume, this.settings.namespace);
    await this.alone(volume.metadata.name, () => this.#api.apply(DISRUPTION_BUDGETS, budget));
  }

  /** Names of Deployments whose pods have to start anew: replicas first, the target last. */
  outdated(volume: string): readonly string[] {
    return [...(this.#outdated.get(volume)?.keys() ?? [])];
  }

  /** Starts the pod of one that is outdated anew; false: it is not outdated any more. */
  update(volume: VolumeResource, deployment: string): Promise<boolean> {
    return this.alone(volume.metadata.name, async () => {
      const object = this.#outdated.get(volume.metadata.name)?.get(deployment);
      if (object === undefined) return false;
      this.#note(volume, await this.#api.apply(DEPLOYMENTS, object));
      this.#outdated.get(volume.metadata.name)?.delete(deployment);
      return true;
    });
  }

  /** In which we left a Deployment. */
  generation({ metadata }: VolumeResource, deployment: string): number {
    return this.#made.get(metadata.name)?.get(`${DEPLOYMENTS.kind} ${deployment}`)?.generation ?? 0;
  }

  #note({ metadata }: VolumeResource, made: KubeObject): void {
    const known = this.#made.get(metadata.name) ?? new Map<string, Made>();
    const { generation = 0 } = made.metadata;
    const fingerprint = fingerprintOf(made);
    known.set(`${made.kind} ${made.metadata.name}`, { generation, fingerprint, isTold: false });
    this.#made.set(metadata.name, known);
  }

  /** Was the present generation of the record brought about? */
  isApplied({ metadata: { name, generation = 0 } }: VolumeResource): boolean {
    return this.#applied.get(name)?.generation === generation;
  }

  /** A watch has told of this object, be it that it is gone. */
  told(volume: string, { kind, metadata }: KubeObject): void {
    const known = this.#made.get(volume);
    const key = `${kind} ${metadata.name}`;
    const made = known?.get(key);
    if (made !== undefined) known?.set(key, { ...made, isTold: true });
  }

  /** Nothing is known of a volume that is gone. */
  forget(volume: string): void {
    this.#made.delete(volume);
    this.#applied.delete(volume);
    this.#reserved.delete(volume);
    this.#outdated.delete(volume);
  }

  /**
   * Which of our objects somebody has changed or removed, in words; null: none. `present`: what the
   * cluster has of these kinds.
   */
  drift(volume: string, present: readonly KubeObject[], kinds: readonly string[]): string | null {
    for (const [key, { generation, fingerprint, isTold }] of this.#made.get(volume) ?? []) {
      if (!kinds.some((kind) => key.startsWith(`${kind} `))) continue;
      const found = present.find(({ kind, metadata }) => key === `${kind} ${metadata.name}`);
      // The watch may be behind: what it has not told yet is not gone, only not there yet.
      const isDrift =
        found === undefined
          ? isTold
          : (found.metadata.generation ?? 0) > generation && fingerprintOf(found) !== fingerprint;
      if (isDrift) return key;
    }
    return null;
  }

  /** Throws PoolMissing. */
  pool(name: string): StoragePool {
    const known = this.#pools.get(name);
    if (known !== undefined) return known;
    if (name !== 'default') {
      throw new PoolMissing(
        `There is no StoragePool "${name}"; create it (kubectl get storagepools lists those that are there), or correct the class.`,
      );
    }
    return {
      apiVersion: STORAGE_POOLS.apiVersion,
      kind: STORAGE_POOLS.kind,
      metadata: { name },
      spec: { path: this.settings.defaultPoolPath },
    };
  }

  /** The address of a volume, if it has one. */
  async address(volume: string): Promise<string | null> {
    try {
      const where = { namespace: this.settings.namespace, name: controllerServiceName(volume) };
      return (await this.#api.get(SERVICES, where)).spec?.clusterIP ?? null;
    } catch (error) {
      if (error instanceof KubeError && error.isNotFound) return null;
      throw error;
    }
  }

  /**
   * Target first, so that nothing writes while replicas go; then the data, then the record, by
   * which everything is found. Throws StillCleaning while data are being removed. Copies on nodes
   * that are gone went with them: `skipped` is told.
   */
  remove(volume: string, skipped: (node: string) => void): Promise<void> {
    return this.alone(volume, () => this.#remove(volume, skipped));
  }

  async #remove(volume: string, skipped: (node: string) => void): Promise<void> {
    const { namespace } = this.settings;
    const where = { namespace, name: volume };
    this.forget(volume);
    // From here on nobody makes its objects again; its finalizer keeps it until all is done.
    await this.#api.remove(VOLUME_RESOURCES, where);
    const record = await this.#api.get(VOLUME_RESOURCES, where).catch(orNull);
    const labelSelector = `${VOLUME_LABEL}=${volume}`;
    const removeAll = async (
      resource: Resource,
      which: (object: KubeObject) => boolean = () => true,
    ): Promise<void> => {
      const { items } = await this.#api.list(resource, { namespace, labelSelector });
      await Promise.all(
        items.filter(which).map(({ metadata }) => this.#api.remove(resource, metadata)),
      );
    };
    await removeAll(DEPLOYMENTS, ({ metadata }) => metadata.name === targetName(volume));
    await removeAll(DEPLOYMENTS);
    await this.#endCloning(volume);
    if (record !== null) await this.#clean(record, skipped);
    await removeAll(JOBS);
    await removeAll(DISRUPTION_BUDGETS);
    await removeAll(SERVICES);
    await this.#api.remove(CONFIG_MAPS, { namespace, name: settingsMapName(volume) });
    if (record === null) return;
    await this.dropTemporary(record);
    if (isProtected(record)) {
      await this.#api.remove(SECRETS, { namespace, name: chapSecretName(volume) });
    }
    await setFinalizer(this.#api, VOLUME_RESOURCES, record, RECORD_FINALIZER, false);
  }

  /** The record of a volume; null: it is gone, or going. */
  async standing(name: string): Promise<VolumeResource | null> {
    const where = { namespace: this.settings.namespace, name };
    const record = await this.#api.get(VOLUME_RESOURCES, where).catch(orNull);
    return record?.metadata.deletionTimestamp === undefined ? record : null;
  }

  /** The snapshot that was made for this clone only. Rejects with Problem: its target is away. */
  async dropTemporary({ spec }: VolumeResource): Promise<void> {
    const { source } = spec;
    if (source?.temporary !== true || source.stage === 'Done') return;
    const origin = await this.standing(source.volume);
    if (origin !== null) await this.#targets.dropSnapshot(targetOf(origin), source.snapshot);
  }

  /** Throws StillCleaning while a pod may be making a copy: its directory would come again. */
  async #endCloning(volume: string): Promise<void> {
    const { namespace } = this.settings;
    const labelSelector = `${VOLUME_LABEL}=${volume},${COMPONENT_LABEL}=cloner`;
    const { items } = await this.#api.list(JOBS, { namespace, labelSelector });
    if (items.length === 0) return;
    for (const { metadata } of items) await this.#api.remove(JOBS, metadata, { foreground: true });
    throw new StillCleaning(['its nodes, where copies were being made']);
  }

  /**
   * Ends the process of a member that has departed and removes its directory. `node-gone`: that can
   * only be done when its node is there again.
   */
  depart(record: VolumeResource, member: VolumeMember): Promise<'done' | 'running' | 'node-gone'> {
    return this.alone(record.metadata.name, async () => {
      const { namespace } = this.settings;
      const name = replicaName(record.metadata.name, member.index);
      this.#made.get(record.metadata.name)?.delete(`${DEPLOYMENTS.kind} ${name}`);
      this.#outdated.get(record.metadata.name)?.delete(name);
      await this.#api.remove(DEPLOYMENTS, { namespace, name });
      await this.#api.remove(REPLICA_RESOURCES, { namespace, name });
      const state = await this.#cleanOne(record, member);
      if (state === 'done') {
        const job = cleaningJobName(record.metadata.name, member.index);
        await this.#api.remove(JOBS, { namespace, name: job });
      }
      return state;
    });
  }

  /** Nothing else is done for the volume meanwhile. */
  async alone<T>(volume: string, work: () => Promise<T>): Promise<T> {
    const before = this.#busy.get(volume) ?? Promise.resolve();
    const mine = before.then(work, work);
    this.#busy.set(volume, mine);
    try {
      return await mine;
    } finally {
      if (this.#busy.get(volume) === mine) this.#busy.delete(volume);
    }
  }

  async #clean(record: VolumeResource, skipped: (node: string) => void): Promise<void> {
    const waiting: string[] = [];
    for (const member of record.spec.members) {
      const state = await this.#cleanOne(record, member);
      if (state === 'node-gone') skipped(member.node);
      if (state === 'running') waiting.push(member.node);
    }
    if (waiting.length > 0) throw new StillCleaning(waiting);
  }

  async #cleanOne(
    record: VolumeResource,
    member: VolumeMember,
  ): Promise<'done' | 'running' | 'node-gone'> {
    const node = await this.#api.get(CLUSTER_NODES, { name: member.node }).catch(orNull);
    if (node === null) return 'node-gone';
    const pool = this.pool(record.spec.pool);
    const job = cleaningJob(record, member, pool, this.settings);
    const found = await this.#api.apply(JOBS, job).catch(unlessInvalid);
    if (found === null) {
      // It is of another image, and a Job's template does not change.
      await this.#api.remove(JOBS, job.metadata, { foreground: true });
      return 'running';
    }
    return (found.status?.succeeded ?? 0) === 0 ? 'running' : 'done';
  }
}

const unlessInvalid = (error: unknown): null => {
  if (error instanceof KubeError && error.status === 422) return null;
  throw error;
};
