import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { StorageClass } from '../../provisioner/src/claims/contract.ts';
import { readSettings } from '../../provisioner/src/kubernetes-options.ts';
import type { KubeObject } from '../../provisioner/src/kubernetes/objects.ts';
import {
  desiredAddress,
  desiredObjects,
} from '../../provisioner/src/orchestrator/kubernetes/desired-objects.ts';
import {
  VOLUME_RESOURCES,
  type StoragePool,
} from '../../provisioner/src/orchestrator/kubernetes/volume-resource.ts';
import { kubectl } from '../cluster/chart.ts';
import { eventually, NAMESPACE, type Installation } from '../cluster/installation.ts';
import { thePlane } from '../cluster/plane.ts';
import { findCommand } from '../support/debian.ts';

const SOURCE = join(import.meta.dirname, 'go-reference');
const PROGRAM = join(homedir(), '.cache', 'openebs-test', 'go-reference');

export const GO_CLASS = 'go-reference';
const GO_PROVISIONER = 'openebs.io/go-reference';

/** Null: it is built. Else what a person can do. */
export const buildReference = (): string | null => {
  const go = findCommand('go');
  if (go === null) return 'it builds the Go reference; for that install go 1.26 or later';
  const args = ['build', '-trimpath', '-buildvcs=false', '-modcacherw', '-o', PROGRAM, '.'];
  const env = { ...process.env, CGO_ENABLED: '0' };
  const { status } = spawnSync(go, args, { cwd: SOURCE, env, stdio: 'inherit' });
  return status === 0 ? null : `go ${args.join(' ')} failed: see its messages above`;
};

/** What one of our volumes has of the kinds that the reference makes too, VOLUME by name. */
const templates = (cluster: Installation): string => {
  const name = 'VOLUME';
  const settings = readSettings(cluster.settings);
  const pool: StoragePool = {
    apiVersion: 'openebs.io/v1alpha1',
    kind: 'StoragePool',
    metadata: { name: 'default' },
    spec: { path: settings.defaultPoolPath },
  };
  const record = {
    apiVersion: VOLUME_RESOURCES.apiVersion,
    kind: VOLUME_RESOURCES.kind,
    metadata: { namespace: NAMESPACE, name, uid: '7c8d2f0e-6a41-4f0b-9d0c-3f1c5f0f9d11' },
    spec: {
      ...{ size: '1Gi', replicas: 3, pool: 'default', topologyKey: 'kubernetes.io/hostname' },
      monitored: false,
      members: [1, 2, 3].map((index) => ({
        id: `2b1d1f6e-3c5a-4e0e-8f9a-00000000000${index}`,
        ...{ index, role: 'data' as const, node: `node${index}` },
      })),
    },
  };
  const others = desiredObjects(record, pool, settings, 'ADDRESS').map(({ object }) => object);
  const of = (kind: string): KubeObject[] => others.filter((object) => object.kind === kind);
  return JSON.stringify({
    services: [desiredAddress(record, settings, null).object, ...of('Service')],
    deployments: of('Deployment'),
  });
};

/** The reference as a process beside the control plane, with a class of its own. */
export class GoReference {
  readonly #cluster: Installation;
  #process: ChildProcess | null = null;

  constructor(cluster: Installation) {
    this.#cluster = cluster;
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  async start(): Promise<void> {
    const change: Partial<StorageClass> = { provisioner: GO_PROVISIONER, reclaimPolicy: 'Delete' };
    await this.#cluster.storageClass(GO_CLASS, change);
    await kubectl(['-n', NAMESPACE, 'create', 'serviceaccount', GO_CLASS]);
    const account = `--serviceaccount=${NAMESPACE}:${GO_CLASS}`;
    const role = ['--clusterrole=cluster-admin', account];
    await kubectl(['create', 'clusterrolebinding', GO_CLASS, ...role]);
    const token = await kubectl(['-n', NAMESPACE, 'create', 'token', GO_CLASS]);
    const own = (name: string): string => join(thePlane().directory, `${GO_CLASS}-${name}`);
    thePlane().writeKubeconfig(own('kubeconfig'), GO_CLASS, token.trim());
    writeFileSync(own('templates'), templates(this.#cluster));
    const args = ['--kubeconfig', own('kubeconfig'), '--templates', own('templates')];
    const child = spawn(PROGRAM, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#process = child;
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => (output = (output + chunk.toString()).slice(-20_000)));
    }
    const leads = (): Promise<boolean> => {
      if (child.exitCode !== null) throw new Error(output);
      return Promise.resolve(/acquired lease/i.test(output));
    };
    await eventually('the Go reference', leads).catch((cause: unknown) => {
      throw new Error(`the Go reference does not lead: ${output}`, { cause });
    });
  }

  async stop(): Promise<void> {
    const child = this.#process;
    if (child === null || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await ended;
  }
}
