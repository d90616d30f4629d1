import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseAllDocuments } from 'yaml';
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
import { theClient, thePlane } from './plane.ts';

/** Many claims at once on a machine with other work. */
const BOUND_MS = 90_000;

export const NAMESPACE = 'openebs';
const root = join(import.meta.dirname, '..', '..');

const NAMESPACES = resource<KubeObject>('v1', 'Namespace', 'namespaces', false);
const DEFINITIONS = resource<KubeObject>(
  'apiextensions.k8s.io/v1',
  'CustomResourceDefinition',
  'customresourcedefinitions',
  false,
);
const EVENTS = resource<KubeObject & { reason: string; message: string }>(
  'v1',
  'Event',
  'events',
  true,
);

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

/** The provisioner as a process beside a control plane, with nodes that nothing runs on. */
export class Installation {
  readonly api: KubeApi;
  #process: ChildProcess | null = null;
  #output = '';

  constructor() {
    this.api = theClient();
  }

  async prepare(): Promise<void> {
    const { api } = this;
    for (const name of ['openebsvolumes', 'storagepools']) {
      const text = readFileSync(join(root, 'manifests', 'crds', `${name}.yaml`), 'utf8');
      for (const document of parseAllDocuments(text)) {
        await api.apply(DEFINITIONS, document.toJS() as KubeObject);
      }
    }
    const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } };
    await api.apply(NAMESPACES, namespace);
    for (const name of ['node1', 'node2', 'node3']) {
      const labels = { 'kubernetes.io/hostname': name };
      await api.apply(NODES, { apiVersion: 'v1', kind: 'Node', metadata: { name, labels } });
    }
    // Nobody reports for these nodes: the node controller would taint them.
    await this.storageClass('mirrored');
    await eventually('the custom resources', () =>
      api
        .list(resource('openebs.io/v1alpha1', 'OpenEBSVolume', 'openebsvolumes', true))
        .catch(orNull),
    );
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

  async start(): Promise<void> {
    const plane = thePlane();
    const settings = join(plane.directory, 'settings.yaml');
    writeFileSync(
      settings,
      JSON.stringify({
        namespace: NAMESPACE,
        targetImage: 'openebs/openebs:test',
        replicaImage: 'openebs/openebs:test',
        imagePullPolicy: 'Never',
        imagePullSecrets: [],
        defaultPoolPath: '/var/openebs',
        targetResources: {},
        replicaResources: {},
        tolerations: [],
        controlTokenSecret: 'openebs-control',
      }),
    );
    const main = join(root, 'provisioner/src/kubernetes-main.ts');
    const child = spawn(process.execPath, [main, '--settings', settings, '--metrics-port', '0'], {
      env: { ...process.env, KUBECONFIG: plane.kubeconfig },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#process = child;
    const read = (chunk: Buffer): void => {
      this.#output = (this.#output + chunk.toString()).slice(-100_000);
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    await eventually('the leader', () => {
      if (child.exitCode !== null) throw new Error(this.#output);
      return Promise.resolve(this.#output.includes('"leading"'));
    });
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
  async endCleaning(volume: string): Promise<void> {
    const { items } = await this.api.list(PODS, {
      namespace: NAMESPACE,
      labelSelector: `openebs.io/persistent-volume=${volume},openebs.io/component=cleaner`,
    });
    for (const { metadata, status } of items) {
      if (status?.phase === 'Succeeded') continue;
      const value = { phase: 'Succeeded' };
      await this.api.patch(PODS, metadata, [{ op: 'add', path: '/status', value }], 'status');
    }
  }
}
