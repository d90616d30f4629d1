import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { pino, type Logger } from 'pino';
import { Provisioner, type ProvisionerOptions } from './claims/provisioner.ts';
import { ProvisionerMetrics } from './claims/provisioner-metrics.ts';
import { systemClock } from './kubernetes/clock.ts';
import { clusterAccess } from './kubernetes/cluster-access.ts';
import { KubeError } from './kubernetes/kube-api.ts';
import { KubeClient } from './kubernetes/kube-client.ts';
import { LeaderElector } from './kubernetes/leader-elector.ts';
import { parseKubernetesOptions, type KubernetesOptions } from './kubernetes-options.ts';

const LEASE_NAME = 'openebs-provisioner';
/** A leader that was told to stop may end what it is at. */
const STOP_MS = 20_000;

const serveMetrics = async (
  port: number,
  metrics: ProvisionerMetrics,
  isReady: () => boolean,
): Promise<Server> => {
  const server = process.getBuiltinModule('node:http').createServer((request, response) => {
    const answer = (status: number, body: string, type = 'text/plain'): void => {
      response.writeHead(status, { 'content-type': type }).end(body);
    };
    switch (request.url?.split('?', 1)[0]) {
      case '/metrics':
        void metrics.registry
          .metrics()
          .then((body) => answer(200, body, metrics.registry.contentType));
        return;
      case '/healthz':
        answer(200, 'ok\n');
        return;
      case '/readyz':
        answer(isReady() ? 200 : 503, isReady() ? 'ready\n' : 'starting\n');
        return;
      default:
        answer(404, 'there are /metrics, /healthz and /readyz\n');
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, () => resolve());
  });
  return server;
};

const run = async (options: KubernetesOptions, logger: Logger): Promise<number> => {
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      logger.info({ signal }, 'stopping');
      stop.abort();
      setTimeout(() => process.exit(1), STOP_MS).unref();
    });
  }
  let leads = false;
  let provisioner: Provisioner | null = null;
  const metrics = new ProvisionerMetrics({
    leads: () => leads,
    queued: () => provisioner?.queued ?? 0,
  });
  const access = await clusterAccess(options.kubeconfig, options.serviceAccount);
  const client = new KubeClient(access, (call) => metrics.called(call));
  const log: ProvisionerOptions['log'] = (level, fields, text) => logger[level](fields, text);
  const { identity, settings, metricsPort, leaderElection } = options;
  const elector = new LeaderElector({
    api: client,
    clock: systemClock,
    namespace: settings.namespace,
    name: LEASE_NAME,
    identity,
    wallClock: () => new Date(),
    log,
  });
  const server = await serveMetrics(metricsPort, metrics, () => true);
  const { port } = server.address() as AddressInfo;
  logger.info({ identity, metrics: port, namespace: settings.namespace }, 'ready');
  if (leaderElection && !(await elector.acquire(stop.signal))) return 0;
  leads = true;
  const work = new AbortController();
  stop.signal.addEventListener('abort', () => work.abort());
  provisioner = new Provisioner({ api: client, settings, identity, metrics, log });
  const working = provisioner.run(work.signal);
  if (leaderElection) {
    const outcome = await Promise.race([elector.hold(stop.signal), working.then(() => 'stopped')]);
    if (outcome === 'lost') {
      // Somebody else may lead from now on: nothing that is under way may go on.
      logger.fatal({ identity }, 'the lease was lost: the process ends');
      return 1;
    }
  }
  await working;
  if (leaderElection) await elector.release();
  server.close();
  await client.close();
  logger.info('stopped');
  return 0;
};

// V8's space for young objects stays small, as in the daemons, instead of growing to 48 MiB.
setFlagsFromString('--semi-space-growth-factor=1');
// What has aged is collected when it has grown by 40 %: by default garbage doubles the heap.
setFlagsFromString('--heap-growing-percent=40');
const options = parseKubernetesOptions(process.argv.slice(2));
const logger = pino({ name: 'provisioner', level: options.logLevel });
try {
  process.exit(await run(options, logger));
} catch (error) {
  if (!(error instanceof KubeError)) throw error;
  logger.fatal({ reason: error.message }, 'the provisioner ends');
  process.exit(1);
}
