import { spawn, type ChildProcess } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../support/free-port.ts';
import { findPrograms } from './programs.ts';

const START_MS = 120_000;

/**
 * A real control plane on loopback: etcd, API server and controller manager, without nodes. What
 * binds claims to volumes is the real thing; no packet goes to an address of the cluster.
 */
export class ControlPlane {
  readonly directory: string;
  readonly kubeconfig: string;
  readonly #programs: string;
  readonly #processes: ChildProcess[] = [];
  readonly #token = randomBytes(24).toString('hex');
  #port = 0;

  private constructor(programs: string) {
    this.#programs = programs;
    this.directory = mkdtempSync(join(tmpdir(), 'openebs-cluster-'));
    this.kubeconfig = join(this.directory, 'kubeconfig');
  }

  static async start(): Promise<ControlPlane> {
    const programs = findPrograms();
    if (programs === null) throw new Error('there are no programs of Kubernetes');
    const plane = new ControlPlane(programs);
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

  async stop(): Promise<void> {
    for (const child of this.#processes.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await ended;
    }
    rmSync(this.directory, { recursive: true, force: true });
  }

  async #start(): Promise<void> {
    const [clients, peers, api] = [await freePort(), await freePort(), await freePort()];
    this.#port = api;
    const etcd = `http://127.0.0.1:${clients}`;
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
    const certificates = join(this.directory, 'certificates');
    this.#run('kube-apiserver', [
      `--etcd-servers=${etcd}`,
      '--bind-address=127.0.0.1',
      '--advertise-address=127.0.0.1',
      `--secure-port=${api}`,
      `--cert-dir=${certificates}`,
      `--token-auth-file=${join(this.directory, 'tokens.csv')}`,
      '--authorization-mode=RBAC',
      '--service-cluster-ip-range=10.96.0.0/16',
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${join(this.directory, 'sa.pub')}`,
      `--service-account-signing-key-file=${join(this.directory, 'sa.key')}`,
      '--endpoint-reconciler-type=none',
      '--profiling=false',
    ]);
    await this.#untilReady();
    const ca = readFileSync(join(certificates, 'apiserver.crt')).toString('base64');
    writeFileSync(
      this.kubeconfig,
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Config',
        clusters: [
          {
            name: 'test',
            cluster: {
              server: `https://127.0.0.1:${api}`,
              'certificate-authority-data': ca,
            },
          },
        ],
        users: [{ name: 'admin', user: { token: this.#token } }],
        contexts: [{ name: 'test', context: { cluster: 'test', user: 'admin' } }],
        'current-context': 'test',
      }),
      { mode: 0o600 },
    );
    this.#run('kube-controller-manager', [
      `--kubeconfig=${this.kubeconfig}`,
      '--bind-address=127.0.0.1',
      `--secure-port=${await freePort()}`,
      `--cert-dir=${certificates}`,
      '--leader-elect=false',
      `--service-account-private-key-file=${join(this.directory, 'sa.key')}`,
      // Its own limit of 20 calls a second would hide what is to be seen.
      '--kube-api-qps=500',
      '--kube-api-burst=1000',
    ]);
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
    write('tokens.csv', `${this.#token},admin,admin,"system:masters"\n`);
  }

  #run(name: string, args: readonly string[]): void {
    const child = spawn(this.program(name), args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let tail = '';
    child.stderr.on('data', (chunk: Buffer) => {
      tail = (tail + chunk.toString()).slice(-4000);
    });
    child.once('exit', (code) => {
      if (code !== null) process.stderr.write(`${name} ended with ${code}:\n${tail}\n`);
    });
    this.#processes.push(child);
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
          host: '127.0.0.1',
          port: this.#port,
          path: '/readyz',
          rejectUnauthorized: false,
          headers: { authorization: `Bearer ${this.#token}` },
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
