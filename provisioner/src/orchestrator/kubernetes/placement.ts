import { hostOf, takesPods, type ClusterNode } from './cluster-node.ts';
import type { StoragePool, TopologyTerm } from './volume-resource.ts';

export interface PlacementRequest {
  readonly count: number;
  readonly topologyKey: string;
  /** Has to be among the chosen; null: nobody has said. */
  readonly selectedNode: string | null;
  readonly allowedTopologies: readonly TopologyTerm[];
  /** Hosts whose value of the topology key is taken already. */
  readonly taken: readonly string[];
  /** Hosts that are only chosen where no other is left. */
  readonly avoided?: readonly string[];
}

export interface Fleet {
  readonly nodes: readonly ClusterNode[];
  /** How many members each node has already, by its name. */
  readonly copies: ReadonlyMap<string, number>;
  readonly pool: StoragePool;
}

/** `nodes` may be fewer than were asked for: then nothing else fits. */
export interface Placement {
  readonly nodes: readonly string[];
  /** False: the selected node can keep no copy. */
  readonly selectedFits: boolean;
}

/**
 * Chooses nodes for copies before anything is made: the first one beside the pod that waits for
 * the volume, the others where the fewest copies are already, no two with the same value of the
 * topology key. Left to the scheduler a copy would have to be tied to its node afterwards, which
 * restarts it.
 */
export const chooseNodes = (request: PlacementRequest, fleet: Fleet): Placement => {
  const { topologyKey, selectedNode, count } = request;
  const avoided = new Set(request.avoided);
  const rank = (host: string): number =>
    host === selectedNode ? -1 : (fleet.copies.get(host) ?? 0) + (avoided.has(host) ? 1e6 : 0);
  const fit = fleet.nodes
    .filter((node) => takesCopies(node, request, fleet.pool))
    .sort((a, b) => {
      const [first, second] = [hostOf(a), hostOf(b)];
      return rank(first) - rank(second) || (first < second ? -1 : 1);
    });
  const taken = new Set<string>();
  for (const node of fleet.nodes) {
    const value = node.metadata.labels?.[topologyKey];
    if (value !== undefined && request.taken.includes(hostOf(node))) taken.add(value);
  }
  const nodes: string[] = [];
  for (const node of fit) {
    if (nodes.length === count) break;
    const value = node.metadata.labels?.[topologyKey];
    if (value === undefined || taken.has(value) || request.taken.includes(hostOf(node))) continue;
    taken.add(value);
    nodes.push(hostOf(node));
  }
  return { nodes, selectedFits: selectedNode === null || nodes[0] === selectedNode };
};

const takesCopies = (
  node: ClusterNode,
  { allowedTopologies }: PlacementRequest,
  pool: StoragePool,
): boolean => {
  const labels = node.metadata.labels ?? {};
  if (!takesPods(node)) return false;
  const inPool = Object.entries(pool.spec.nodeSelector ?? {}).every(
    ([key, value]) => labels[key] === value,
  );
  if (!inPool) return false;
  if (allowedTopologies.length === 0) return true;
  return allowedTopologies.some(({ matchLabelExpressions }) =>
    matchLabelExpressions.every(({ key, values }) => values.includes(labels[key] ?? '')),
  );
};
