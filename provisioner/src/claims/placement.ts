import type { StoragePool, VolumeResource } from '../orchestrator/kubernetes/volume-resource.ts';
import type { VolumeRequest } from './claim.ts';
import type { Node } from './contract.ts';
import { Refusal } from './parameters.ts';

export interface Placement {
  readonly index: number;
  readonly node: string;
}

const HOSTNAME = 'kubernetes.io/hostname';
const NOT_SCHEDULED: ReadonlySet<string> = new Set(['NoSchedule', 'NoExecute']);

/**
 * Chooses the node of each copy before anything is made: the first one beside the pod that waits
 * for the volume, the others where the fewest copies are already, no two with the same value of the
 * topology key. Left to the scheduler a copy would have to be tied to its node afterwards, which
 * restarts it. Throws Refusal, with what is missing.
 */
export const place = (
  request: VolumeRequest,
  voters: number,
  cluster: {
    readonly nodes: Iterable<Node>;
    readonly records: Iterable<VolumeResource>;
    readonly pool: StoragePool;
  },
): readonly Placement[] => {
  const { topologyKey } = request.parameters;
  const copies = new Map<string, number>();
  for (const { spec } of cluster.records) {
    for (const { node } of spec.placements) copies.set(node, (copies.get(node) ?? 0) + 1);
  }
  const fit = [...cluster.nodes]
    .filter((node) => takesCopies(node, request, cluster.pool))
    .sort((a, b) => {
      const [first, second] = [hostOf(a), hostOf(b)];
      if (first === request.selectedNode) return -1;
      if (second === request.selectedNode) return 1;
      return (copies.get(first) ?? 0) - (copies.get(second) ?? 0) || (first < second ? -1 : 1);
    });
  const taken = new Set<string>();
  const placements: Placement[] = [];
  for (const node of fit) {
    const value = node.metadata.labels?.[topologyKey];
    if (value === undefined || taken.has(value)) continue;
    taken.add(value);
    placements.push({ index: placements.length + 1, node: hostOf(node) });
    if (placements.length === voters) break;
  }
  if (request.selectedNode !== null && placements[0]?.node !== request.selectedNode) {
    throw new Refusal(
      `No copy can be on node ${request.selectedNode}, which was selected for the pod: it is not ready, not schedulable, or outside of the pool or the allowed topologies.`,
    );
  }
  if (placements.length < voters) {
    const { replicas } = request.parameters;
    const witness = voters > replicas ? ' and a witness' : '';
    throw new Refusal(
      `The class asks for ${replicas} ${replicas === 1 ? 'copy' : 'copies'}${witness} on nodes that differ in ${topologyKey}, and ${placements.length} such nodes are ready in pool ${cluster.pool.metadata.name}; add nodes, or write a smaller number in its parameter "replicas".`,
    );
  }
  return placements;
};

const hostOf = ({ metadata }: Node): string => metadata.labels?.[HOSTNAME] ?? metadata.name;

const takesCopies = (
  { metadata, spec, status }: Node,
  { allowedTopologies }: VolumeRequest,
  pool: StoragePool,
): boolean => {
  const labels = metadata.labels ?? {};
  if (spec?.unschedulable === true) return false;
  if (spec?.taints?.some(({ effect }) => NOT_SCHEDULED.has(effect)) === true) return false;
  const ready = status?.conditions?.find(({ type }) => type === 'Ready');
  if (ready !== undefined && ready.status !== 'True') return false;
  const inPool = Object.entries(pool.spec.nodeSelector ?? {}).every(
    ([key, value]) => labels[key] === value,
  );
  if (!inPool) return false;
  if (allowedTopologies.length === 0) return true;
  return allowedTopologies.some((term) =>
    term.every(({ key, values }) => values.includes(labels[key] ?? '')),
  );
};
