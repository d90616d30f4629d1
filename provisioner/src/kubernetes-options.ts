import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { Command, InvalidArgumentError, Option } from 'commander';
import { parse } from 'yaml';
import { SERVICE_ACCOUNT } from './kubernetes/cluster-access.ts';
import type { KubernetesSettings } from './orchestrator/kubernetes/settings.ts';
import { environmentSwitch } from './environment-switch.ts';
import { VERSION } from './version.ts';

export interface KubernetesOptions {
  readonly kubeconfig: string | null;
  /** The directory of a pod's token. */
  readonly serviceAccount: string;
  readonly identity: string;
  readonly metricsPort: number;
  readonly leaderElection: boolean;
  readonly logLevel: string;
  readonly settings: KubernetesSettings;
}

const SETTING_READERS: {
  readonly [Key in keyof KubernetesSettings]: (value: unknown) => KubernetesSettings[Key];
} = {
  namespace: text,
  targetImage: text,
  replicaImage: text,
  imagePullPolicy: (value) => {
    if (value === 'Always' || value === 'IfNotPresent' || value === 'Never') return value;
    throw new TypeError('must be Always, IfNotPresent or Never');
  },
  imagePullSecrets: (value) => list(value).map(text),
  defaultPoolPath: (value) => {
    const path = text(value);
    if (path.startsWith('/') && path !== '/') return path;
    throw new TypeError('must be an absolute path below /');
  },
  targetResources: object,
  replicaResources: object,
  tolerations: (value) => list(value).map(object),
  controlTokenSecret: text,
  controlTokenFile: text,
  replaceAfterMinutes: (value) => {
    if (typeof value === 'number' && Number.isInteger(value) && value >= 1) return value;
    throw new TypeError('must be a number of minutes, at least 1');
  },
  chapSecretNamespaces: (value) => list(value).map(text),
};

/** Reads the command line; wrong usage ends the process with 2. */
export const parseKubernetesOptions = (argv: readonly string[]): KubernetesOptions => {
  const program = new Command('openebs-provisioner')
    .description('Makes replicated iSCSI volumes for the claims of a Kubernetes cluster.')
    .version(VERSION)
    .addOption(
      new Option('--settings <file>', 'YAML file of the installation: images, namespace, pool')
        .env('OPENEBS_SETTINGS')
        .makeOptionMandatory()
        .argParser(readSettings),
    )
    .addOption(
      new Option('--kubeconfig <file>', 'how to reach the cluster; inside of one not needed').env(
        'KUBECONFIG',
      ),
    )
    .addOption(
      new Option('--service-account <directory>', 'its files "token" and "ca.crt" let a pod in')
        .env('OPENEBS_SERVICE_ACCOUNT')
        .default(SERVICE_ACCOUNT),
    )
    .addOption(
      new Option('--identity <name>', 'who this is among several; unique')
        .env('OPENEBS_IDENTITY')
        .default(`${hostname()}-${process.pid}`, 'host name and process id'),
    )
    .addOption(
      new Option('--metrics-port <port>', 'port of /metrics, /healthz and /readyz; 0: any')
        .env('OPENEBS_METRICS_PORT')
        .default(8080)
        .argParser(portNumber),
    )
    .addOption(
      new Option(
        '--no-leader-election',
        'work at once, without a lease: only where no other can run ' +
          '(env: OPENEBS_NO_LEADER_ELECTION=1)',
      ),
    )
    .addOption(
      new Option('--log-level <level>', 'least level that is logged')
        .env('OPENEBS_LOG_LEVEL')
        .choices(['debug', 'info', 'warn', 'error'])
        .default('info'),
    )
    .addHelpText('after', '\nExit codes: 0 stopped, 1 failed or the lease was lost, 2 wrong usage.')
    .configureHelp({ helpWidth: Math.min(process.stdout.columns, 100) || 80 })
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
    .parse([...argv], { from: 'user' });
  const options = program.opts<{
    settings: KubernetesSettings;
    kubeconfig?: string;
    serviceAccount: string;
    identity: string;
    metricsPort: number;
    leaderElection: boolean;
    logLevel: string;
  }>();
  const noElection = environmentSwitch(program, 'OPENEBS_NO_LEADER_ELECTION');
  return {
    ...options,
    kubeconfig: options.kubeconfig ?? null,
    leaderElection: options.leaderElection && !noElection,
  };
};

/** Every field of the file is known and right, or the process does not start. */
export const readSettings = (file: string): KubernetesSettings => {
  let content: unknown;
  try {
    content = parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new InvalidArgumentError(`Cannot read ${file}: ${(error as Error).message}`);
  }
  const given = object(content) as Record<string, unknown>;
  const unknown = Object.keys(given).find((name) => !Object.hasOwn(SETTING_READERS, name));
  if (unknown !== undefined) {
    const known = Object.keys(SETTING_READERS).join(', ');
    throw new InvalidArgumentError(
      `${file} has ${unknown}, which is not known; known are ${known}.`,
    );
  }
  const settings: Record<string, unknown> = {};
  for (const [name, read] of Object.entries(SETTING_READERS)) {
    try {
      settings[name] = read(given[name]);
    } catch (error) {
      throw new InvalidArgumentError(`${name} in ${file} ${(error as Error).message}.`);
    }
  }
  return settings as unknown as KubernetesSettings;
};

function text(value: unknown): string {
  if (typeof value === 'string' && value !== '') return value;
  throw new TypeError('must be a text that is not empty');
}

function list(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw new TypeError('must be a list');
}

function object(value: unknown): object {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw new TypeError('must be a map');
}

function portNumber(value: string): number {
  const port = Number(value);
  if (!/^\d{1,5}$/.test(value) || port > 65_535) {
    throw new InvalidArgumentError('A port is a number from 0 to 65535.');
  }
  return port;
}
