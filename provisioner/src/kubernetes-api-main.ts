import { Command, InvalidArgumentError, Option } from 'commander';
import { pino } from 'pino';
import { buildApp } from './api/app.ts';
import { EventLog } from './api/event-log.ts';
import { Operations } from './api/operations.ts';
import { readTokens } from './api/tokens.ts';
import { clusterAccess } from './kubernetes/cluster-access.ts';
import { KubeClient } from './kubernetes/kube-client.ts';
import { readSettings } from './kubernetes-options.ts';
import { API_PORT } from './limits.ts';
import { KubernetesOrchestrator } from './orchestrator/kubernetes/kubernetes-orchestrator.ts';
import type { KubernetesSettings } from './orchestrator/kubernetes/settings.ts';
import { HttpTargets } from './orchestrator/kubernetes/targets.ts';
import { VERSION } from './version.ts';

interface Options {
  readonly settings: KubernetesSettings;
  readonly tokens: string;
  readonly kubeconfig?: string;
  readonly host: string;
  readonly port: number;
  readonly logLevel: string;
}

const portNumber = (value: string): number => {
  const port = Number(value);
  if (/^\d{1,5}$/.test(value) && port <= 65_535) return port;
  throw new InvalidArgumentError('A port is a number from 0 to 65535.');
};

const parseOptions = (argv: readonly string[]): Options =>
  new Command('openebs-api')
    .description('The API server of the volumes of a Kubernetes cluster, for mayactl.')
    .version(VERSION)
    .addOption(
      new Option('--settings <file>', 'YAML file of the installation: images, namespace, pool')
        .env('OPENEBS_SETTINGS')
        .makeOptionMandatory()
        .argParser(readSettings),
    )
    .addOption(
      new Option('--tokens <directory>', 'its files "token" and "token-read-only" are the tokens')
        .env('OPENEBS_TOKENS')
        .makeOptionMandatory(),
    )
    .addOption(
      new Option('--kubeconfig <file>', 'how to reach the cluster; inside of one not needed').env(
        'KUBECONFIG',
      ),
    )
    .addOption(
      new Option('--host <address>', 'address to listen on').env('OPENEBS_HOST').default('0.0.0.0'),
    )
    .addOption(
      new Option('--port <port>', 'port to listen on; 0: any')
        .env('OPENEBS_PORT')
        .default(API_PORT)
        .argParser(portNumber),
    )
    .addOption(
      new Option('--log-level <level>', 'least level that is logged')
        .env('OPENEBS_LOG_LEVEL')
        .choices(['debug', 'info', 'warn', 'error'])
        .default('info'),
    )
    .configureHelp({ helpWidth: Math.min(process.stdout.columns, 100) || 80 })
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
    .parse([...argv], { from: 'user' })
    .opts<Options>();

const { settings, tokens, kubeconfig, host, port, logLevel } = parseOptions(process.argv.slice(2));
const logger = pino({ name: 'api', level: logLevel });
const client = new KubeClient(await clusterAccess(kubeconfig ?? null));
const orchestrator = new KubernetesOrchestrator({
  api: client,
  settings,
  targets: new HttpTargets({ tokenFile: settings.controlTokenFile }),
  log: (level, fields, text) => logger[level](fields, text),
});
const events = new EventLog(orchestrator);
let isReady = false;
const app = await buildApp(
  {
    orchestrator,
    operations: new Operations({ failed: (operation) => events.operationFailed(operation) }),
    events,
    tokens: await readTokens(tokens),
    dataDirectory: `namespace ${settings.namespace}`,
    startedAt: new Date(),
    isReady: () => isReady,
  },
  logger,
);
const address = await app.listen({ host, port });
logger.info({ address, namespace: settings.namespace }, 'listening');
const stop = async (): Promise<void> => {
  isReady = false;
  await app.close();
  await orchestrator.stop();
  await client.close();
  process.exit(0);
};
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void stop());
await orchestrator.start();
isReady = true;
logger.info({ volumes: orchestrator.volumes().length }, 'ready');
