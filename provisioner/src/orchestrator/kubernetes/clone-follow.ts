import { randomUUID } from 'node:crypto';
import { hostOf } from './cluster-node.ts';
import { withState } from './members.ts';
import { chooseNodes, type Fleet } from './placement.ts';
import type { VolumeMember, VolumeResource } from './volume-resource.ts';

export interface CloneMove {
  readonly from: VolumeMember;
  readonly to: VolumeMember;
  /** Of the clone, with the new one; the old one has departed, and its directory goes some day. */
  readonly members: readonly VolumeMember[];
}

/**
 * Where a copy of a clone is made instead of on a node that is lost: beside a copy that the origin
 * has elsewhere by now. Null: the origin still has its copy there, too, or none that would do.
 * Nothing of a clone has started before all its copies are whole, so none of them is missed.
 */
export const followOrigin = (
  clone: VolumeResource,
  from: VolumeMember,
  origin: VolumeResource,
  facts: {
    readonly fleet: Fleet;
    /** Whether that copy of the origin holds everything, as its target says now. */
    readonly isWhole: (member: VolumeMember) => boolean;
  },
): CloneMove | null => {
  const { members, topologyKey, allowedTopologies = [] } = clone.spec;
  const stays = origin.spec.members.some(
    ({ index, node, state }) => index === from.index && node === from.node && state === undefined,
  );
  if (stays) return null;
  const taken = members.flatMap(({ id, state, node }) =>
    id === from.id || state !== undefined ? [] : [node],
  );
  for (const copy of origin.spec.members) {
    const { index, role, node, state } = copy;
    if (role !== 'data' || state !== undefined) continue;
    if (members.some((member) => member.index === index) || !facts.isWhole(copy)) continue;
    const nodes = facts.fleet.nodes.filter((each) => [node, ...taken].includes(hostOf(each)));
    const request = { count: 1, topologyKey, selectedNode: null, allowedTopologies, taken };
    if (!chooseNodes(request, { ...facts.fleet, nodes }).nodes.includes(node)) continue;
    const to: VolumeMember = { id: randomUUID(), index, role, node };
    return { from, to, members: [...withState(members, from.id, 'Departed'), to] };
  }
  return null;
};
