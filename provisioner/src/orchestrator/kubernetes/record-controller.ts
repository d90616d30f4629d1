import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../../kubernetes/clock.ts';
import type { EventRecorder } from '../../kubernetes/event-recorder.ts';
import { KubeError, type KubeApi } from '../../kubernetes/kube-api.ts';
import type { KubeObject } from '../../kubernetes/objects.ts';
import type { Reflector } from '../../kubernetes/reflector.ts';
import type { WorkQueue } from '../../kubernetes/work-queue.ts';
import type { ClusterNode } from './cluster-node.ts';
import { ChapFollower } from './chap-follower.ts';
import { ChapSecretUnfit, type ChapSecrets } from './chap-secrets.ts';
import { CloneController } from './clone-controller.ts';
import type { CopyIndex } from './copy-index.ts';
import { MemberController } from './member-controller.ts';
import { runningMembers } from './members.ts';
import { ISCSI_PORT, replicaName, targetName, VOLUME_LABEL } from './names.ts';
import { NodeIndex } from './node-index.ts';
import type { Job } from './pool-job.ts';
import { RollOut, type Deployment } from './roll-out.ts';
import { allowsDisruption } from './service-manifests.ts';
import { TargetWatch } from './target-watch.ts';
import type { Targets } from './targets.ts';
import { PoolMissing, StillCleaning, type VolumeObjects } from './volume-objects.ts';
import {
  isCopied,
  REPLICA_RESOURCES,
  VOLUME_RESOURCES,
  type ReplicaResource,
  type VolumeResource,
} from './volume-resource.ts';
import { replicaStatus, volumeStatus, type VolumeFacts } from './volume-status.ts';

export interface RecordControllerOptions {
  readonly api: KubeApi;
  readonly clock: Clock;
  readonly wallClock: () => Date;
  readonly records: Reflector<VolumeResource>;
  readonly copies: CopyIndex;
  readonly deployments: Reflector<Deployment>;
  readonly services: Reflector<KubeObject>;
  readonly jobs: Reflector<Job>;
  readonly nodes: Reflector<ClusterNode>;
  readonly namespace: string;
  /** Whether the claim that a volume was made for is bound to it, and no other one goes first. */
  readonly mayFill: (name: string) => boolean;
  readonly replaceAfterMinutes: number;
  readonly queue: WorkQueue;
  readonly objects: VolumeObjects;
  readonly targets: Targets;
  readonly secrets: ChapSecrets;
  readonly events: EventRecorder;
}

/** A volume without a target that is not as recorded is looked at again. */
const PROBLEM_MS = 30_000;
/** Somebody else has changed the record meanwhile: its new version is on its way. */
const CONFLICT_MS = 200;

/**
 * Keeps the objects of each recorded volume as its record says: whoever deletes a Service, scales a
 * Deployment or edits an image finds it as it was, with an event. Brings about what is changed in
 * the record while the volume serves, and tells the state of the volume in its status. Keys are
 * names of volumes.
 */
export class RecordController {
  readonly #options: RecordControllerOptions;
  readonly #nodes: NodeIndex;
  readonly #watch: TargetWatch;
  readonly #members: MemberController;
  readonly #rollOut: RollOut;
  readonly #clones: CloneController;
  readonly #chap: ChapFollower;
  /** By volume and name of a replica's resource, what was told in its status. */
  readonly #told = new Map<string, Map<string, object>>();
  /** By volume, whether its budget lets a drain take a replica. */
  readonly #disruptable = new Map<string, boolean>();
  /** By volume, the names of its Deployments and Services that are there. */
  readonly #owned = new Map<string, Set<string>>();

  constructor(options: RecordControllerOptions) {
    this.#options = options;
    const { records, deployments, services, jobs, queue, api, clock, wallClock, nodes } = options;
    this.#watch = new TargetWatch(options.targets, clock);
    this.#nodes = new NodeIndex({
      nodes,
      clock,
      wallClock,
      changed: (host) => this.#nodeChanged(host),
    });
    const { namespace, objects, targets, events, replaceAfterMinutes, copies } = options;
    this.#members = new MemberController({
      ...{ api, namespace, objects, targets, events, copies, clock },
      ...{ nodes, nodeIndex: this.#nodes, replaceAfterMinutes },
    });
    this.#rollOut = new RollOut(options);
    this.#chap = new ChapFollower(options);
    this.#clones = new CloneController({ ...options, nodeIndex: this.#nodes });
    records.onChange((before, after) => {
      if (after !== null) queue.add(after.metadata.name);
      else if (before !== null) objects.forget(before.metadata.name);
    });
    options.secrets.onChange((secret) => {
      for (const { metadata, spec } of records.values()) {
        if (isDeepStrictEqual(spec.chapSecretRef, secret)) queue.add(metadata.name);
      }
    });
    const own = (before: KubeObject | null, after: KubeObject | null): void => {
      const object = after ?? before;
      const volume = object?.metadata.labels?.[VOLUME_LABEL];
      if (object === null || volume === undefined) return;
      const { kind, metadata } = object;
      const owned = this.#owned.get(volume) ?? new Set();
      if (after === null) owned.delete(`${kind} ${metadata.name}`);
      else owned.add(`${kind} ${metadata.name}`);
      if (owned.size === 0) this.#owned.delete(volume);
      else this.#owned.set(volume, owned);
      objects.told(volume, object);
      this.#watch.stir(volume);
      queue.add(volume);
    };
    deployments.onChange(own);
    services.onChange(own);
    jobs.onChange((before, after) => {
      const volume = (after ?? before)?.metadata.labels?.[VOLUME_LABEL];
      if (volume !== undefined) queue.add(volume);
    });
  }

  async reconcile(name: string): Promise<void> {
    const { records, namespace, queue } = this.#options;
    const record = records.get(`${namespace}/${name}`);
    if (record === undefined) {
      this.#forget(name);
      return;
    }
    if (record.metadata.deletionTimestamp !== undefined) {
      await this.#remove(record);
      return;
    }
    if (!isCopied(record)) {
      const againMs = await this.#clones.step(record);
      if (againMs !== null) queue.addAfter(name, againMs);
      return;
    }
    const serving = this.#isAvailable(targetName(name));
    const target = serving ? await this.#watch.look(name, addressOf(record)) : null;
    const plan = await this.#members.plan(record, target);
    if (plan === 'changed') {
      queue.addAfter(name, CONFLICT_MS);
      return;
    }
    if (record.spec.members.length === 0 || this.#isReserved(record)) return;
    const portal = await this.#ensure(record);
    if (portal === null) return;
    const { ordered, refused } = await this.#members.converge(record, target);
    const chap = await this.#chap.step(record, target);
    if (ordered || chap.ordered) this.#watch.ordered(name);
    const rolling = ordered ? null : await this.#rollOut.step(record, addressOf(record));
    if (rolling !== null) this.#watch.ordered(name);
    await this.#tell({
      ...{ record, namespace, portal, target, targetAvailable: serving },
      available: (deployment) => this.#isAvailable(deployment),
      chap: chap.inForce,
      problem: plan.problem ?? refused ?? rolling ?? chap.problem,
      now: this.#options.wallClock().toISOString(),
    });
    // The end of their Jobs is heard of.
    const departingMs = this.#clones.isDeparting(record)
      ? null
      : await this.#members.depart(record);
    if (departingMs !== null) queue.addAfter(name, departingMs);
    const finishingMs = await this.#clones.finish(record);
    if (finishingMs !== null) queue.addAfter(name, finishingMs);
    const asRecorded = [plan.problem, refused, rolling, chap.problem].every(
      (each) => each === null,
    );
    const settled = asRecorded && target?.state === 'healthy';
    if (serving || rolling !== null) queue.addAfter(name, this.#watch.nextMs(name, settled));
    else if (plan.problem !== null) queue.addAfter(name, PROBLEM_MS);
  }

  /**
   * The claim is bound first, and whoever knows of it adds this key: what Kubernetes has to do for
   * the pods of one volume must not hold up the claim of another.
   */
  #isReserved({ metadata, spec, status }: VolumeResource): boolean {
    const { mayFill } = this.#options;
    return status === undefined && spec.claimRef !== undefined && !mayFill(metadata.name);
  }

  /** Volumes with a member there: it may have to be replaced, or cleaned at last. */
  #nodeChanged(host: string): void {
    const { records, queue } = this.#options;
    for (const record of records.values()) {
      const { metadata, spec } = record;
      if (spec.members.length === 0 || spec.members.some(({ node }) => node === host)) {
        this.#members.nodeChanged(record, host);
        queue.add(metadata.name);
      }
    }
  }

  #forget(name: string): void {
    this.#disruptable.delete(name);
    this.#watch.forget(name);
    this.#told.delete(name);
    this.#chap.forget(name);
  }

  /** One that was made for a claim goes with that claim's PersistentVolume. */
  async #remove(record: VolumeResource): Promise<void> {
    const { objects, events } = this.#options;
    const { name } = record.metadata;
    if (record.spec.claimRef !== undefined) return;
    try {
      await objects.remove(name, (node) => {
        const words = `Node ${node} is gone, and the copy that was on it with it; if it comes back, remove the volume's directory there.`;
        events.event(record, 'Warning', 'NodeGone', words);
      });
    } catch (error) {
      // The end of the Jobs is heard of, and that of a node.
      if (!(error instanceof StillCleaning)) throw error;
    }
  }

  /** Returns the portal; null: the record is gone, or going. */
  async #ensure(record: VolumeResource): Promise<string | null> {
    const { objects, events } = this.#options;
    const { name } = record.metadata;
    const portal = record.status?.portal;
    const isApplied = objects.isApplied(record);
    const drifted = isApplied ? this.#drift(name) : null;
    if (isApplied && drifted === null && portal !== undefined) return portal;
    if (drifted !== null) {
      const words = `${drifted} was changed or removed by somebody; it is made again as recorded.`;
      events.event(record, 'Warning', 'DriftRepaired', words);
    }
    let address: string | null;
    try {
      // The address that its PersistentVolume names does not change any more.
      const knownIp = portal === undefined ? null : hostOf(portal);
      address = await objects.ensure(record, { knownIp, drifted: drifted !== null });
    } catch (error) {
      if (error instanceof PoolMissing) {
        events.event(record, 'Warning', 'PoolMissing', error.message);
      } else if (error instanceof ChapSecretUnfit || isRefusal(error)) {
        this.#tellRefusal(record, error.message);
      }
      throw error;
    }
    if (address === null) return null;
    this.#disruptable.set(name, allowsDisruption(record.status));
    return `${address}:${ISCSI_PORT}`;
  }

  /** Whoever waits for the volume looks at its claim. */
  #tellRefusal(record: VolumeResource, reason: string): void {
    const { events } = this.#options;
    const { claimRef } = record.spec;
    const words = `Volume ${record.metadata.name} is not whole: ${reason}; it is tried again.`;
    events.event(record, 'Warning', 'NotMade', words);
    if (claimRef === undefined) return;
    const claim = { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: claimRef };
    events.event(claim, 'Warning', 'NotMade', words);
  }

  #drift(name: string): string | null {
    const { deployments, services, namespace, objects } = this.#options;
    const present = [...(this.#owned.get(name) ?? [])].flatMap((owned) => {
      const [kind, own] = owned.split(' ') as [string, string];
      const cache: Reflector<KubeObject> = kind === 'Service' ? services : deployments;
      return cache.get(`${namespace}/${own}`) ?? [];
    });
    return objects.drift(name, present, ['Deployment', 'Service']);
  }

  async #tell(facts: VolumeFacts): Promise<void> {
    const { api } = this.#options;
    const { record, namespace } = facts;
    const { name } = record.metadata;
    const status = volumeStatus(facts);
    const disruptable = allowsDisruption(status);
    try {
      // Closed before anybody is told that a copy is away, so that no drain takes another.
      if (disruptable !== this.#disruptable.get(name)) {
        await this.#options.objects.setBudget({ ...record, status });
        this.#disruptable.set(name, disruptable);
      }
      if (!isDeepStrictEqual(status, record.status)) {
        const { apiVersion, kind } = record;
        const told = { apiVersion, kind, metadata: { namespace, name }, status };
        await api.apply(VOLUME_RESOURCES, told as unknown as VolumeResource, 'status');
      }
      const known = this.#told.get(name) ?? new Map<string, object>();
      this.#told.set(name, known);
      for (const member of runningMembers(record)) {
        const own = replicaName(name, member.index);
        const ownStatus = replicaStatus(facts, member);
        if (isDeepStrictEqual(ownStatus, known.get(own))) continue;
        const { apiVersion, kind } = REPLICA_RESOURCES;
        const told = { apiVersion, kind, metadata: { namespace, name: own }, status: ownStatus };
        await api.apply(REPLICA_RESOURCES, told as unknown as ReplicaResource, 'status');
        known.set(own, ownStatus);
      }
    } catch (error) {
      if (!(error instanceof KubeError && error.isNotFound)) throw error;
    }
  }

  #isAvailable(deployment: string): boolean {
    const { deployments, namespace } = this.#options;
    return (deployments.get(`${namespace}/${deployment}`)?.status?.availableReplicas ?? 0) > 0;
  }
}

/** The cluster does not want it so, be it a quota or an admission hook. */
const isRefusal = (error: unknown): error is KubeError =>
  error instanceof KubeError &&
  ![429, 409].includes(error.status) &&
  error.status >= 400 &&
  error.status < 500;

const hostOf = (portal: string): string => portal.slice(0, portal.lastIndexOf(':'));

const addressOf = ({ status }: VolumeResource): string | null =>
  status?.portal === undefined ? null : hostOf(status.portal);
