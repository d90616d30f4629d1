import { randomUUID } from 'node:crypto';
import { orNull, type KubeApi } from '../kubernetes/kube-api.ts';
import { formatQuantity, parseQuantity } from '../kubernetes/quantity.ts';
import { hostOf, type ClusterNode } from '../orchestrator/kubernetes/cluster-node.ts';
import { chooseNodes, type Fleet } from '../orchestrator/kubernetes/placement.ts';
import { targetOf, type Targets } from '../orchestrator/kubernetes/targets.ts';
import type { VolumeObjects } from '../orchestrator/kubernetes/volume-objects.ts';
import {
  isCopied,
  isProtected,
  type VolumeMember,
  type VolumeResource,
  type VolumeResourceSource,
} from '../orchestrator/kubernetes/volume-resource.ts';
import { replicaOf } from '../orchestrator/kubernetes/volume-status.ts';
import type { VolumeRequest, VolumeSource } from './claim.ts';
import { CLAIMS, PROVISIONED_BY, PROVISIONER, VOLUMES, type PersistentVolume } from './contract.ts';
import { NotYet, Refusal } from './parameters.ts';
import { reasonOf, SNAPSHOTS, targetNameOf } from './snapshot-resource.ts';

export interface CloneFacts {
  readonly api: KubeApi;
  readonly namespace: string;
  readonly objects: VolumeObjects;
  readonly targets: Targets;
  readonly fleet: Fleet;
}

/** What the record of a clone says besides that of any volume. */
export interface Clone {
  readonly source: VolumeResourceSource;
  readonly members: readonly VolumeMember[];
}

interface Origin {
  readonly volume: string;
  /** Null: one is made for the clone. */
  readonly snapshot: string | null;
  readonly leastBytes: bigint;
  /** As people name it. */
  readonly words: string;
}

/**
 * How the volume is made of what its claim names, decided before anything is made. Throws Refusal,
 * or NotYet where it may be possible soon.
 */
export const planClone = async (request: VolumeRequest, facts: CloneFacts): Promise<Clone> => {
  const { source } = request;
  if (source === null) throw new TypeError(`${request.name} has no source`);
  const origin = await originOf(source, request, facts);
  const record = await facts.objects.standing(origin.volume);
  if (record === null) throw new Refusal(`The volume of ${origin.words} is gone, or going.`);
  compare(request, record, origin);
  await compareVolumes(request, record, origin, facts.api);
  const { members } = record.spec;
  await requireWhole(record, origin, facts);
  requireNodes(request, members, origin, facts.fleet);
  return {
    source: {
      volume: origin.volume,
      snapshot: origin.snapshot ?? `clone-${request.claim.uid}`,
      temporary: origin.snapshot === null,
      stage: 'Pending',
    },
    // Where the origin's are, by the same index: that is how each finds what it is made of.
    members: members.map(({ index, role, node }) => ({ id: randomUUID(), index, role, node })),
  };
};

/** The PersistentVolume of a claim, if it is one of ours. Throws Refusal and NotYet. */
export const ourVolumeOf = async (
  api: KubeApi,
  namespace: string,
  name: string,
): Promise<PersistentVolume> => {
  const claim = await api.get(CLAIMS, { namespace, name }).catch(orNull);
  if (claim === null) {
    throw new NotYet(`There is no claim ${name} in namespace ${namespace}.`);
  }
  if (claim.metadata.deletionTimestamp !== undefined) {
    throw new Refusal(`Claim ${name} is being deleted.`);
  }
  const { volumeName = '' } = claim.spec ?? {};
  if (claim.status?.phase !== 'Bound' || volumeName === '') {
    throw new NotYet(`Claim ${name} is not bound yet; there is nothing to copy before that.`);
  }
  const volume = await api.get(VOLUMES, { name: volumeName }).catch(orNull);
  if (volume === null) throw new NotYet(`Claim ${name} has lost its volume ${volumeName}.`);
  const by = volume.metadata.annotations?.[PROVISIONED_BY] ?? 'somebody';
  if (by !== PROVISIONER) {
    throw new Refusal(
      `The volume of claim ${name} was made by ${by}; only volumes of ${PROVISIONER} can be copied.`,
    );
  }
  return volume;
};

const originOf = async (
  { kind, name }: VolumeSource,
  { claim: { namespace } }: VolumeRequest,
  { api, objects }: CloneFacts,
): Promise<Origin> => {
  if (kind === 'claim') {
    const { metadata } = await ourVolumeOf(api, namespace, name);
    const record = await objects.standing(metadata.name);
    const leastBytes = record === null ? 0n : parseQuantity(record.spec.size);
    const words = `claim ${name}`;
    return { volume: metadata.name, snapshot: null, leastBytes, words };
  }
  const snapshot = await api.get(SNAPSHOTS, { namespace, name }).catch(orNull);
  if (snapshot === null) {
    throw new NotYet(
      `There is no OpenEBSSnapshot ${name} in namespace ${namespace} (kubectl -n ${namespace} get openebssnapshots).`,
    );
  }
  if (snapshot.metadata.deletionTimestamp !== undefined) {
    throw new Refusal(`OpenEBSSnapshot ${name} is being deleted.`);
  }
  const { ready = false, volume, size } = snapshot.status ?? {};
  if (!ready || volume === undefined || size === undefined) {
    throw new NotYet(`OpenEBSSnapshot ${name} is not ready: ${reasonOf(snapshot)}.`);
  }
  return {
    volume,
    snapshot: targetNameOf(snapshot),
    leastBytes: parseQuantity(size),
    words: `snapshot ${name}`,
  };
};

/** A clone shares the blocks of its origin, so what both are has to be the same. */
const compare = (request: VolumeRequest, record: VolumeResource, origin: Origin): void => {
  const { spec } = record;
  const { parameters, sizeBytes, className } = request;
  const { words, leastBytes } = origin;
  if (sizeBytes < leastBytes) {
    throw new Refusal(
      `A copy of ${words} has at least its ${formatQuantity(leastBytes)}; the claim asks for ${formatQuantity(sizeBytes)}.`,
    );
  }
  if (parameters.pool !== spec.pool) {
    throw new Refusal(
      `The copies of ${words} are in pool ${spec.pool}, those of class ${className} in ${parameters.pool}; a copy shares blocks, so name a class of the same pool.`,
    );
  }
  if (parameters.replicas !== spec.replicas) {
    throw new Refusal(
      `The volume of ${words} has ${spec.replicas} copies, class ${className} makes ${parameters.replicas}; each is made of one of those, so name a class with as many.`,
    );
  }
  if (isProtected(record) && !parameters.chap && parameters.chapSecret === null) {
    throw new Refusal(
      `The volume of ${words} is protected by CHAP; name a class with the parameter chap: "true", or chapSecretName.`,
    );
  }
};

const compareVolumes = async (
  { volumeMode, parameters }: VolumeRequest,
  { metadata }: VolumeResource,
  { words }: Origin,
  api: KubeApi,
): Promise<void> => {
  const volume = await api.get(VOLUMES, { name: metadata.name }).catch(orNull);
  if (volume === null) return;
  const mode = volume.spec?.volumeMode ?? 'Filesystem';
  if (mode !== volumeMode) {
    throw new Refusal(
      `The volume of ${words} has volumeMode ${mode}; a copy of it has the same: write it.`,
    );
  }
  const has = volume.spec?.iscsi?.fsType ?? null;
  const wanted = parameters.fsType ?? 'ext4';
  if (mode === 'Filesystem' && has !== null && has !== wanted) {
    throw new Refusal(
      `The volume of ${words} has the file system ${has}, and the class says ${wanted}; it could not be mounted. Name a class with fsType ${has}.`,
    );
  }
};

/** All members are there and all copies hold everything, as the target says now. */
const requireWhole = async (
  record: VolumeResource,
  { words, snapshot }: Origin,
  { namespace, targets }: CloneFacts,
): Promise<void> => {
  const { spec } = record;
  const at = targetOf(record);
  const target = at.address === null ? null : await targets.status(at.address);
  if (target === null || !isCopied(record)) {
    throw new NotYet(`The volume of ${words} does not serve now; its copy waits for that.`);
  }
  const data = spec.members.filter(({ role }) => role === 'data');
  const settled = spec.members.every(({ state }) => state === undefined);
  const whole = data.every((member) => {
    const replica = replicaOf({ record, namespace, target }, member);
    return replica?.mode === 'in-sync';
  });
  if (!settled || !whole || data.length !== spec.replicas) {
    throw new NotYet(
      `Not all ${spec.replicas} copies of ${words} hold everything now (kubectl -n ${namespace} get ov ${record.metadata.name}); its copy waits for that.`,
    );
  }
  if (snapshot === null) return;
  const taken = await targets.snapshots(at);
  if (taken.some(({ name }) => name === snapshot)) return;
  throw new Refusal(`The volume has ${words} no more: somebody has deleted it at the volume.`);
};

const requireNodes = (
  { parameters, allowedTopologies, className }: VolumeRequest,
  members: readonly VolumeMember[],
  { words }: Origin,
  fleet: Fleet,
): void => {
  const hosts = new Set(members.map(({ node }) => node));
  const nodes = fleet.nodes.filter((node: ClusterNode) => hosts.has(hostOf(node)));
  const { topologyKey } = parameters;
  const chosen = chooseNodes(
    { count: hosts.size, topologyKey, selectedNode: null, allowedTopologies, taken: [] },
    { ...fleet, nodes },
  ).nodes;
  const unfit = [...hosts].filter((host) => !chosen.includes(host));
  if (unfit.length === 0) return;
  throw new Refusal(
    `The copies of ${words} are on ${[...hosts].join(', ')}, and a copy of it is made there. ${unfit.join(', ')} cannot take one: not ready, not schedulable, or not as class ${className} says (topologyKey, allowedTopologies).`,
  );
};
