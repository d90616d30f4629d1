import { isDeepStrictEqual } from 'node:util';
import type { EventRecorder } from '../kubernetes/event-recorder.ts';
import { setFinalizer } from '../kubernetes/finalizer.ts';
import { KubeError, type KubeApi } from '../kubernetes/kube-api.ts';
import { keyOf } from '../kubernetes/objects.ts';
import { formatQuantity } from '../kubernetes/quantity.ts';
import type { Reflector } from '../kubernetes/reflector.ts';
import type { WorkQueue } from '../kubernetes/work-queue.ts';
import { targetOf, type Targets } from '../orchestrator/kubernetes/targets.ts';
import type { VolumeObjects } from '../orchestrator/kubernetes/volume-objects.ts';
import { isCopied, type VolumeResource } from '../orchestrator/kubernetes/volume-resource.ts';
import { Problem } from '../problem.ts';
import { ourVolumeOf } from './clone-source.ts';
import { Refusal } from './parameters.ts';
import {
  SNAPSHOT_FINALIZER,
  SNAPSHOTS,
  targetNameOf,
  type SnapshotResource,
  type SnapshotStatus,
} from './snapshot-resource.ts';

export interface SnapshotControllerOptions {
  readonly api: KubeApi;
  readonly snapshots: Reflector<SnapshotResource>;
  readonly records: Reflector<VolumeResource>;
  readonly queue: WorkQueue;
  readonly objects: VolumeObjects;
  readonly targets: Targets;
  readonly events: EventRecorder;
  readonly wallClock: () => Date;
}

/** A claim that is not bound yet, a target that does not answer: looked at again this often. */
const AGAIN_MS = 10_000;
/** Clones that are being made of a snapshot keep it. */
const IN_USE_MS = 1_000;

/**
 * Takes a snapshot for each OpenEBSSnapshot, once, and removes it when that is deleted. A snapshot
 * is part of its volume and goes with it, which is told in the status. Keys are those of snapshots.
 */
export class SnapshotController {
  readonly #options: SnapshotControllerOptions;

  constructor(options: SnapshotControllerOptions) {
    this.#options = options;
    const { snapshots, records, queue } = options;
    snapshots.onChange((_before, after) => {
      if (after !== null) queue.add(keyOf(after));
    });
    records.onChange((before, after) => {
      if (before === null || (after !== null && after.metadata.deletionTimestamp === undefined)) {
        return;
      }
      for (const snapshot of snapshots.values()) {
        if (snapshot.status?.volume === before.metadata.name) queue.add(keyOf(snapshot));
      }
    });
  }

  /** Rejects when it has to be tried again. */
  async reconcile(key: string): Promise<void> {
    const { snapshots, queue, events } = this.#options;
    const snapshot = snapshots.get(key);
    if (snapshot === undefined) return;
    try {
      if (snapshot.metadata.deletionTimestamp !== undefined) await this.#remove(key, snapshot);
      else if (snapshot.status?.volume === undefined) await this.#begin(snapshot);
      else await this.#take(snapshot, snapshot.status.volume);
    } catch (error) {
      if (!(error instanceof Refusal || error instanceof Problem)) throw error;
      const deletes = snapshot.metadata.deletionTimestamp !== undefined;
      const reason = deletes ? 'SnapshotFailedDelete' : 'SnapshotFailed';
      events.event(snapshot, 'Warning', reason, `${sentence(error.message)} It is tried again.`);
      if (!deletes) {
        const { volume } = snapshot.status ?? {};
        const known = { ready: false, ...(volume === undefined ? {} : { volume }) };
        await this.#tell(snapshot, known, 'Waiting', error.message);
      }
      queue.addAfter(key, AGAIN_MS);
    }
  }

  /** Which volume, written down before anything is made there: by that it is found again. */
  async #begin(snapshot: SnapshotResource): Promise<void> {
    const { api } = this.#options;
    const { namespace = '' } = snapshot.metadata;
    const held = await setFinalizer(api, SNAPSHOTS, snapshot, SNAPSHOT_FINALIZER, true);
    if (held === null) return;
    const { metadata } = await ourVolumeOf(api, namespace, snapshot.spec.claim);
    const known = { ready: false, volume: metadata.name };
    await this.#tell(held, known, 'Taking', 'the snapshot is taken');
  }

  async #take(snapshot: SnapshotResource, volume: string): Promise<void> {
    const { objects, targets } = this.#options;
    const record = await objects.standing(volume);
    const known = { volume, ...sizeAndTime(snapshot) };
    if (record === null) {
      const words = `volume ${volume} is gone, and its snapshots with it`;
      await this.#tell(snapshot, { ...known, ready: false }, 'VolumeGone', words);
      return;
    }
    if (snapshot.status?.ready === true) return;
    const at = targetOf(record);
    const name = targetNameOf(snapshot);
    await targets.takeSnapshot(at, name);
    const taken = (await targets.snapshots(at)).find((each) => each.name === name);
    const status = at.address === null ? null : await targets.status(at.address);
    if (taken === undefined || status?.sizeBytes == null) {
      throw new Refusal(`the target of volume ${volume} does not answer`);
    }
    // A volume only grows: what it has now is at least what it had when the snapshot was taken.
    const size = formatQuantity(BigInt(status.sizeBytes));
    const whole = { ready: true, volume, size, created: taken.createdAt };
    await this.#tell(snapshot, whole, 'Taken', 'clones can be made of it');
    const words = `Snapshot of claim ${snapshot.spec.claim} taken, ${size}.`;
    this.#options.events.event(snapshot, 'Normal', 'SnapshotTaken', words);
  }

  async #remove(key: string, snapshot: SnapshotResource): Promise<void> {
    const { api, objects, records, queue, targets } = this.#options;
    const volume = snapshot.status?.volume;
    if (!(snapshot.metadata.finalizers ?? []).includes(SNAPSHOT_FINALIZER)) return;
    if (volume !== undefined) {
      const name = targetNameOf(snapshot);
      const user = [...records.values()].find(
        (each) =>
          each.spec.source?.volume === volume &&
          each.spec.source.snapshot === name &&
          !isCopied(each),
      );
      if (user !== undefined) {
        const words = `Volume ${user.metadata.name} is being made of it; it goes when that is whole.`;
        this.#options.events.event(snapshot, 'Normal', 'InUse', words);
        queue.addAfter(key, IN_USE_MS);
        return;
      }
      const record = await objects.standing(volume);
      if (record !== null) await targets.dropSnapshot(targetOf(record), name);
    }
    await setFinalizer(api, SNAPSHOTS, snapshot, SNAPSHOT_FINALIZER, false);
  }

  async #tell(
    { apiVersion, kind, metadata, status: before }: SnapshotResource,
    known: Omit<SnapshotStatus, 'conditions'>,
    reason: string,
    message: string,
  ): Promise<void> {
    const last = before?.conditions[0];
    const status = known.ready ? 'True' : 'False';
    const lastTransitionTime =
      last?.status === status ? last.lastTransitionTime : this.#options.wallClock().toISOString();
    const condition = { type: 'Ready', status, reason, message, lastTransitionTime } as const;
    const told: SnapshotStatus = { ...known, conditions: [condition] };
    if (isDeepStrictEqual(told, before)) return;
    const { namespace = '', name, uid = '' } = metadata;
    try {
      const where = { namespace, name, uid };
      const object = { apiVersion, kind, metadata: where, status: told };
      await this.#options.api.apply(SNAPSHOTS, object as unknown as SnapshotResource, 'status');
    } catch (error) {
      // It is gone, or another one of this name is there by now.
      if (!(error instanceof KubeError && (error.isNotFound || error.isConflict))) throw error;
    }
  }
}

const sizeAndTime = ({ status }: SnapshotResource): Pick<SnapshotStatus, 'size' | 'created'> => ({
  ...(status?.size === undefined ? {} : { size: status.size }),
  ...(status?.created === undefined ? {} : { created: status.created }),
});

const sentence = (words: string): string => (/[.]$/.test(words) ? words : `${words}.`);
