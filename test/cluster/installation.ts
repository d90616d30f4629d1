import { spawn, type ChildProcess } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  CLAIMS,
  CLASSES,
  NODES,
  PROVISIONER,
  VOLUMES,
  type Claim,
  type PersistentVolume,
  type StorageClass,
} from '../../provisioner/src/claims/contract.ts';
import { KubeError, type KubeApi } from '../../provisioner/src/kubernetes/kube-api.ts';
import { resource, type KubeObject } from '../../provisioner/src/kubernetes/objects.ts';
import { kubectl, renderChart } from './chart.ts';
import { theClient, thePlane } from './plane.ts';

/** Many claims at once on a machine with other work. */
const BOUND_MS = 90_000;
/** A lease that somebody left behind is waited for. */
const LEADS_MS = 60_000;

export const NAMESPACE = 'openebs';

/**
 * Claims, volumes, classes, nodes, pools, records, Deployments, Services, Jobs, snapshots, and the
 * CHAP Secrets of one namespace.
 */
export const KINDS_WATCHED = 11;
const root = join(import.meta.dirname, '..', '..');

const NAMESPACES = resource<KubeObject>('v1', 'Namespace', 'namespaces', false);
const EVENTS = resource<KubeObject & { reason: string; message: string }>(
  'v1',
  'Event',
  'events',
  true,
);

const CLEANERS = 'openebs.io/component=cleaner';
const PODS = resource<KubeObject & { status?: { phase?: string } }>('v1', 'Pod', 'pods', true);

/** What is asked for again until it is there. */
export const eventually = async <T>(
  what: string,
  look: () => Promise<T | null | undefined | false>,
  withinMs = 30_000,
): Promise<T> => {
  const end = performance.now() + withinMs;
  for (;;) {
    const found = await look();
    if (found !== null && found !== undefined && found !== false) return found;
    if (performance.now() > end) throw new Error(`${what} did not come within ${withinMs} ms`);
    await delay(50);
  }
};

const orNull = (error: unknown): null => {
  if (error instanceof KubeError && error.isNotFound) return null;
  throw error;
};

interface Start {
  /** The URL of a proxy instead of the API server itself. */
  readonly through?: string | null;
  /** Another one leads. */
  readonly standsBy?: boolean;
  /** It is started again when it ends by itself, as kubelet does. */
  readonly restarts?: boolean;
}

/** The provisioner as a process beside a control plane, with nodes that nothing runs on. */
export class Installation {
  readonly api: KubeApi;
  /** For the process itself, as --cpu-prof. */
  readonly nodeOptions: readonly string[];
  #process: ChildProcess | null = null;
  #output = '';

  constructor(options: { readonly nodeOptions?: readonly string[] } = {}) {
    this.nodeOptions = options.nodeOptions ?? [];
    this.api = theClient();
  }

  /** The chart, as a user installs it; nodes on which nothing runs; who the chart lets us be. */
  async prepare(): Promise<void> {
    const { api } = this;
    const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } };
    await api.apply(NAMESPACES, namespace);
    const rendered = await renderChart({
      'storageClass.name': 'mirrored',
      'storageClass.volumeBindingMode': 'Immediate',
      'image.pullPolicy': 'Never',
      'chap.secretNamespaces': ['default'],
    });
    await kubectl(['apply', '--server-side', '-f', '-'], rendered);
    for (const name of ['node1', 'node2', 'node3']) {
      const labels = { 'kubernetes.io/hostname': name };
      await api.apply(NODES, { apiVersion: 'v1', kind: 'Node', metadata: { name, labels } });
    }
    await eventually('the custom resources', () =>
      api
        .list(resource('openebs.io/v1alpha1', 'OpenEBSVolume', 'openebsvolumes', true))
        .catch(orNull),
    );
    this.#writeServiceAccount(
      await kubectl(['-n', NAMESPACE, 'create', 'token', 'openebs-provisioner']),
    );
    const key = 'jsonpath={.data.settings\\.yaml}';
    const from = ['-n', NAMESPACE, 'get', 'configmap', 'openebs-settings', '-o', key];
    writeFileSync(this.settings, await kubectl(from));
  }

  get settings(): string {
    return join(thePlane().directory, 'settings.yaml');
  }

  /** As kubelet mounts it into the pod: the chart's service account, with exactly its rights. */
  get serviceAccount(): string {
    return join(thePlane().directory, 'service-account');
  }

  #writeServiceAccount(token: string): void {
    mkdirSync(this.serviceAccount, { recursive: true });
    writeFileSync(join(this.serviceAccount, 'token'), token, { mode: 0o600 });
    copyFileSync(thePlane().certificate, join(this.serviceAccount, 'ca.crt'));
  }

  /** How its process finds the API server: as in a pod, or through a proxy without certificates. */
  #access(through: string | null): { readonly args: string[]; readonly env: NodeJS.ProcessEnv } {
    const env = { ...process.env, KUBECONFIG: undefined };
    if (through === null) {
      const { host, port } = thePlane().server;
      return {
        args: ['--service-account', this.serviceAccount],
        env: { ...env, KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: String(port) },
      };
    }
    const cluster = { server: through, 'insecure-skip-tls-verify': true };
    const token = readFileSync(join(this.serviceAccount, 'token'), 'utf8').trim();
    const config = {
      ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'test' },
      clusters: [{ name: 'test', cluster }],
      users: [{ name: 'test', user: { token } }],
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
    };
    const path = join(thePlane().directory, `provisioner-${new URL(through).port}.kubeconfig`);
    writeFileSync(path, JSON.stringify(config), { mode: 0o600 });
    return { args: ['--kubeconfig', path], env };
  }

  async storageClass(name: string, change: Partial<StorageClass> = {}): Promise<void> {
    const base = { apiVersion: 'storage.k8s.io/v1', kind: 'StorageClass', metadata: { name } };
    await this.api.apply(CLASSES, { ...base, provisioner: PROVISIONER, ...change });
  }

  claim(name: string, spec: object = {}): Promise<Claim> {
    return this.api.create(CLAIMS, {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { namespace: 'default', name },
      spec: {
        storageClassName: 'mirrored',
        accessModes: ['ReadWriteOnce'],
        resources: { requests: { storage: '1Gi' } },
        ...spec,
      },
    });
  }

  async start({ through = null, standsBy = false, restarts = false }: Start = {}): Promise<void> {
    const child = this.#spawn(through, restarts);
    const look = (): Promise<boolean> => {
      if (child.exitCode !== null) throw new Error(this.#output);
      return Promise.resolve(standsBy ? this.#output.includes('"ready"') : this.leads);
    };
    await eventually('the leader', look, LEADS_MS).catch((error: unknown) => {
      throw new Error(`it does not lead: ${this.#output}`, { cause: error });
    });
  }

  #spawn(through: string | null, restarts: boolean): ChildProcess {
    const main = join(root, 'provisioner/src/kubernetes-main.ts');
    const { args, env } = this.#access(through);
    const options = ['--settings', this.settings, '--metrics-port', '0', ...args];
    const child = spawn(process.execPath, [...this.nodeOptions, main, ...options], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#process = child;
    this.#output = '';
    const read = (chunk: Buffer): void => {
      this.#output = (this.#output + chunk.toString()).slice(-100_000);
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.once('exit', (code) => {
      if (!restarts || code === null || this.#process !== child) return;
      process.stdout.write(`      the provisioner ended with ${code}: ${this.#lastWords()}\n`);
      this.#spawn(through, restarts);
    });
    return child;
  }

  #lastWords(): string {
    return this.#output.trimEnd().split('\n').slice(-2).join(' ');
  }

  get leads(): boolean {
    return this.#output.includes('"leading"');
  }

  /** What it has logged, the last of it. */
  get output(): string {
    return this.#output;
  }

  /** Of its process; null: none runs. */
  get pid(): number | null {
    const child = this.#process;
    return child === null || child.exitCode !== null ? null : (child.pid ?? null);
  }

  /** It ends by itself, with this exit code. */
  async ended(): Promise<number | null> {
    const child = this.#process;
    if (child === null || child.exitCode !== null) return child?.exitCode ?? null;
    return new Promise((resolve) => child.once('exit', resolve));
  }

  async metrics(): Promise<string> {
    const port = [...this.#output.matchAll(/"metrics":(\d+)/g)].at(-1)?.[1] ?? '';
    const response = await fetch(`http://127.0.0.1:${port}/metrics`);
    return response.text();
  }

  /** How many calls of the API were answered with this status, by resource. */
  async calls(status: number): Promise<string[]> {
    const lines = (await this.metrics()).split('\n');
    return lines.filter(
      (line) =>
        line.startsWith('openebs_kubernetes_calls_total') && line.includes(`status="${status}"`),
    );
  }

  /** Resolves with its exit code. */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<number | null> {
    const child = this.#process;
    this.#process = null;
    if (child === null || child.exitCode !== null) return child?.exitCode ?? null;
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    child.kill(signal);
    return ended;
  }

  volumeOf(claim: Claim): Promise<PersistentVolume | null> {
    const name = `pvc-${claim.metadata.uid ?? ''}`;
    return this.api.get(VOLUMES, { name }).catch(orNull);
  }

  async bound(claim: Claim): Promise<PersistentVolume> {
    await eventually(
      `a bound claim ${claim.metadata.name}`,
      async () => {
        const { status } = await this.api.get(CLAIMS, claim.metadata);
        return status?.phase === 'Bound';
      },
      BOUND_MS,
    );
    return eventually('its volume', () => this.volumeOf(claim));
  }

  async events(name: string): Promise<string> {
    const { items } = await this.api.list(EVENTS, { namespace: 'default' });
    return items
      .filter(({ metadata }) => metadata.name.startsWith(`${name}.`))
      .map(({ reason, message }) => `${reason}: ${message}`)
      .join('\n');
  }

  /** No node runs the pods of the jobs that remove data: they end as kubelet would end them. */
  endCleaning(volume: string): Promise<void> {
    return this.#endCleaners(`openebs.io/persistent-volume=${volume},${CLEANERS}`);
  }

  /** Those of all volumes. */
  endAllCleaning(): Promise<void> {
    return this.#endCleaners(CLEANERS);
  }

  async #endCleaners(labelSelector: string): Promise<void> {
    const { items } = await this.api.list(PODS, { namespace: NAMESPACE, labelSelector });
    const running = items.filter(({ status }) => status?.phase !== 'Succeeded');
    const value = { phase: 'Succeeded' };
    await Promise.all(
      running.map(({ metadata }) =>
        this.api
          .patch(PODS, metadata, [{ op: 'add', path: '/status', value }], 'status')
          .catch(orNull),
      ),
    );
  }
}
