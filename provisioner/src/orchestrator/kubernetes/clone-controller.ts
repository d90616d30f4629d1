import type { Clock } from '../../kubernetes/clock.ts';
import type { EventRecorder } from '../../kubernetes/event-recorder.ts';
import { KubeError, orNull, type KubeApi } from '../../kubernetes/kube-api.ts';
import type { KubeObject } from '../../kubernetes/objects.ts';
import type { Reflector } from '../../kubernetes/reflector.ts';
import { Problem } from '../../problem.ts';
import { followOrigin } from './clone-follow.ts';
import { cloningJob, cloningJobName } from './cloning-job.ts';
import type { ClusterNode } from './cluster-node.ts';
import type { CopyIndex } from './copy-index.ts';
import { wantedMembers } from './members.ts';
import { VOLUME_LABEL } from './names.ts';
import type { NodeIndex } from './node-index.ts';
import { JOBS, type Job } from './pool-job.ts';
import { targetOf, type Targets } from './targets.ts';
import type { VolumeObjects } from './volume-objects.ts';
import {
  VOLUME_RESOURCES,
  type VolumeMember,
  type VolumeResource,
  type VolumeResourceSource,
} from './volume-resource.ts';
import { replicaOf } from './volume-status.ts';

export interface CloneControllerOptions {
  readonly api: KubeApi;
  readonly namespace: string;
  /** Of volumes; whoever hears of a change steps again. */
  readonly jobs: Reflector<Job>;
  readonly nodes: Reflector<ClusterNode>;
  readonly nodeIndex: NodeIndex;
  readonly copies: CopyIndex;
  readonly objects: VolumeObjects;
  readonly targets: Targets;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly wallClock: () => Date;
}

/** What somebody has to mend is looked at again. */
const PROBLEM_MS = 10_000;
/** Nobody tells that the origin has a copy elsewhere by now, and that takes many minutes. */
const LOST_MS = 300_000;

/** What stands against the copy, for people, and when it is looked at again. */
class CannotCopy extends Error {
  override readonly name = 'CannotCopy';
  readonly againMs: number;

  constructor(words: string, againMs = PROBLEM_MS) {
    super(words);
    this.againMs = againMs;
  }
}

/**
 * Brings about what a volume begins with, before anything of it starts: the layer of the snapshot
 * is found at the origin's target and recorded, a Job on each node makes one copy, and only when
 * all of them are whole the record says so. Each step can be repeated. A volume whose origin is
 * lost on the way stays as it is, with an event; it never starts empty.
 */
export class CloneController {
  readonly #options: CloneControllerOptions;
  /** By uid of a Job that has failed, when it is made anew. */
  readonly #againMs = new Map<string, number>();

  constructor(options: CloneControllerOptions) {
    this.#options = options;
  }

  /**
   * One step towards copies that are whole. When to look again, in milliseconds; null: when the
   * record or one of the Jobs has changed.
   */
  async step({ metadata }: VolumeResource): Promise<number | null> {
    const { api, objects } = this.#options;
    return objects.alone(metadata.name, async () => {
      const record = await api.get(VOLUME_RESOURCES, metadata).catch(orNull);
      const source = record?.spec.source;
      if (record == null || source === undefined) return null;
      if (record.metadata.deletionTimestamp !== undefined) return null;
      try {
        if (source.stage === 'Pending') await this.#find(record, source);
        else if (source.stage === 'Copying') await this.#copy(record, source);
        return null;
      } catch (error) {
        if (!(error instanceof CannotCopy || error instanceof Problem)) throw error;
        await this.#tell(record, error.message);
        return error instanceof CannotCopy ? error.againMs : PROBLEM_MS;
      }
    });
  }

  /** The volume is whole: the origin needs the snapshot no more. When to look again; null: done. */
  async finish(record: VolumeResource): Promise<number | null> {
    const { source } = record.spec;
    if (source?.stage !== 'Copied') return null;
    try {
      await this.#options.objects.dropTemporary(record);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      return PROBLEM_MS;
    }
    await this.#advance(record, { stage: 'Done' });
    return null;
  }

  async #find(record: VolumeResource, source: VolumeResourceSource): Promise<void> {
    const { objects, targets } = this.#options;
    const { volume, snapshot, temporary } = source;
    const origin = await objects.standing(volume);
    if (origin === null) {
      throw new CannotCopy(`Volume ${volume}, of which this is to be a copy, is gone.`);
    }
    const place = targetOf(origin);
    if (temporary) await targets.takeSnapshot(place, snapshot);
    const found = (await targets.snapshots(place)).find(({ name }) => name === snapshot);
    if (found === undefined) {
      throw new CannotCopy(
        `Volume ${volume} has no snapshot ${snapshot} any more, of which this is to be a copy.`,
      );
    }
    await this.#advance(record, { layer: found.layer, stage: 'Copying' });
  }

  async #copy(record: VolumeResource, source: VolumeResourceSource): Promise<void> {
    const { api, objects, namespace } = this.#options;
    const { name } = record.metadata;
    const { volume: origin, layer = 0 } = source;
    await this.#endDeparted(record);
    const copies = wantedMembers(record)
      .filter(({ role }) => role === 'data')
      .map((member) => ({ member, job: this.#jobOf(name, member) }));
    const left = copies.filter(({ job }) => !isDone(job));
    if (left.length === 0) {
      await this.#advance(record, { stage: source.temporary ? 'Copied' : 'Done' });
      const ended = copies.map(({ member }) => cloningJobName(name, member.index));
      await Promise.all(ended.map((job) => api.remove(JOBS, { namespace, name: job })));
      return;
    }
    const pool = objects.pool(record.spec.pool);
    const undone = left.filter(({ job }) => job === undefined);
    const isWhole = undone.length === 0 ? null : await this.#wholeCopies(origin);
    const isReady = ({ index, node }: VolumeMember): boolean => isWhole?.(index, node) === true;
    for (const { member } of undone) {
      if (!isReady(member)) continue;
      const work = { member, pool, origin, layer };
      // The watch may be behind.
      await api.create(JOBS, cloningJob(record, work, objects.settings)).catch(unlessThere);
    }
    const failed = left.filter(({ job }) => hasFailed(job));
    for (const { job } of failed) await this.#again(job);
    if (failed.length > 0) {
      const nodes = failed.map(({ member }) => member.node).join(', ');
      throw new CannotCopy(
        `No copy of volume ${origin} could be made on ${nodes}; its pod says why (kubectl -n ${namespace} describe pods -l ${VOLUME_LABEL}=${name}). It is tried again.`,
      );
    }
    const lost = left.flatMap(({ member }) => (this.#lossOf(member.node) === null ? [] : member));
    for (const member of lost) if (await this.#follow(record, member, origin)) return;
    if (lost.length > 0) {
      const words = lost.map(({ node }) => this.#lossOf(node)).join(', and ');
      throw new CannotCopy(
        `${words}. A copy of volume ${origin} is to be made there, of the one that is there, and is waited for. Start the node again; where it is lost for good the copy is made on another node, once volume ${origin} has one there that holds everything (kubectl -n ${namespace} get ov ${origin}).`,
        LOST_MS,
      );
    }
    const waiting = undone.filter(({ member }) => !isReady(member));
    if (waiting.length > 0) {
      const where = waiting.map(({ member }) => member.node).join(', ');
      throw new CannotCopy(
        `The copy of volume ${origin} on ${where} does not hold everything now, so nothing is copied from it yet; it goes on when that copy is in sync again (kubectl -n ${namespace} get ov ${origin}).`,
      );
    }
    await this.#note(record, `its copies are made of ${origin}`);
  }

  /**
   * Which copies of the origin hold everything, by index and node; null: its target does not say.
   * Who was in sync once the snapshot was there holds it as it was decided. A copy that was lost
   * while it was made may hold what an earlier attempt, undone everywhere else, has left.
   */
  async #wholeCopies(of: string): Promise<((index: number, node: string) => boolean) | null> {
    const { namespace, objects, targets } = this.#options;
    const origin = await objects.standing(of);
    const address = origin === null ? null : targetOf(origin).address;
    const target = address === null ? null : await targets.status(address);
    if (origin === null || target === null) return null;
    return (index, node) =>
      origin.spec.members.some(
        (member) =>
          member.index === index &&
          member.node === node &&
          replicaOf({ record: origin, namespace, target }, member)?.mode === 'in-sync',
      );
  }

  /** In words; null: it is there and ready. */
  #lossOf(node: string): string | null {
    const { nodeIndex } = this.#options;
    if (nodeIndex.lostMs(node) === null) return null;
    return `Node ${node} ${nodeIndex.has(node) ? 'is not ready' : 'is gone'}`;
  }

  /** Makes a copy where the origin has one by now, instead of on a lost node. Whether it does. */
  async #follow(record: VolumeResource, from: VolumeMember, of: string): Promise<boolean> {
    const { api, copies, events, namespace, nodes, objects, targets } = this.#options;
    const origin = await objects.standing(of);
    const address = origin === null ? null : targetOf(origin).address;
    const target = address === null ? null : await targets.status(address);
    if (origin === null || target === null) return false;
    const pool = objects.pool(record.spec.pool);
    const move = followOrigin(record, from, origin, {
      fleet: { nodes: [...nodes.values()], copies: copies.byNode, pool },
      isWhole: (member) =>
        replicaOf({ record: origin, namespace, target }, member)?.mode === 'in-sync',
    });
    if (move === null) return false;
    const { metadata } = record;
    try {
      await api.patch(VOLUME_RESOURCES, metadata, [
        { op: 'test', path: '/metadata/generation', value: metadata.generation },
        { op: 'replace', path: '/spec/members', value: move.members },
      ]);
    } catch (error) {
      unlessLate(error);
      return true;
    }
    const words = `Node ${from.node} is lost; the copy that was to be made there is made on ${move.to.node}, where volume ${of} has one by now.`;
    events.event(record, 'Normal', 'CloneMoved', words);
    return true;
  }

  /** Copies that are made elsewhere by now: their pods go before their directories do. */
  async #endDeparted(record: VolumeResource): Promise<void> {
    for (const { metadata } of this.#departing(record)) {
      if (metadata.deletionTimestamp !== undefined) continue;
      await this.#options.api.remove(JOBS, metadata, { foreground: true });
    }
  }

  /** Whether a pod may still write to the directory of a member that has departed. */
  isDeparting(record: VolumeResource): boolean {
    return this.#departing(record).length > 0;
  }

  #departing({ metadata, spec }: VolumeResource): readonly Job[] {
    if (spec.source === undefined) return [];
    const departed = spec.members.filter(({ state }) => state === 'Departed');
    return departed.flatMap((member) => this.#jobOf(metadata.name, member) ?? []);
  }

  /** What was in its way may be mended meanwhile. */
  async #again(job: Job | undefined): Promise<void> {
    const { api, clock } = this.#options;
    if (job === undefined) return;
    const { uid = '' } = job.metadata;
    const dueMs = this.#againMs.get(uid) ?? clock.now() + PROBLEM_MS;
    this.#againMs.set(uid, dueMs);
    if (clock.now() < dueMs) return;
    await api.remove(JOBS, job.metadata, { uid, foreground: true });
    this.#againMs.delete(uid);
  }

  #jobOf(volume: string, { index }: VolumeMember): Job | undefined {
    const { jobs, namespace } = this.#options;
    return jobs.get(`${namespace}/${cloningJobName(volume, index)}`);
  }

  /** Only from the stage that it is in. */
  async #advance(
    { metadata, spec }: VolumeResource,
    change: Partial<VolumeResourceSource>,
  ): Promise<void> {
    const value = { ...spec.source, ...change };
    try {
      await this.#options.api.patch(VOLUME_RESOURCES, metadata, [
        { op: 'test', path: '/spec/source/stage', value: spec.source?.stage },
        { op: 'replace', path: '/spec/source', value },
      ]);
    } catch (error) {
      unlessLate(error);
    }
  }

  /** Also to whoever waits for it. */
  async #tell(record: VolumeResource, words: string): Promise<void> {
    const { events } = this.#options;
    const { claimRef } = record.spec;
    events.event(record, 'Warning', 'CloneWaits', words);
    if (claimRef !== undefined) {
      const { namespace, name, uid } = claimRef;
      const metadata = { namespace, name, uid };
      const claim: KubeObject = { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata };
      events.event(claim, 'Warning', 'ProvisioningFailed', words);
    }
    await this.#note(record, words);
  }

  async #note(
    { apiVersion, kind, metadata, status }: VolumeResource,
    words: string,
  ): Promise<void> {
    const before = status?.conditions?.find(({ type }) => type === 'AsRecorded');
    if (before?.message === words) return;
    const { namespace = '', name } = metadata;
    const condition = {
      ...({ type: 'AsRecorded', status: 'False', reason: 'Copying', message: words } as const),
      lastTransitionTime: before?.lastTransitionTime ?? this.#options.wallClock().toISOString(),
    };
    await this.#options.api.apply(
      VOLUME_RESOURCES,
      {
        ...{ apiVersion, kind, metadata: { namespace, name } },
        status: { phase: 'Pending', conditions: [condition] },
      } as unknown as VolumeResource,
      'status',
    );
  }
}

const isDone = (job: Job | undefined): boolean => (job?.status?.succeeded ?? 0) > 0;

const hasFailed = (job: Job | undefined): boolean =>
  job?.status?.conditions?.some(({ type, status }) => type === 'Failed' && status === 'True') ??
  false;

/** Somebody else has changed the record, or it is gone: its new version is on its way. */
const unlessLate = (error: unknown): void => {
  if (!(error instanceof KubeError && (error.isNotFound || error.status === 422))) throw error;
};

const unlessThere = (error: unknown): void => {
  if (!(error instanceof KubeError && error.reason === 'AlreadyExists')) throw error;
};
