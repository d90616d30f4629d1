import { spawn, type ChildProcess } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../support/free-port.ts';
import { cpuSeconds } from '../support/process-usage.ts';
import { runTool } from '../support/tool.ts';
import { findPrograms } from './programs.ts';
import { runDirectory } from './run-directory.ts';

const START_MS = 120_000;
const SERVICES = '10.96.0.0/16';
/** A node that says nothing for so long is not ready. Kubernetes' default is 50 s. */
const NODE_GRACE = '16s';

export interface ControlPlaneOptions {
  /** Where the API server listens. */
  readonly address?: string;
  /** Names of nodes that may join; none: no scheduler and no DNS either. */
  readonly nodes?: readonly string[];
  /** Whether the API server writes down each call of the service accounts of a namespace. */
  readonly audited?: string;
  /** Deployments stay without pods: what many volumes cost others is not what is looked at. */
  readonly withoutPods?: boolean;
}

/**
 * A real control plane: etcd, API server and controller manager, and with nodes a scheduler and
 * DNS. What binds claims to volumes is the real thing.
 */
export class ControlPlane {
  readonly directory: string;
  readonly kubeconfig: string;
  readonly #programs: string;
  readonly #address: string;
  readonly #nodes: readonly string[];
  readonly #audited: string | null;
  readonly #withoutPods: boolean;
  readonly #processes: ChildProcess[] = [];
  readonly #tokens = new Map<string, string>();
  #port = 0;
  #etcd = '';
  #apiServer: ChildProcess | null = null;

  private constructor(programs: string, options: ControlPlaneOptions) {
    const { address, nodes, audited, withoutPods } = options;
    this.#programs = programs;
    this.#address = address ?? '127.0.0.1';
    this.#nodes = nodes ?? [];
    this.#audited = audited ?? null;
    this.#withoutPods = withoutPods ?? false;
    this.directory = runDirectory();
    this.kubeconfig = join(this.directory, 'kubeconfig');
  }

  static async start(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
    const programs = findPrograms();
    if (programs === null) throw new Error('there are no programs of Kubernetes');
    const plane = new ControlPlane(programs, options);
    try {
      await plane.#start();
    } catch (error) {
      await plane.stop();
      throw error;
    }
    return plane;
  }

  /** Path of a program of the same release, as kubectl. */
  program(name: string): string {
    return join(this.#programs, name);
  }

  /** Of the only one who may ask kubelets for logs and the like: the API server. */
  get kubeletClientCertificate(): string {
    return join(this.directory, 'kubelet-client.crt');
  }

  get server(): { readonly host: string; readonly port: number } {
    return { host: this.#address, port: this.#port };
  }

  /** By which its API server is known. */
  get certificate(): string {
    return join(this.directory, 'certificates', 'apiserver.crt');
  }

  /** Lines of JSON: who has called what. */
  get auditLog(): string {
    return join(this.directory, 'audit.log');
  }

  /** Processor time of all that runs of it. */
  get cpuSeconds(): number {
    const running = this.#processes.filter(({ exitCode }) => exitCode === null);
    return running.reduce((sum, { pid }) => sum + (pid === undefined ? 0 : cpuSeconds(pid)), 0);
  }

  /** Killed, and started on what etcd has. Resolves when it answers again. */
  async restartApiServer(): Promise<void> {
    if (this.#apiServer !== null) await kill(this.#apiServer);
    await this.#startApiServer();
  }

  async stop(): Promise<void> {
    for (const child of this.#processes.reverse()) await kill(child);
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** With which a user reaches the API server, by one of its tokens or by another one. */
  writeKubeconfig(path: string, user: string, token = this.#tokens.get(user)): void {
    const ca = readFileSync(this.certificate);
    const server = `https://${this.#address}:${this.#port}`;
    const cluster = { server, 'certificate-authority-data': ca.toString('base64') };
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'test', cluster }],
      users: [{ name: user, user: { token } }],
      contexts: [{ name: 'test', context: { cluster: 'test', user } }],
      'current-context': 'test',
    };
    writeFileSync(path, JSON.stringify(config), { mode: 0o600 });
  }

  async #start(): Promise<void> {
    const [clients, peers, api] = [await freePort(), await freePort(), await freePort()];
    this.#port = api;
    const etcd = `http://127.0.0.1:${clients}`;
    this.#etcd = etcd;
    const peer = `http://127.0.0.1:${peers}`;
    mkdirSync(join(this.directory, 'etcd'), { mode: 0o700 });
    this.#run('etcd', [
      `--data-dir=${join(this.directory, 'etcd')}`,
      '--unsafe-no-fsync',
      `--listen-client-urls=${etcd}`,
      `--advertise-client-urls=${etcd}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=default=${peer}`,
    ]);
    this.#writeKeys();
    await this.#startApiServer();
    this.writeKubeconfig(this.kubeconfig, 'admin');
    const certificates = join(this.directory, 'certificates');
    const ports = ['--bind-address=127.0.0.1', `--cert-dir=${certificates}`];
    this.#run('kube-controller-manager', [
      ...[`--kubeconfig=${this.kubeconfig}`, ...ports, `--secure-port=${await freePort()}`],
      '--leader-elect=false',
      `--service-account-private-key-file=${join(this.directory, 'sa.key')}`,
      `--root-ca-file=${join(certificates, 'apiserver.crt')}`,
      ...['--node-monitor-period=2s', `--node-monitor-grace-period=${NODE_GRACE}`],
      // Nodes that are only objects, and never say that they are well, stay usable.
      '--node-startup-grace-period=1h',
      // Its own limit of 20 calls a second would hide what is to be seen.
      ...['--kube-api-qps=500', '--kube-api-burst=1000'],
      ...(this.#withoutPods ? ['--controllers=*,-deployment-controller'] : []),
    ]);
    if (this.#nodes.length === 0) return;
    this.#run('kube-scheduler', [
      ...[`--kubeconfig=${this.kubeconfig}`, ...ports, `--secure-port=${await freePort()}`],
      '--leader-elect=false',
    ]);
    this.#startDns();
  }

  async #startApiServer(): Promise<void> {
    const own = (name: string): string => join(this.directory, name);
    if (this.#nodes.length > 0) await this.#makeKubeletClient();
    const forNodes = [
      `--kubelet-client-certificate=${this.kubeletClientCertificate}`,
      `--kubelet-client-key=${own('kubelet-client.key')}`,
      '--kubelet-preferred-address-types=InternalIP',
      '--enable-admission-plugins=NodeRestriction',
      '--allow-privileged=true',
    ];
    this.#apiServer = this.#run('kube-apiserver', [
      `--etcd-servers=${this.#etcd}`,
      `--bind-address=${this.#address}`,
      `--advertise-address=${this.#address}`,
      `--secure-port=${this.#port}`,
      `--cert-dir=${own('certificates')}`,
      `--token-auth-file=${own('tokens.csv')}`,
      '--authorization-mode=Node,RBAC',
      `--service-cluster-ip-range=${SERVICES}`,
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${own('sa.pub')}`,
      `--service-account-signing-key-file=${own('sa.key')}`,
      `--endpoint-reconciler-type=${this.#nodes.length === 0 ? 'none' : 'lease'}`,
      '--profiling=false',
      ...(this.#nodes.length === 0 ? [] : forNodes),
      ...(this.#audited === null ? [] : this.#auditing(this.#audited)),
    ]);
    await this.#untilReady();
  }

  #auditing(namespace: string): string[] {
    const path = join(this.directory, 'audit-policy.json');
    const rules = [
      { level: 'Metadata', userGroups: [`system:serviceaccounts:${namespace}`] },
      { level: 'None' },
    ];
    const policy = { apiVersion: 'audit.k8s.io/v1', kind: 'Policy', rules };
    writeFileSync(path, JSON.stringify({ ...policy, omitStages: ['RequestReceived'] }));
    return [`--audit-policy-file=${path}`, `--audit-log-path=${this.auditLog}`];
  }

  /** Beside the nodes, so that no name is lost with a node. */
  #startDns(): void {
    const file = join(this.directory, 'Corefile');
    const zone = `kubernetes cluster.local in-addr.arpa {
    kubeconfig ${this.kubeconfig}
    ttl 30
  }`;
    // As kubeadm writes it: what the cluster itself knows is not cached.
    const cache = `cache 30 {
    disable success cluster.local
    disable denial cluster.local
  }`;
    const config = `.:53 {\n  bind ${this.#address}\n  errors\n  ${zone}\n  ${cache}\n}\n`;
    writeFileSync(file, config);
    this.#run('coredns', ['-conf', file]);
  }

  #writeKeys(): void {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
    });
    const write = (name: string, content: string): void =>
      writeFileSync(join(this.directory, name), content, { mode: 0o600 });
    write('sa.pub', publicKey);
    write('sa.key', privateKey);
    const users = [
      ['admin', 'system:masters'],
      ['system:kube-proxy', ''],
      ...this.#nodes.map((node) => [`system:node:${node}`, 'system:nodes']),
    ] as const;
    const lines = users.map(([user, groups]) => {
      const token = randomBytes(24).toString('hex');
      this.#tokens.set(user, token);
      return `${token},${user},${user},"${groups}"\n`;
    });
    write('tokens.csv', lines.join(''));
  }

  /** Its own authority: whoever trusts the certificate trusts nobody else. */
  async #makeKubeletClient(): Promise<void> {
    const key = join(this.directory, 'kubelet-client.key');
    await runTool('openssl', [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
      ...['-subj', '/O=system:masters/CN=kube-apiserver-kubelet-client', '-days', '30'],
      ...['-addext', 'extendedKeyUsage=clientAuth'],
      ...['-keyout', key, '-out', this.kubeletClientCertificate],
    ]);
  }

  #run(name: string, args: readonly string[]): ChildProcess {
    const log = join(this.directory, `${name}.log`);
    const output = openSync(log, 'a');
    const child = spawn(this.program(name), args, { stdio: ['ignore', output, output] });
    child.once('exit', (code) => {
      if (code === null) return;
      const tail = readFileSync(log, 'utf8').slice(-4000);
      process.stderr.write(`${name} ended with ${code}:\n${tail}\n`);
    });
    this.#processes.push(child);
    return child;
  }

  async #untilReady(): Promise<void> {
    const end = performance.now() + START_MS;
    while (!(await this.#isReady())) {
      const ended = this.#processes.find(({ exitCode }) => exitCode !== null);
      if (ended !== undefined) throw new Error(`${ended.spawnfile} ended`);
      if (performance.now() > end) throw new Error('the API server did not become ready');
      await delay(100);
    }
  }

  /** The certificate is made by the API server itself; here only its answer counts. */
  #isReady(): Promise<boolean> {
    return new Promise((resolve) => {
      const call = request(
        {
          host: this.#address,
          port: this.#port,
          path: '/readyz',
          rejectUnauthorized: false,
          headers: { authorization: `Bearer ${this.#tokens.get('admin') ?? ''}` },
        },
        (response) => {
          response.resume();
          response.on('end', () => resolve(response.statusCode === 200));
        },
      );
      call.on('error', () => resolve(false));
      call.end();
    });
  }
}

const kill = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
};
