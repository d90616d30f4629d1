import { HttpMethod, KubeConfig, RequestContext } from '@kubernetes/client-node';
import { Agent, type Dispatcher } from 'undici';
import type { ClusterAccess } from './cluster-access.ts';
import { KubeError } from './kube-api.ts';

/** Null: the file that kubectl would take. Every way to be let in that the package knows. */
export const accessByKubeconfig = (file: string | null): ClusterAccess => {
  const config = new KubeConfig();
  if (file === null) config.loadFromDefault();
  else config.loadFromFile(file);
  return accessOf(config);
};

/** Throws KubeError where it names no cluster. */
export const accessOf = (config: KubeConfig): ClusterAccess => {
  const cluster = config.getCurrentCluster();
  if (cluster === null) {
    const words = 'No cluster is configured: set KUBECONFIG, or run inside of a cluster.';
    throw new KubeError(0, 'NoCluster', words);
  }
  const server = cluster.server.replace(/\/$/, '');
  let known: Dispatcher | null = null;
  return {
    server,
    enter: async () => {
      const context = new RequestContext(server, HttpMethod.GET);
      await config.applySecurityAuthentication(context);
      // One that is made per call opens a TLS connection per call.
      // The package gives none for a server of which the configuration says nothing more.
      known ??= context.getDispatcher() ?? new Agent();
      return { headers: context.getHeaders(), dispatcher: known };
    },
  };
};
