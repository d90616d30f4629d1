import type { EventRecorder } from '../kubernetes/event-recorder.ts';
import { KubeError, orNull, type KubeApi } from '../kubernetes/kube-api.ts';
import type { Reflector } from '../kubernetes/reflector.ts';
import type { WorkQueue } from '../kubernetes/work-queue.ts';
import type { CopyIndex } from '../orchestrator/kubernetes/copy-index.ts';
import { fitnessOf } from '../orchestrator/kubernetes/cluster-node.ts';
import { firstMembers } from '../orchestrator/kubernetes/member-plan.ts';
import { ChapSecretUnfit, type ChapSecrets } from '../orchestrator/kubernetes/chap-secrets.ts';
import { PoolMissing, type VolumeObjects } from '../orchestrator/kubernetes/volume-objects.ts';
import type { Targets } from '../orchestrator/kubernetes/targets.ts';
import {
  isCopied,
  isProtected,
  VOLUME_RESOURCES,
  type StoragePool,
  type VolumeResource,
} from '../orchestrator/kubernetes/volume-resource.ts';
import { planClone } from './clone-source.ts';
import { decide, isOurs, type VolumeRequest } from './claim.ts';
import {
  CLAIMS,
  classNameOf,
  SELECTED_NODE,
  VOLUMES,
  type Claim,
  type Node,
  type PersistentVolume,
  type StorageClass,
} from './contract.ts';
import { NotYet, Refusal } from './parameters.ts';
import { VOLUME_POLICIES, withPolicy } from './volume-policy.ts';
import { persistentVolume } from './persistent-volume.ts';
import { volumeRecord } from './volume-record.ts';

/** What can't be done as it is asked for is looked at again this often. */
const INFEASIBLE_RETRY_MS = 300_000;
/** What it waits for may come soon. */
const NOT_YET_MS = 10_000;

const oldDefinition = (field: string): Refusal =>
  new Refusal(
    `The definition of OpenEBSVolume in this cluster is of an older release and knows no ${field}; helm does not upgrade it. Apply it (kubectl apply --server-side -f manifests/chart/crds), and make the claim anew.`,
  );

export interface ClaimControllerOptions {
  readonly api: KubeApi;
  readonly namespace: string;
  readonly claims: Reflector<Claim>;
  readonly volumes: Reflector<PersistentVolume>;
  readonly classes: Reflector<StorageClass>;
  readonly nodes: Reflector<Node>;
  readonly records: Reflector<VolumeResource>;
  readonly copies: CopyIndex;
  readonly pools: Reflector<StoragePool>;
  readonly secrets: ChapSecrets;
  readonly queue: WorkQueue;
  readonly objects: VolumeObjects;
  readonly targets: Targets;
  readonly events: EventRecorder;
  readonly provisioned: (className: string, seconds: number | null) => void;
  readonly now: () => number;
}

/** Makes a volume for each claim that asks us for one. Keys are those of claims. */
export class ClaimController {
  readonly #options: ClaimControllerOptions;
  /** When work on a claim began, for the metric. */
  readonly #begun = new Map<string, number>();

  constructor(options: ClaimControllerOptions) {
    this.#options = options;
    const { claims, classes, nodes, pools, records, secrets, queue } = options;
    claims.onChange((before, after) => {
      const claim = after ?? before;
      if (claim !== null && (isOurs(claim) || after === null)) queue.add(keyOfClaim(claim));
    });
    // A class, a pool, a Secret or a node that comes may be what a claim waits for.
    const all = (): void => {
      for (const claim of claims.values()) if (isOurs(claim)) queue.add(keyOfClaim(claim));
    };
    classes.onChange(all);
    pools.onChange(all);
    secrets.onChange(all);
    nodes.onChange((before, after) => {
      const isSame = before !== null && after !== null && fitnessOf(before) === fitnessOf(after);
      if (!isSame) all();
    });
    // A clone is told of when its copies are whole.
    records.onChange((before, after) => {
      const claimRef = after?.spec.claimRef;
      if (before === null || after === null || claimRef === undefined) return;
      if (isCopied(before) === isCopied(after)) return;
      queue.add(`${claimRef.namespace}/${claimRef.name}`);
    });
  }

  /** Rejects when it has to be tried again. */
  async reconcile(key: string): Promise<void> {
    const { claims, classes, events, queue } = this.#options;
    const claim = claims.get(key);
    if (claim === undefined) {
      this.#begun.delete(key);
      return;
    }
    const decision = decide(claim, classes.get(classNameOf(claim)) ?? null);
    switch (decision.kind) {
      case 'ignore':
      case 'wait':
        return;
      case 'leave':
        events.event(claim, 'Normal', 'ProvisioningIgnored', decision.message);
        return;
      case 'refuse':
        this.#refuse(claim, decision.message);
        queue.addAfter(key, INFEASIBLE_RETRY_MS);
        return;
      case 'provision':
        await this.#provision(key, claim, decision.request);
    }
  }

  async #provision(key: string, claim: Claim, request: VolumeRequest): Promise<void> {
    const { volumes, events, queue, now, provisioned } = this.#options;
    if (volumes.get(request.name) !== undefined) return;
    const startedMs = this.#begun.get(key) ?? now();
    const isFirst = !this.#begun.has(key);
    this.#begun.set(key, startedMs);
    try {
      const made = await this.#make(claim, await this.#withPolicy(request), isFirst);
      // The record of a clone says when its copies are whole.
      if (!made) return;
    } catch (error) {
      if (isRefusal(error)) {
        this.#refuse(claim, error.message);
        await this.#chooseAnotherNode(claim, request);
        queue.addAfter(key, error instanceof NotYet ? NOT_YET_MS : INFEASIBLE_RETRY_MS);
        return;
      }
      provisioned(request.className, null);
      events.event(
        claim,
        'Warning',
        'ProvisioningFailed',
        `Making volume ${request.name}: ${(error as Error).message}; it is tried again.`,
      );
      throw error;
    }
    this.#begun.delete(key);
    provisioned(request.className, (now() - startedMs) / 1000);
    events.event(
      claim,
      'Normal',
      'ProvisioningSucceeded',
      `Volume ${request.name} has its address; its replicas and its target are started.`,
    );
  }

  async #withPolicy(request: VolumeRequest): Promise<VolumeRequest> {
    const { policy: name } = request.parameters;
    if (name === null) return request;
    const policy = await this.#options.api.get(VOLUME_POLICIES, { name }).catch(orNull);
    if (policy !== null) return withPolicy(request, policy);
    throw new Refusal(
      `There is no VolumePolicy "${name}"; create it (kubectl get volumepolicies lists those that are there), or correct the class.`,
    );
  }

  #tellBegin(claim: Claim, { name, parameters }: VolumeRequest): void {
    const copies = parameters.replicas === 1 ? 'one copy' : `${parameters.replicas} copies`;
    const words = `Volume ${name} is made with ${copies}.`;
    this.#options.events.event(claim, 'Normal', 'Provisioning', words);
  }

  /** False: it goes on when the copies of a clone are whole, or not at all. */
  async #make(claim: Claim, request: VolumeRequest, isFirst: boolean): Promise<boolean> {
    const { claims, objects, secrets } = this.#options;
    // Pool, Secret and nodes before anything is made: a volume that can't be leaves nothing behind.
    const pool = objects.pool(request.parameters.pool);
    if (request.chapSecretRef !== null) secrets.read(request.chapSecretRef);
    // The claim as it is known: where it goes at this moment Kubernetes releases the volume that it
    // got, as it does when the claim goes a moment later, and that volume is freed.
    const known = claims.get(keyOfClaim(claim));
    if (known === undefined || known.metadata.uid !== claim.metadata.uid || !isOurs(known)) {
      return false;
    }
    const begun = request.source === null ? null : await this.#begunClone(request);
    const wanted = begun ?? (await this.#plan(request, pool));
    if (isFirst) this.#tellBegin(claim, request);
    // The record first: whatever follows carries its labels and is found by them, and all but the
    // address follows from it without the claim. So the claim is bound before there are pods.
    const record = begun ?? (await this.#record(wanted));
    if (request.source !== null) {
      // Dropped by a definition of an older release: what starts now would be empty.
      if (record.spec.source === undefined) throw oldDefinition('source');
      if (!isCopied(record)) return false;
    }
    // Dropped likewise: everybody could log in.
    if (request.chapSecretRef !== null && !isProtected(record))
      throw oldDefinition('chapSecretRef');
    const portalIp = await objects.reserve(record, pool);
    await this.#createVolume(request, portalIp, record);
    return true;
  }

  /** A clone is decided about once: its origin may be gone when its copies are whole. */
  #begunClone({ name }: VolumeRequest): Promise<VolumeResource | null> {
    const { api, namespace } = this.#options;
    return api.get(VOLUME_RESOURCES, { namespace, name }).catch(orNull);
  }

  /** Throws Refusal. */
  async #plan(request: VolumeRequest, pool: StoragePool): Promise<VolumeResource> {
    const { api, namespace, objects, targets, nodes, copies } = this.#options;
    const wanted = volumeRecord(request, namespace);
    const fleet = { nodes: [...nodes.values()], copies: copies.byNode, pool };
    if (request.source !== null) {
      const clone = await planClone(request, { api, namespace, objects, targets, fleet });
      return { ...wanted, spec: { ...wanted.spec, ...clone } };
    }
    const first = firstMembers(wanted.spec, fleet);
    if ('reason' in first) throw new Refusal(first.reason);
    return { ...wanted, spec: { ...wanted.spec, members: first.members } };
  }

  async #createVolume(
    request: VolumeRequest,
    portalIp: string,
    record: VolumeResource,
  ): Promise<void> {
    const { api } = this.#options;
    try {
      await api.create(VOLUMES, persistentVolume(request, portalIp, record));
    } catch (error) {
      if (!(error instanceof KubeError && error.reason === 'AlreadyExists')) throw error;
      const found = await api.get(VOLUMES, { name: request.name });
      if (found.spec?.claimRef?.uid === request.claim.uid) return;
      throw new Refusal(
        `There is a PersistentVolume ${request.name} that is not this claim's; remove it (kubectl delete pv ${request.name}).`,
        { cause: error },
      );
    }
  }

  /** An earlier attempt may have made it, with the members that count. */
  async #record(wanted: VolumeResource): Promise<VolumeResource> {
    const { api } = this.#options;
    try {
      return await api.create(VOLUME_RESOURCES, wanted);
    } catch (error) {
      if (!(error instanceof KubeError && error.reason === 'AlreadyExists')) throw error;
      return api.get(VOLUME_RESOURCES, wanted.metadata);
    }
  }

  #refuse(claim: Claim, message: string): void {
    this.#options.events.event(claim, 'Warning', 'ProvisioningFailed', message);
  }

  /** The scheduler tries another node when its choice is taken back. */
  async #chooseAnotherNode(claim: Claim, { selectedNode }: VolumeRequest): Promise<void> {
    if (selectedNode === null) return;
    const path = `/metadata/annotations/${SELECTED_NODE.replaceAll('/', '~1')}`;
    try {
      await this.#options.api.patch(CLAIMS, claim.metadata, [
        { op: 'test', path, value: selectedNode },
        { op: 'remove', path },
      ]);
    } catch (error) {
      const harmless = error instanceof KubeError && (error.status === 422 || error.isNotFound);
      if (!harmless) throw error;
    }
  }
}

const isRefusal = (error: unknown): error is Error =>
  error instanceof Refusal || error instanceof PoolMissing || error instanceof ChapSecretUnfit;

export const keyOfClaim = ({ metadata }: Claim): string =>
  `${metadata.namespace ?? 'default'}/${metadata.name}`;
