import type { EventRecorder } from '../../kubernetes/event-recorder.ts';
import type { KubeObject } from '../../kubernetes/objects.ts';
import type { Reflector } from '../../kubernetes/reflector.ts';
import type { TargetStatus } from '../local/target-status.ts';
import { runningMembers } from './members.ts';
import { replicaName, targetName } from './names.ts';
import type { Targets } from './targets.ts';
import type { VolumeObjects } from './volume-objects.ts';
import type { VolumeResource } from './volume-resource.ts';
import { replicaOf } from './volume-status.ts';

export interface Deployment extends KubeObject {
  readonly status?: {
    readonly observedGeneration?: number;
    readonly replicas?: number;
    readonly updatedReplicas?: number;
    readonly availableReplicas?: number;
  };
}

export interface RollOutOptions {
  readonly namespace: string;
  readonly deployments: Reflector<Deployment>;
  readonly objects: VolumeObjects;
  readonly targets: Targets;
  readonly events: EventRecorder;
}

/**
 * Another image, or anything else in a template, starts pods anew: one at a time, the target last,
 * and each only while the volume has everything in sync, so that it serves through all of it. A new
 * image that does not work stops at the first replica. What does not serve anyway waits for nobody.
 */
export class RollOut {
  readonly #options: RollOutOptions;

  constructor(options: RollOutOptions) {
    this.#options = options;
  }

  /** At most one step. In words, what is left to do; null: nothing. */
  async step(record: VolumeResource, address: string | null): Promise<string | null> {
    const { objects, targets, events } = this.#options;
    const { name } = record.metadata;
    const outdated = objects.outdated(name);
    if (outdated.length === 0) return null;
    // What was said a moment ago may be of before the last step.
    const target = address === null ? null : await targets.status(address);
    const next = this.#next(record, outdated, target);
    if (next === null) {
      return `${words(record, outdated)} to be started anew with changed settings, one at a time, when all copies are in sync`;
    }
    if (await objects.update(record, next)) {
      const what = words(record, [next]);
      const message = `${what} started anew with changed settings; ${outdated.length - 1} more to follow.`;
      events.event(record, 'Normal', 'RollingOut', message);
    }
    return `${words(record, outdated)} being started anew with changed settings, one at a time`;
  }

  #next(
    record: VolumeResource,
    outdated: readonly string[],
    target: TargetStatus | null,
  ): string | null {
    const { namespace, deployments } = this.#options;
    const { name } = record.metadata;
    const members = runningMembers(record);
    const known = (own: string): Deployment | undefined => deployments.get(`${namespace}/${own}`);
    const idle = outdated.find((own) => {
      if ((known(own)?.status?.availableReplicas ?? 0) > 0) return false;
      const member = members.find(({ index }) => replicaName(name, index) === own);
      if (target === null) return true;
      return (
        member !== undefined && replicaOf({ record, namespace, target }, member)?.mode === 'offline'
      );
    });
    if (idle !== undefined) return idle;
    const isWhole =
      target?.state === 'healthy' &&
      members.every(
        (member) => replicaOf({ record, namespace, target }, member)?.mode === 'in-sync',
      );
    const all = [...members.map(({ index }) => replicaName(name, index)), targetName(name)];
    const isSettled = all.every((own) => {
      const least = this.#options.objects.generation(record, own);
      const deployment = known(own);
      return deployment !== undefined && isRolledOut(deployment, least);
    });
    return isWhole && isSettled ? (outdated[0] ?? null) : null;
  }
}

/** One pod, of the newest template, and ready. */
const isRolledOut = ({ metadata, status }: Deployment, leastGeneration: number): boolean => {
  const { generation = 0 } = metadata;
  return (
    generation >= leastGeneration &&
    (status?.observedGeneration ?? 0) >= generation &&
    status?.replicas === 1 &&
    status.updatedReplicas === 1 &&
    status.availableReplicas === 1
  );
};

const words = (record: VolumeResource, names: readonly string[]): string => {
  const { name } = record.metadata;
  const parts = names.map((own) =>
    own === targetName(name) ? 'the target' : own.replace(`${name}-rep-`, 'replica '),
  );
  return `${parts.join(', ')} ${parts.length === 1 ? 'is' : 'are'}`;
};
