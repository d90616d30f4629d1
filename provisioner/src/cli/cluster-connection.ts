import { Agent, type RequestOptions } from 'node:https';
import { KubeError } from '../kubernetes/kube-api.ts';
import { resource, type KubeObject } from '../kubernetes/objects.ts';
import { ApiClient } from './api-client.ts';
import { CliFailure, EXIT } from './failure.ts';

const SERVICES = resource<KubeObject>('v1', 'Service', 'services', true);
const SECRETS = resource<KubeObject & { readonly data?: Readonly<Record<string, string>> }>(
  'v1',
  'Secret',
  'secrets',
  true,
);
const API_SELECTOR = 'app.kubernetes.io/name=openebs,app.kubernetes.io/component=api';

/**
 * Finds the API server of a cluster and talks to it through the cluster's own: whoever may use the
 * Service's proxy and read the token's Secret needs nothing else, and no port is opened.
 */
export async function connectToCluster(options: {
  readonly kubeconfig: string;
  readonly namespace: string;
}): Promise<ApiClient> {
  // They take a while to load, and only this needs them.
  const { KubeConfig } = await import('@kubernetes/client-node');
  const { KubeClient } = await import('../kubernetes/kube-client.ts');
  const { accessOf } = await import('../kubernetes/kubeconfig.ts');
  const config = new KubeConfig();
  try {
    config.loadFromFile(options.kubeconfig);
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error);
    throw new CliFailure(EXIT.usage, `${options.kubeconfig} cannot be read: ${words}`, {
      next: 'name the file that kubectl uses: --kubeconfig ~/.kube/config',
    });
  }
  const { namespace } = options;
  const client = new KubeClient(accessOf(config));
  try {
    const { items } = await client.list(SERVICES, { namespace, labelSelector: API_SELECTOR });
    const [service] = items;
    if (service === undefined) {
      throw new CliFailure(EXIT.notFound, `namespace ${namespace} has no API server of OpenEBS`, {
        next: 'install the chart with api.enabled, or name its namespace: --namespace NAME',
      });
    }
    const { name } = service.metadata;
    const secret = await client.get(SECRETS, { namespace, name: `${name}-tokens` });
    const token = Buffer.from(secret.data?.['token'] ?? '', 'base64').toString();
    const access: RequestOptions = {};
    await config.applyToHTTPSOptions(access);
    const server = (config.getCurrentCluster()?.server ?? '').replace(/\/$/, '');
    return new ApiClient({
      url: `${server}/api/v1/namespaces/${namespace}/services/http:${name}:api/proxy`,
      token,
      start: null,
      by: {
        // The cluster's API server takes the usual header for itself.
        tokenHeader: 'x-openebs-token',
        agent: access.agent instanceof Agent ? access.agent : new Agent(),
        headers: (access.headers ?? {}) as Record<string, string>,
      },
    });
  } catch (error) {
    if (!(error instanceof KubeError)) throw error;
    throw new CliFailure(EXIT.unreachable, `the cluster does not let us in: ${error.message}`, {
      next: `check with: kubectl --kubeconfig ${options.kubeconfig} -n ${namespace} get svc,secret`,
      cause: error,
    });
  } finally {
    await client.close();
  }
}
