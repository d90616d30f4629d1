import { chooseNodes, type Fleet } from './placement.ts';
import {
  majorityOf,
  needsWitness,
  runningMembers,
  wantedMembers,
  withMember,
  withState,
} from './members.ts';
import type { VolumeMember, VolumeResource, VolumeResourceSpec } from './volume-resource.ts';

type Members = readonly VolumeMember[];

export interface PlanFacts {
  readonly fleet: Fleet;
  /** By id, what the target says of each member; null: it does not answer. */
  readonly modes: ReadonlyMap<string, 'in-sync' | 'syncing' | 'offline'> | null;
  /** How long the node has been lost; null: it is there. */
  readonly lostMs: (node: string) => number | null;
  readonly replaceAfterMs: number;
}

export interface PlanEvent {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
}

export interface Plan {
  /** The very same list where nothing is to be changed. */
  readonly members: Members;
  readonly events: readonly PlanEvent[];
  /** Why the volume is not what its record asks for, in words; null: nothing stands against it. */
  readonly problem: string | null;
}

/** Who shall keep the volume: from its record, the nodes, and what its target says. */
export const planMembers = (record: VolumeResource, facts: PlanFacts): Plan => {
  const { members } = record.spec;
  if (members.length === 0) {
    const first = firstMembers(record.spec, facts.fleet);
    return 'reason' in first
      ? { members, events: [], problem: first.reason }
      : { members: first.members, events: [], problem: null };
  }
  const counted = withCount(record, facts);
  return counted.members !== members || counted.problem !== null
    ? counted
    : withoutLost(record, facts);
};

/** Whether there is nothing to plan: then nobody has to be asked. */
export const isAsAsked = (record: VolumeResource, lostMs: PlanFacts['lostMs']): boolean => {
  const { replicas } = record.spec;
  const wanted = wantedMembers(record);
  const witnesses = wanted.filter(({ role }) => role === 'witness').length;
  return (
    wanted.length - witnesses === replicas &&
    witnesses === (needsWitness(replicas) ? 1 : 0) &&
    wanted.every(({ node }) => lostMs(node) === null)
  );
};

/** All of a new volume, or why they cannot be. */
export const firstMembers = (
  spec: VolumeResourceSpec,
  fleet: Fleet,
): { readonly members: Members } | { readonly reason: string } => {
  const { replicas, topologyKey, selectedNode = null } = spec;
  const count = replicas + (needsWitness(replicas) ? 1 : 0);
  const { nodes, selectedFits } = chooseNodes(
    { ...requestOf(spec), count, selectedNode, taken: [] },
    fleet,
  );
  if (!selectedFits && selectedNode !== null) {
    return {
      reason: `No copy can be on node ${selectedNode}, which was selected for the pod: it is not ready, not schedulable, or outside of the pool or the allowed topologies.`,
    };
  }
  if (nodes.length < count) {
    const copies = replicas === 1 ? 'copy' : 'copies';
    const witness = count > replicas ? ' and a witness' : '';
    return {
      reason: `The volume is to have ${replicas} ${copies}${witness} on nodes that differ in ${topologyKey}, and ${nodes.length} such nodes are ready in pool ${fleet.pool.metadata.name}; add nodes, or write a smaller number as "replicas".`,
    };
  }
  let members: Members = [];
  for (const [at, node] of nodes.entries()) {
    members = withMember(members, at < replicas ? 'data' : 'witness', node);
  }
  return { members };
};

const requestOf = ({ topologyKey, allowedTopologies = [] }: VolumeResourceSpec) => ({
  topologyKey,
  allowedTopologies,
});

/** As many copies as the record says, and a witness where their number is even. */
const withCount = (record: VolumeResource, facts: PlanFacts): Plan => {
  const { replicas } = record.spec;
  const before = record.spec.members;
  const events: PlanEvent[] = [];
  let members = before;
  const copies = wantedMembers(record).filter(({ role }) => role === 'data');
  if (copies.length > replicas) {
    const { modes } = facts;
    if (modes === null) {
      const problem = `${copies.length - replicas} of ${copies.length} copies shall go; which one is decided when the target answers`;
      return { members: before, events, problem };
    }
    for (const { id, index, node } of leavers(copies, copies.length - replicas, facts)) {
      members = withState(members, id, 'Leaving');
      events.push(normal('ReplicaLeaving', `Replica ${index} on ${node} shall leave.`));
    }
  }
  members = withoutSpareWitness(members, replicas);
  const added = withCopies({ ...record, spec: { ...record.spec, members } }, facts);
  if ('reason' in added) return { members: before, events: [], problem: added.reason };
  return { members: added.members, events: [...events, ...added.events], problem: null };
};

const withoutSpareWitness = (members: Members, replicas: number): Members => {
  const witness = members.find(({ role, state }) => role === 'witness' && state === undefined);
  return witness === undefined || needsWitness(replicas)
    ? members
    : withState(members, witness.id, 'Leaving');
};

const withCopies = (
  record: VolumeResource,
  facts: PlanFacts,
): { members: Members; events: readonly PlanEvent[] } | { reason: string } => {
  const { replicas } = record.spec;
  let { members } = record.spec;
  const events: PlanEvent[] = [];
  for (const role of ['data', 'witness'] as const) {
    const wanted = role === 'data' ? replicas : needsWitness(replicas) ? 1 : 0;
    for (;;) {
      const present = members.filter((each) => each.role === role && each.state === undefined);
      if (present.length >= wanted) break;
      // One that was about to leave stays.
      const leaving = members.find(
        (each) =>
          each.role === role && each.state === 'Leaving' && facts.lostMs(each.node) === null,
      );
      if (leaving !== undefined) {
        members = members.map((each) => (each === leaving ? staying(each) : each));
        continue;
      }
      const node = freeNode({ ...record, spec: { ...record.spec, members } }, role, facts);
      if (node === null) return { reason: nowhere(record, role) };
      members = withMember(members, role, node);
      events.push(normal('ReplicaAdded', `A ${wordOf(role)} is added on ${node}.`));
    }
  }
  return { members, events };
};

/** A copy on a node that is lost for good is made anew on another node, one at a time. */
const withoutLost = (record: VolumeResource, facts: PlanFacts): Plan => {
  const { members } = record.spec;
  const unchanged = (problem: string | null): Plan => ({ members, events: [], problem });
  const wanted = wantedMembers(record);
  const lost = wanted.filter(({ node }) => facts.lostMs(node) !== null);
  if (lost.length === 0) return unchanged(null);
  const words = lost.map(({ index, node }) => `replica ${index} on ${node}`).join(', ');
  const due = lost.find(({ node }) => (facts.lostMs(node) ?? 0) >= facts.replaceAfterMs);
  if (due === undefined) {
    const minutes = Math.round(facts.replaceAfterMs / 60_000);
    return unchanged(`lost with its node: ${words}; made anew elsewhere after ${minutes} min`);
  }
  const { id, index, role, node } = due;
  if (members.some(({ state }) => state === 'Leaving')) {
    return unchanged(`lost with its node: ${words}; another member leaves first`);
  }
  const { modes } = facts;
  if (modes === null) return unchanged(`lost with its node: ${words}; the target does not answer`);
  // The node is cut off from the cluster, not from its target.
  if (modes.get(id) === 'in-sync') return unchanged(null);
  const others = wanted.filter((each) => each.id !== id && modes.get(each.id) === 'in-sync');
  const needed = majorityOf(wanted.length);
  if (others.length < needed || !others.some((each) => each.role === 'data')) {
    return unchanged(
      `lost with its node: ${words}; not replaced while ${others.length} of the others are in sync and ${needed} have to be`,
    );
  }
  const other = freeNode(record, role, facts);
  if (other === null) return unchanged(`lost with its node: ${words}; ${nowhere(record, role)}`);
  const minutes = Math.floor((facts.lostMs(node) ?? 0) / 60_000);
  const message = `Node ${node} has been lost for ${minutes} min: replica ${index} is made anew on ${other}.`;
  return {
    members: withMember(withState(members, id, 'Leaving'), role, other),
    events: [{ type: 'Warning', reason: 'ReplicaReplaced', message }],
    problem: null,
  };
};

/** Who is behind goes first, then the youngest. */
const leavers = (copies: Members, count: number, { modes, lostMs }: PlanFacts): Members => {
  const worth = ({ id, node }: VolumeMember): number =>
    modes?.get(id) === 'in-sync' ? 2 : lostMs(node) === null ? 1 : 0;
  return [...copies].sort((a, b) => worth(a) - worth(b) || b.index - a.index).slice(0, count);
};

/**
 * Not beside another member; only where one of the other role leaves, which is for the moment
 * between two records, when there are as many nodes as members.
 */
const freeNode = (
  record: VolumeResource,
  role: VolumeMember['role'],
  { fleet }: PlanFacts,
): string | null => {
  const running = runningMembers(record);
  const passes = (member: VolumeMember): boolean =>
    member.state === 'Leaving' && member.role !== role;
  const { nodes } = chooseNodes(
    {
      ...requestOf(record.spec),
      count: 1,
      selectedNode: null,
      taken: running.filter((member) => !passes(member)).map(({ node }) => node),
      avoided: running.map(({ node }) => node),
    },
    fleet,
  );
  return nodes[0] ?? null;
};

const staying = ({ id, index, role, node }: VolumeMember): VolumeMember => ({
  id,
  index,
  role,
  node,
});

const wordOf = (role: VolumeMember['role']): string => (role === 'data' ? 'replica' : 'witness');

const nowhere = ({ spec }: VolumeResource, role: VolumeMember['role']): string =>
  `there is no node for another ${wordOf(role)}: it has to be ready, in pool ${spec.pool}, and differ from the others in ${spec.topologyKey}`;

const normal = (reason: string, message: string): PlanEvent => ({
  type: 'Normal',
  reason,
  message,
});
