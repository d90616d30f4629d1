import { Agent } from 'node:http';
import { Agent as TlsAgent, type RequestOptions } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node';
import { KEPT_ALIVE, type ClusterAccess } from './cluster-access.ts';
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
  let known: Agent | null = null;
  return {
    server,
    enter: async () => {
      const options: RequestOptions = {};
      await config.applyToHTTPSOptions(options);
      const { agent, headers, auth, ca, cert, key, pfx, passphrase } = options;
      const { rejectUnauthorized, servername } = options;
      const tls = { ca, cert, key, pfx, passphrase, rejectUnauthorized, servername };
      const basic = auth == null ? {} : { Authorization: `Basic ${btoa(auth)}` };
      // The package's own keeps no connection open, and only it knows the way through a proxy.
      known ??=
        cluster.proxyUrl !== undefined && agent instanceof Agent
          ? agent
          : new (server.startsWith('https:') ? TlsAgent : Agent)({ ...tls, ...KEPT_ALIVE });
      return { headers: { ...(headers as Record<string, string>), ...basic }, agent: known };
    },
  };
};
