import { join } from 'node:path';
import { REPOSITORY } from '../support/daemons.ts';
import type { Cluster } from './cluster.ts';
import { archiveOpenebs } from './openebs-image.ts';

export const CHART = join(REPOSITORY, 'manifests', 'chart');
export const SYSTEM_NAMESPACE = 'openebs';
export const STORAGE_CLASS = 'openebs';

/** The tag that the chart asks for when nobody says another. */
export const IMAGE = 'docker.io/openebs/openebs:0.1.0';
const INSTALL_SECONDS = 120;

type Values = Readonly<Record<string, unknown>>;

/** The tests' claims are bound without a pod that uses them; Secrets may lie beside them. */
export const RELEASE_VALUES: Values = {
  'storageClass.volumeBindingMode': 'Immediate',
  'chap.secretNamespaces': ['default'],
};

/** Our image on every node, and the chart as a user installs it. Resolves when all is ready. */
export const installOpenebs = async (cluster: Cluster): Promise<void> => {
  const archive = join(cluster.plane.directory, 'openebs.tar');
  await archiveOpenebs(archive, IMAGE);
  await cluster.load(archive);
  await helmInstall(cluster, RELEASE_VALUES);
};

/** `values`: by path, as in `--set-json`. */
export const helmInstall = (cluster: Cluster, values: Values): Promise<string> =>
  cluster.helm(['install', '--create-namespace', ...releaseArguments(values)]);

export const helmUpgrade = (cluster: Cluster, values: Values): Promise<string> =>
  cluster.helm(['upgrade', ...releaseArguments(values)]);

const releaseArguments = (values: Values): string[] => [
  ...['openebs', CHART, '--namespace', SYSTEM_NAMESPACE],
  ...['--wait', '--timeout', `${INSTALL_SECONDS}s`],
  ...Object.entries(values).flatMap(([path, value]) => [
    ...['--set-json', `${path}=${JSON.stringify(value)}`],
  ]),
];

/** A claim in the namespace `default`. */
export const claimOf = (name: string, size = '64Mi', storageClassName = STORAGE_CLASS): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name, namespace: 'default' },
    spec: {
      storageClassName,
      accessModes: ['ReadWriteOnce'],
      resources: { requests: { storage: size } },
    },
  });
