import type { EventRecorder } from '../kubernetes/event-recorder.ts';
import { setFinalizer } from '../kubernetes/finalizer.ts';
import { orNull, type KubeApi } from '../kubernetes/kube-api.ts';
import type { Reflector } from '../kubernetes/reflector.ts';
import type { WorkQueue } from '../kubernetes/work-queue.ts';
import type { ClusterNode } from '../orchestrator/kubernetes/cluster-node.ts';
import { VOLUME_LABEL } from '../orchestrator/kubernetes/names.ts';
import type { Job } from '../orchestrator/kubernetes/pool-job.ts';
import { StillCleaning, type VolumeObjects } from '../orchestrator/kubernetes/volume-objects.ts';
import { isCopied, type VolumeResource } from '../orchestrator/kubernetes/volume-resource.ts';
import { isOurVolume, VOLUME_FINALIZER, VOLUMES, type PersistentVolume } from './contract.ts';

export interface VolumeControllerOptions {
  readonly api: KubeApi;
  readonly volumes: Reflector<PersistentVolume>;
  readonly records: Reflector<VolumeResource>;
  readonly jobs: Reflector<Job>;
  readonly nodes: Reflector<ClusterNode>;
  readonly queue: WorkQueue;
  readonly objects: VolumeObjects;
  readonly events: EventRecorder;
  readonly deleted: (className: string, seconds: number | null) => void;
  readonly now: () => number;
}

/** Frees what is behind a volume that nobody claims any more. Keys are names of volumes. */
export class VolumeController {
  readonly #options: VolumeControllerOptions;
  /** Volumes whose data are being removed: a node that is gone is waited for no more. */
  readonly #cleaning = new Set<string>();

  constructor(options: VolumeControllerOptions) {
    this.#options = options;
    const { volumes, records, jobs, nodes, queue } = options;
    volumes.onChange((before, after) => {
      if (after !== null && isOurVolume(after)) queue.add(after.metadata.name);
      if (after === null && before !== null) this.#cleaning.delete(before.metadata.name);
    });
    jobs.onChange((before, after) => {
      const volume = (after ?? before)?.metadata.labels?.[VOLUME_LABEL];
      if (volume !== undefined && this.#cleaning.has(volume)) queue.add(volume);
    });
    nodes.onChange((_before, after) => {
      if (after === null) for (const volume of this.#cleaning) queue.add(volume);
    });
    // Of a copy that is whole, or given up, its origin is free.
    records.onChange((before, after) => {
      const { source } = (after ?? before)?.spec ?? {};
      const wasCopied = before !== null && isCopied(before);
      const isFree = !wasCopied && (after === null || isCopied(after));
      if (source !== undefined && isFree) queue.add(source.volume);
    });
  }

  /** Rejects when it has to be tried again. */
  async reconcile(name: string): Promise<void> {
    const { api, volumes } = this.#options;
    const volume = volumes.get(name);
    if (volume === undefined || !isOurVolume(volume)) return;
    const deletes = volume.spec?.persistentVolumeReclaimPolicy === 'Delete';
    const { deletionTimestamp } = volume.metadata;
    if (deletes && volume.status?.phase === 'Released') {
      await this.#free(volume);
    } else if (!deletes) {
      await setFinalizer(api, VOLUMES, volume, VOLUME_FINALIZER, false);
    } else if (deletionTimestamp === undefined && volume.status?.phase === 'Bound') {
      await setFinalizer(api, VOLUMES, volume, VOLUME_FINALIZER, true);
    }
  }

  async #free(volume: PersistentVolume): Promise<void> {
    const { api, objects, events, deleted, now } = this.#options;
    const className = volume.spec?.storageClassName ?? '';
    const startedMs = now();
    const { name, uid = '' } = volume.metadata;
    try {
      // Live, before anything that can't be taken back: somebody may have changed the policy.
      const live = await api.get(VOLUMES, { name }).catch(orNull);
      if (live === null || live.metadata.uid !== uid || !isReleased(live)) return;
      const copy = this.#copyInTheMaking(name);
      if (copy !== null) {
        const words = `Volume ${copy} is being made as a copy of this one; it is freed when that is whole, or given up.`;
        events.event(volume, 'Normal', 'InUse', words);
        return;
      }
      this.#cleaning.add(name);
      await objects.remove(name, (node) => {
        const words = `Node ${node} is gone, and the copy that was on it with it; if it comes back, remove the volume's directory there.`;
        events.event(volume, 'Warning', 'NodeGone', words);
      });
      await api.remove(VOLUMES, { name }, { uid });
      const leaving = await api.get(VOLUMES, { name }).catch(orNull);
      if (leaving?.metadata.uid === uid) {
        await setFinalizer(api, VOLUMES, leaving, VOLUME_FINALIZER, false);
      }
      deleted(className, (now() - startedMs) / 1000);
    } catch (error) {
      if (error instanceof StillCleaning) return;
      deleted(className, null);
      const message = `Freeing volume ${name}: ${(error as Error).message}; it is tried again.`;
      events.event(volume, 'Warning', 'VolumeFailedDelete', message);
      throw error;
    }
  }

  #copyInTheMaking(volume: string): string | null {
    for (const record of this.#options.records.values()) {
      if (record.spec.source?.volume === volume && !isCopied(record)) return record.metadata.name;
    }
    return null;
  }
}

const isReleased = (volume: PersistentVolume): boolean =>
  isOurVolume(volume) &&
  volume.spec?.persistentVolumeReclaimPolicy === 'Delete' &&
  volume.status?.phase === 'Released';
