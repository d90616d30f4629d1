export { ReplicaMetrics } from './metrics.ts';
export { ReplicaServer } from './server.ts';
