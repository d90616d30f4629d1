import { readFile } from 'node:fs/promises';
import type { Agent } from 'node:http';
import { join } from 'node:path';
import { KubeError } from './kube-api.ts';

/** Where an API server is, and how it lets us in. */
export interface ClusterAccess {
  /** A URL without a slash at its end. */
  readonly server: string;
  /** Asked for again now and then: tokens are renewed. The agent is always the same one. */
  enter(): Promise<{
    readonly headers: Readonly<Record<string, string>>;
    readonly agent: Agent;
  }>;
}

/** Where Kubernetes puts a pod's token, and the certificate of who signs for the API server. */
export const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** One that is made per call opens a TLS connection per call. */
export const KEPT_ALIVE = { keepAlive: true, keepAliveMsecs: 30_000 } as const;

/**
 * By the file that is named, else as the pod that this runs in, else as kubectl would. Rejects with
 * KubeError where there is no cluster, and as the file system does.
 */
export const clusterAccess = async (
  kubeconfig: string | null,
  serviceAccount = SERVICE_ACCOUNT,
): Promise<ClusterAccess> => {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;
  if (kubeconfig === null && host !== undefined && port !== undefined) {
    return asServiceAccount(serviceAccount, { host, port });
  }
  // The package is 50 MB in memory, and a pod needs nothing of it.
  const { accessByKubeconfig } = await import('./kubeconfig.ts');
  return accessByKubeconfig(kubeconfig);
};

const asServiceAccount = async (
  directory: string,
  { host, port }: { readonly host: string; readonly port: string },
): Promise<ClusterAccess> => {
  const read = async (name: string): Promise<string> => {
    try {
      return await readFile(join(directory, name), 'utf8');
    } catch (cause) {
      const words = `${join(directory, name)} cannot be read: ${String(cause)}. Does the pod's service account mount its token? Outside of a pod name a file with --kubeconfig.`;
      throw new KubeError(0, 'NoServiceAccount', words, { cause });
    }
  };
  const { Agent: TlsAgent } = process.getBuiltinModule('node:https');
  const agent = new TlsAgent({ ca: await read('ca.crt'), ...KEPT_ALIVE });
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    enter: async () => {
      const token = (await read('token')).trim();
      return { headers: { authorization: `Bearer ${token}` }, agent };
    },
  };
};
