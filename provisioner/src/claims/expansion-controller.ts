import type { EventRecorder } from '../kubernetes/event-recorder.ts';
import { KubeError, type KubeApi } from '../kubernetes/kube-api.ts';
import { keyOf } from '../kubernetes/objects.ts';
import { formatQuantity, parseQuantity } from '../kubernetes/quantity.ts';
import type { Reflector } from '../kubernetes/reflector.ts';
import type { WorkQueue } from '../kubernetes/work-queue.ts';
import {
  VOLUME_RESOURCES,
  type VolumeResource,
} from '../orchestrator/kubernetes/volume-resource.ts';
import {
  CLAIMS,
  classNameOf,
  FILE_SYSTEM_SIZE,
  PROVISIONED_BY,
  PROVISIONER,
  VOLUMES,
  type Claim,
  type PersistentVolume,
  type StorageClass,
} from './contract.ts';
import { requestedBytes } from './claim.ts';
import { Refusal } from './parameters.ts';

export interface ExpansionControllerOptions {
  readonly api: KubeApi;
  readonly namespace: string;
  readonly claims: Reflector<Claim>;
  readonly volumes: Reflector<PersistentVolume>;
  readonly classes: Reflector<StorageClass>;
  readonly records: Reflector<VolumeResource>;
  readonly queue: WorkQueue;
  readonly events: EventRecorder;
  readonly wallClock: () => Date;
}

const PENDING = 'FileSystemResizePending';

/**
 * Grows the volume of a claim that asks for more. Kubernetes grows no in-tree iSCSI volume itself:
 * its own controller waits for an external one, which is this, and kubelet leaves file systems on
 * them as they are, which is told to a person in the condition FileSystemResizePending. Keys are
 * those of claims.
 */
export class ExpansionController {
  readonly #options: ExpansionControllerOptions;

  constructor(options: ExpansionControllerOptions) {
    this.#options = options;
    const { claims, records, volumes, queue, events } = options;
    claims.onChange((before, after) => {
      if (after === null || this.#volumeOf(after) === null) return;
      if (before !== null && storageOf(after) < storageOf(before)) {
        const words = `A volume cannot shrink: what lies beyond ${after.spec?.resources?.requests?.['storage'] ?? ''} would be lost. It keeps its size; make a smaller claim and copy what it shall hold.`;
        events.event(after, 'Warning', 'VolumeShrinkRefused', words);
      }
      queue.add(keyOf(after));
    });
    records.onChange((before, after) => {
      const claim = after?.spec.claimRef;
      if (claim === undefined || before?.status?.size === after?.status?.size) return;
      queue.add(`${claim.namespace}/${claim.name}`);
    });
    volumes.onChange((_before, after) => {
      const claim = after?.spec?.claimRef;
      if (after === null || claim === undefined || !isOurs(after)) return;
      queue.add(`${claim.namespace ?? ''}/${claim.name ?? ''}`);
    });
  }

  /** Rejects when it has to be tried again. */
  async reconcile(key: string): Promise<void> {
    const { claims, records, namespace, events } = this.#options;
    const claim = claims.get(key);
    const volume = claim === undefined ? null : this.#volumeOf(claim);
    const record = records.get(`${namespace}/${volume?.metadata.name ?? ''}`);
    if (claim === undefined || volume === null || record === undefined) return;
    if (record.metadata.deletionTimestamp !== undefined) return;
    let wanted: bigint;
    try {
      wanted = requestedBytes(claim, 0n);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      events.event(claim, 'Warning', 'VolumeResizeFailed', error.message);
      return;
    }
    const capacity = capacityOf(volume);
    if (wanted > capacity) {
      if (!(await this.#grow(claim, record, wanted))) return;
      await this.#tellVolume(volume, wanted);
    }
    await this.#tellClaim(claim, volume, wanted > capacity ? wanted : capacity);
  }

  /** True: the volume has this size. Else it is on its way, or nobody may. */
  async #grow(claim: Claim, record: VolumeResource, wanted: bigint): Promise<boolean> {
    const { api, classes, events } = this.#options;
    const served = record.status?.size;
    if (served !== undefined && parseQuantity(served) >= wanted) return true;
    if (parseQuantity(record.spec.size) >= wanted) return false;
    const className = classNameOf(claim);
    if (classes.get(className)?.allowVolumeExpansion !== true) {
      const words = `The class ${className} does not allow it; set allowVolumeExpansion: true in the class.`;
      events.event(claim, 'Warning', 'VolumeResizeFailed', words);
      return false;
    }
    await api.patch(VOLUME_RESOURCES, record.metadata, [
      { op: 'test', path: '/spec/size', value: record.spec.size },
      { op: 'replace', path: '/spec/size', value: formatQuantity(wanted) },
    ]);
    const words = `Volume ${record.metadata.name} grows from ${record.spec.size} to ${formatQuantity(wanted)}.`;
    events.event(claim, 'Normal', 'Resizing', words);
    return false;
  }

  async #tellVolume(volume: PersistentVolume, size: bigint): Promise<void> {
    await this.#options.api.patch(VOLUMES, volume.metadata, [
      { op: 'replace', path: '/spec/capacity/storage', value: formatQuantity(size) },
    ]);
  }

  /** A device has its size at once; a file system when a person has grown it and says so. */
  async #tellClaim(claim: Claim, volume: PersistentVolume, size: bigint): Promise<void> {
    const told = claim.status?.capacity?.['storage'];
    if (told === undefined || parseQuantity(told) >= size) return;
    const { api, events, wallClock } = this.#options;
    const text = formatQuantity(size);
    const others = (claim.status?.conditions ?? []).filter(({ type }) => type !== PENDING);
    const isGrown =
      volume.spec?.volumeMode === 'Block' ||
      claim.metadata.annotations?.[FILE_SYSTEM_SIZE] === text;
    const message = pendingMessage(claim, volume, text);
    const pending = claim.status?.conditions?.find(({ type }) => type === PENDING);
    if (!isGrown && pending?.message === message) return;
    const condition = {
      ...{ type: PENDING, status: 'True', message },
      lastTransitionTime: pending?.lastTransitionTime ?? wallClock().toISOString(),
    };
    try {
      await api.patch(
        CLAIMS,
        claim.metadata,
        [
          {
            op: 'test',
            path: '/metadata/resourceVersion',
            value: claim.metadata.resourceVersion,
          },
          {
            op: 'add',
            path: '/status/conditions',
            value: isGrown ? others : [...others, condition],
          },
          ...(isGrown
            ? [{ op: 'replace' as const, path: '/status/capacity/storage', value: text }]
            : []),
        ],
        'status',
      );
    } catch (error) {
      if (error instanceof KubeError && error.isNotFound) return;
      throw error;
    }
    if (isGrown) events.event(claim, 'Normal', 'VolumeResizeSuccessful', `It has ${text}.`);
    else events.event(claim, 'Normal', 'FileSystemResizeRequired', message);
  }

  /** The volume that was made for this very claim. */
  #volumeOf({ metadata, spec }: Claim): PersistentVolume | null {
    const volume = this.#options.volumes.get(spec?.volumeName ?? '');
    if (volume === undefined || !isOurs(volume)) return null;
    return volume.spec?.claimRef?.uid === metadata.uid ? volume : null;
  }
}

const isOurs = ({ metadata }: PersistentVolume): boolean =>
  metadata.annotations?.[PROVISIONED_BY] === PROVISIONER;

const storageOf = ({ spec }: Claim): bigint =>
  parseQuantity(spec?.resources?.requests?.['storage'] ?? '0');

const capacityOf = ({ spec }: PersistentVolume): bigint =>
  parseQuantity(spec?.capacity?.['storage'] ?? '0');

const pendingMessage = ({ metadata }: Claim, { spec }: PersistentVolume, size: string): string => {
  const tool = spec?.iscsi?.fsType === 'xfs' ? 'xfs_growfs' : 'resize2fs';
  return `The device has ${size}; kubelet does not grow file systems on iSCSI. On the node of the pod: iscsiadm -m node -R, then ${tool}; then: kubectl -n ${metadata.namespace ?? 'default'} annotate --overwrite pvc ${metadata.name} ${FILE_SYSTEM_SIZE}=${size}`;
};
