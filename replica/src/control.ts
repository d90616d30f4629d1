import type { Address, ControlServer, Logger } from './runtime/index.ts';
import { startControlServer } from './runtime/index.ts';
import type { ReplicaMetrics, ReplicaServer } from './server/index.ts';

/** The control API of a replica: what it is, what it remembers, what it did, whom it serves. */
export const startReplicaControl = (options: {
  readonly address: Address;
  readonly logger: Logger;
  readonly server: ReplicaServer;
  readonly metrics: ReplicaMetrics;
  readonly version: string;
}): Promise<ControlServer> => {
  const { address, logger, server, metrics, version } = options;
  const { store } = server;
  return startControlServer({
    address,
    logger,
    metrics: metrics.registry,
    notReady: () => {
      if (server.stopping) return 'the replica stops';
      if (metrics.failure !== null) return `the store takes no more writes: ${metrics.failure}`;
      return null;
    },
    routes: {
      '/v1/status': () => ({
        identity: store.identity,
        state: store.state(),
        counters: store.counters(),
        layerUsage: store.layerUsage(),
        failure: metrics.failure,
        session: session(server),
        connections: server.connections,
        version,
      }),
    },
  });
};

/** The target that is served, or null. */
const session = (
  server: ReplicaServer,
): { peer: string; target: string; epoch: number; appliedSeq: number } | null => {
  const { owner, stream } = server;
  if (owner?.state.kind !== 'serving') return null;
  const { targetName, epoch } = owner.state;
  return { peer: owner.peer, target: targetName, epoch, appliedSeq: stream.appliedSeq };
};
