import type { Clock } from '../../kubernetes/clock.ts';
import type { EventRecorder } from '../../kubernetes/event-recorder.ts';
import { KubeError, type KubeApi } from '../../kubernetes/kube-api.ts';
import { parseQuantity } from '../../kubernetes/quantity.ts';
import type { Reflector } from '../../kubernetes/reflector.ts';
import { DEPARTURES, ordersFor } from '../local/orders.ts';
import type { TargetStatus } from '../local/target-status.ts';
import type { ClusterNode } from './cluster-node.ts';
import type { CopyIndex } from './copy-index.ts';
import { isAsAsked, planMembers } from './member-plan.ts';
import { runningMembers, withState } from './members.ts';
import { replicaAddress } from './names.ts';
import type { NodeIndex } from './node-index.ts';
import type { Targets } from './targets.ts';
import type { VolumeObjects } from './volume-objects.ts';
import {
  rebuildRateOf,
  VOLUME_RESOURCES,
  type VolumeMember,
  type VolumeResource,
} from './volume-resource.ts';
import { replicaOf } from './volume-status.ts';

export interface MemberControllerOptions {
  readonly api: KubeApi;
  readonly namespace: string;
  readonly clock: Clock;
  readonly copies: CopyIndex;
  readonly nodes: Reflector<ClusterNode>;
  readonly nodeIndex: NodeIndex;
  readonly replaceAfterMinutes: number;
  readonly objects: VolumeObjects;
  readonly targets: Targets;
  readonly events: EventRecorder;
}

const DEPART_MIN_MS = 1_000;
const DEPART_MAX_MS = 120_000;

/**
 * Members that come and go, in an order in which the volume is safe at each step, and each step can
 * be repeated: the record first, durable; the process of a new one before the target is told; the
 * target before the process of an old one ends, then its directory, then its place in the record.
 */
export class MemberController {
  readonly #options: MemberControllerOptions;

  /** By id of a departed member, when its directory is looked after again. */
  readonly #departing = new Map<string, { readonly dueMs: number; readonly delayMs: number }>();

  constructor(options: MemberControllerOptions) {
    this.#options = options;
  }

  /** A node is there again, or gone: what waits for it is looked after at once. */
  nodeChanged({ spec }: VolumeResource, host: string): void {
    for (const { id, node } of spec.members) if (node === host) this.#departing.delete(id);
  }

  /** 'changed': the record was, and what follows begins with its new version. */
  async plan(
    record: VolumeResource,
    target: TargetStatus | null,
  ): Promise<'changed' | { readonly problem: string | null }> {
    const { namespace, objects, nodes, copies, nodeIndex, replaceAfterMinutes } = this.#options;
    const { events } = this.#options;
    const lostMs = (node: string): number | null => nodeIndex.lostMs(node);
    if (isAsAsked(record, lostMs)) return { problem: null };
    const minutes = record.spec.replaceAfterMinutes ?? replaceAfterMinutes;
    const plan = planMembers(record, {
      fleet: {
        nodes: [...nodes.values()],
        copies: copies.byNode,
        pool: objects.pool(record.spec.pool),
      },
      modes:
        target === null
          ? null
          : new Map(
              runningMembers(record).map((member) => [
                member.id,
                replicaOf({ record, namespace, target }, member)?.mode ?? 'offline',
              ]),
            ),
      lostMs,
      replaceAfterMs: minutes * 60_000,
    });
    if (plan.members === record.spec.members) {
      if (plan.problem !== null) events.event(record, 'Warning', 'NotAsRecorded', plan.problem);
      return { problem: plan.problem };
    }
    if (!(await this.#write(record, plan.members))) return 'changed';
    for (const { type, reason, message } of plan.events) {
      events.event(record, type, reason, message);
    }
    return 'changed';
  }

  /** Gives the target the orders that are missing; `refused`: why it does not take one. */
  async converge(
    record: VolumeResource,
    target: TargetStatus | null,
  ): Promise<{ readonly ordered: boolean; readonly refused: string | null }> {
    const address = addressOf(record);
    if (target === null || address === null) return { ordered: false, refused: null };
    const { namespace, targets } = this.#options;
    const { name } = record.metadata;
    const orders = ordersFor(
      {
        members: runningMembers(record).map(({ id, index, role, state }) => ({
          ...{ id, index, role },
          leaving: state === 'Leaving',
        })),
        sizeBytes: Number(parseQuantity(record.spec.size)),
      },
      target,
      ({ index }) => replicaAddress(name, namespace, index),
    );
    const rebuildBytesPerSecond = rebuildRateOf(record.spec);
    // Not asked of a target that does not know yet what its replicas keep.
    const paces =
      target.settings !== null && target.settings.rebuildBytesPerSecond !== rebuildBytesPerSecond;
    const ordered = orders.replicas !== null || orders.sizeBytes !== null || paces;
    try {
      let refused: string | null = null;
      if (orders.replicas !== null) {
        refused = await targets.order(address, '/v1/replicas', { replicas: orders.replicas });
      }
      if (orders.sizeBytes !== null) {
        const grown = await targets.order(address, '/v1/size', { sizeBytes: orders.sizeBytes });
        refused ??= grown;
      }
      if (paces) {
        const paced = await targets.order(address, '/v1/settings', { rebuildBytesPerSecond });
        refused ??= paced;
      }
      if (orders.gone.length > 0) {
        const replicaIds = orders.gone.map(({ id }) => id);
        const unconfirmed = await targets.order(address, DEPARTURES, { replicaIds });
        let { members } = record.spec;
        for (const id of replicaIds) members = withState(members, id, 'Departed');
        if (unconfirmed === null) await this.#write(record, members);
        refused ??= unconfirmed;
      }
      return { ordered, refused };
    } catch (error) {
      if (error instanceof KubeError) throw error;
      const refused = `the target did not take the order: ${(error as Error).message}`;
      return { ordered, refused };
    }
  }

  /** Removes what departed members have left. When to look again; null: nothing is left to do. */
  async depart(record: VolumeResource): Promise<number | null> {
    const { objects, events, clock } = this.#options;
    const gone: VolumeMember[] = [];
    let nextMs: number | null = null;
    for (const member of record.spec.members.filter(({ state }) => state === 'Departed')) {
      const now = clock.now();
      const last = this.#departing.get(member.id) ?? { dueMs: now, delayMs: DEPART_MIN_MS };
      if (now < last.dueMs) {
        nextMs = Math.min(nextMs ?? Infinity, last.dueMs - now);
        continue;
      }
      const state = await objects.depart(record, member);
      if (state === 'done') {
        gone.push(member);
        this.#departing.delete(member.id);
        continue;
      }
      // A node that is lost may stay so for days.
      const delayMs = Math.min(DEPART_MAX_MS, last.delayMs * 2);
      this.#departing.set(member.id, { dueMs: now + last.delayMs, delayMs });
      nextMs = Math.min(nextMs ?? Infinity, last.delayMs);
      if (state === 'node-gone') {
        const words = `Node ${member.node} is gone; the directory of replica ${member.index} is removed when it is there again.`;
        events.event(record, 'Warning', 'NodeGone', words);
      }
    }
    if (gone.length > 0) {
      await this.#write(
        record,
        record.spec.members.filter(({ id }) => gone.every((each) => each.id !== id)),
      );
      for (const { index, node } of gone) {
        const words = `Replica ${index} has left ${node}, and its data are removed.`;
        events.event(record, 'Normal', 'ReplicaRemoved', words);
      }
    }
    return nextMs;
  }

  /** Only into the version that was decided about; false: there is another one by now. */
  async #write(record: VolumeResource, members: readonly VolumeMember[]): Promise<boolean> {
    const { generation } = record.metadata;
    try {
      await this.#options.api.patch(VOLUME_RESOURCES, record.metadata, [
        { op: 'test', path: '/metadata/generation', value: generation },
        { op: 'replace', path: '/spec/members', value: members },
      ]);
      return true;
    } catch (error) {
      const isLate =
        error instanceof KubeError &&
        (error.isConflict || error.isNotFound || error.status === 422);
      if (!isLate) throw error;
      return false;
    }
  }
}

const addressOf = ({ status }: VolumeResource): string | null => {
  const portal = status?.portal;
  return portal === undefined ? null : portal.slice(0, portal.lastIndexOf(':'));
};
