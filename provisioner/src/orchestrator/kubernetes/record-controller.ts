import type { EventRecorder } from '../../kubernetes/event-recorder.ts';
import { KubeError, type KubeApi } from '../../kubernetes/kube-api.ts';
import type { KubeObject } from '../../kubernetes/objects.ts';
import type { Reflector } from '../../kubernetes/reflector.ts';
import type { WorkQueue } from '../../kubernetes/work-queue.ts';
import { iqnOf, ISCSI_PORT, replicaName, targetName, VOLUME_LABEL } from './names.ts';
import type { VolumeObjects } from './volume-objects.ts';
import {
  VOLUME_RESOURCES,
  type VolumeResource,
  type VolumeResourceStatus,
} from './volume-resource.ts';
import { votersOf } from './voters.ts';

export interface Deployment extends KubeObject {
  readonly status?: { readonly availableReplicas?: number };
}

export interface RecordControllerOptions {
  readonly api: KubeApi;
  readonly wallClock: () => Date;
  readonly records: Reflector<VolumeResource>;
  readonly deployments: Reflector<Deployment>;
  readonly services: Reflector<KubeObject>;
  readonly namespace: string;
  readonly queue: WorkQueue;
  readonly objects: VolumeObjects;
  readonly events: EventRecorder;
}

/**
 * Keeps the objects of each recorded volume as its record says: whoever deletes a Service, scales a
 * Deployment or edits an image finds it as it was, with an event. Tells the state of the volume in
 * its status. Keys are names of volumes.
 */
export class RecordController {
  readonly #options: RecordControllerOptions;
  /** Which generation of a record was brought about. */
  readonly #applied = new Map<string, number>();
  /** Volumes of which an object was deleted or changed by somebody. */
  readonly #drifted = new Map<string, string>();

  constructor(options: RecordControllerOptions) {
    this.#options = options;
    const { records, deployments, services, queue } = options;
    records.onChange((_before, after) => {
      if (after !== null) queue.add(after.metadata.name);
    });
    const own = (before: KubeObject | null, after: KubeObject | null): void => {
      const object = after ?? before;
      const volume = object?.metadata.labels?.[VOLUME_LABEL];
      if (object === null || volume === undefined) return;
      const gone = before !== null && after === null;
      const changed = before !== null && before.metadata.generation !== after?.metadata.generation;
      if (gone || changed) this.#drifted.set(volume, `${object.kind} ${object.metadata.name}`);
      queue.add(volume);
    };
    deployments.onChange(own);
    services.onChange(own);
  }

  async reconcile(name: string): Promise<void> {
    const { records, namespace, objects, events } = this.#options;
    const record = records.get(`${namespace}/${name}`);
    if (record === undefined || record.metadata.deletionTimestamp !== undefined) {
      this.#applied.delete(name);
      this.#drifted.delete(name);
      return;
    }
    const { generation = 0 } = record.metadata;
    const drifted = this.#drifted.get(name);
    let portal = record.status?.portal;
    if (drifted !== undefined || this.#applied.get(name) !== generation || portal === undefined) {
      this.#drifted.delete(name);
      if (drifted !== undefined && this.#applied.get(name) === generation) {
        const words = `${drifted} was changed or removed by somebody; it is made again as recorded.`;
        events.event(record, 'Warning', 'DriftRepaired', words);
      }
      // The address that its PersistentVolume names does not change any more.
      const known = portal === undefined ? null : portal.slice(0, portal.lastIndexOf(':'));
      const address = await objects.ensureRecorded(name, known);
      if (address === null) return;
      portal = `${address}:${ISCSI_PORT}`;
      this.#applied.set(name, generation);
    }
    await this.#tell(record, portal);
  }

  async #tell(record: VolumeResource, portal: string): Promise<void> {
    const { api, wallClock } = this.#options;
    const { name, generation } = record.metadata;
    const available = (deployment: string): boolean =>
      (this.#deployment(deployment)?.status?.availableReplicas ?? 0) > 0;
    const voters = votersOf(record.spec.replicas);
    const missing = voters.filter(({ index }) => !available(replicaName(name, index)));
    const serving = available(targetName(name));
    const before = record.status;
    const phase = !serving
      ? before?.phase === undefined || before.phase === 'Pending'
        ? 'Pending'
        : 'Unavailable'
      : missing.length === 0
        ? 'Healthy'
        : 'Degraded';
    const message = serving
      ? missing.length === 0
        ? 'all replicas run'
        : `replica ${missing.map(({ index }) => index).join(', ')} does not run`
      : 'the target does not serve yet: see its pod';
    const ready = serving ? ('True' as const) : ('False' as const);
    const old = before?.conditions?.[0];
    const status: VolumeResourceStatus = {
      phase,
      portal,
      iqn: iqnOf(name),
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      conditions: [
        {
          type: 'Ready',
          status: ready,
          reason: phase,
          message,
          lastTransitionTime:
            old?.status === ready ? old.lastTransitionTime : wallClock().toISOString(),
        },
      ],
    };
    if (JSON.stringify(status) === JSON.stringify(ordered(before))) return;
    const { apiVersion, kind, metadata } = record;
    const named = { namespace: metadata.namespace ?? 'default', name };
    const object = { apiVersion, kind, metadata: named, status } as unknown as VolumeResource;
    try {
      await api.apply(VOLUME_RESOURCES, object, 'status');
    } catch (error) {
      if (!(error instanceof KubeError && error.isNotFound)) throw error;
    }
  }

  #deployment(name: string): Deployment | undefined {
    return this.#options.deployments.get(`${this.#options.namespace}/${name}`);
  }
}

/** The fields in the order in which they are made here. */
const ordered = (status: VolumeResourceStatus | undefined): object | null => {
  if (status === undefined) return null;
  const { phase, portal, iqn, observedGeneration, conditions = [] } = status;
  return {
    phase,
    portal,
    iqn,
    ...(observedGeneration === undefined ? {} : { observedGeneration }),
    conditions: conditions.map((condition) => ({
      type: condition.type,
      status: condition.status,
      reason: condition.reason,
      message: condition.message,
      lastTransitionTime: condition.lastTransitionTime,
    })),
  };
};
