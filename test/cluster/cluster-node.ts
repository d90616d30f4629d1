import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { runTool, type ToolResult } from '../support/tool.ts';
import { until } from '../support/until.ts';
import { hasOneHierarchy, makeCgroups, removeCgroups } from './cgroups.ts';
import type { ControlPlane } from './control-plane.ts';
import { writeNodeFiles } from './node-files.ts';

const START_MS = 60_000;
const IMPORT_MS = 120_000;

/** The bridge between all nodes; the control plane is at its address. */
export const BRIDGE = 'nodes';
export const PLANE_ADDRESS = '10.240.0.1';

/** A machine of the cluster: namespaces with containerd, kubelet and kube-proxy of their own. */
export class ClusterNode {
  readonly name: string;
  readonly address: string;
  /** Where its disk is: what is /var there. */
  readonly disk: string;
  readonly #number: number;
  readonly #plane: ControlPlane;
  readonly #directory: string;
  #process: ChildProcess | null = null;
  #cgroups: readonly string[] = [];

  constructor(number: number, plane: ControlPlane) {
    this.#number = number;
    this.#plane = plane;
    this.name = `node${number}`;
    this.address = `10.240.0.${10 + number}`;
    this.#directory = join(plane.directory, this.name);
    this.disk = join(this.#directory, 'var');
  }

  get podNetwork(): string {
    return `10.244.${this.#number}.0/24`;
  }

  get isOn(): boolean {
    return this.#process !== null;
  }

  /** Resolves when containerd answers; kubelet then joins by itself. */
  async powerOn(): Promise<void> {
    this.#writeFiles();
    this.#cgroups = makeCgroups(`openebs-${process.pid}-${this.name}`);
    const { pid } = this.#spawn();
    await until(
      `${this.name} to start`,
      () => this.#checkOn() && this.#init(pid!) !== null,
      START_MS,
    );
    await this.#plugIn(this.#init(pid!)!);
    const answers = join(this.#directory, 'containerd-answers');
    await until(
      `containerd of ${this.name}`,
      () => this.#checkOn() && existsSync(answers),
      START_MS,
    );
  }

  /** All that runs on it dies at once; its disk keeps what the kernel has taken. */
  async powerOff(): Promise<void> {
    const child = this.#process;
    if (child === null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    const init = this.#init(child.pid!);
    if (init !== null) process.kill(init, 'SIGKILL');
    child.kill('SIGKILL');
    await ended;
    await removeCgroups(this.#cgroups);
  }

  /** Pulls its network cable; what runs on it runs on. */
  async cut(): Promise<void> {
    await runTool('ip', ['link', 'set', this.#link, 'down']);
  }

  async heal(): Promise<void> {
    await runTool('ip', ['link', 'set', this.#link, 'up']);
  }

  /** The archive of an image, as `docker save` makes it. */
  async load(archive: string): Promise<void> {
    const ctr = this.#plane.program('ctr');
    const args = ['--namespace', 'k8s.io', 'images', 'import', '--local', archive];
    await this.exec([ctr, ...args], { timeoutMs: IMPORT_MS });
  }

  /** Runs a command on the node. */
  exec(command: readonly string[], options: { timeoutMs?: number } = {}): Promise<ToolResult> {
    const init = this.#process === null ? null : this.#init(this.#process.pid!);
    if (init === null) throw new Error(`${this.name} is off`);
    const namespaces = ['--target', String(init), '--mount', '--net', '--pid', '--uts', '--ipc'];
    return runTool('nsenter', [...namespaces, '--', ...command], options);
  }

  get #link(): string {
    return `to-${this.name}`;
  }

  #writeFiles(): void {
    const folders = ['cni', ...['lib/kubelet', 'lib/containerd', 'log', 'tmp'].map(inVar)];
    for (const folder of folders) mkdirSync(join(this.#directory, folder), { recursive: true });
    rmSync(join(this.#directory, 'containerd-answers'), { force: true });
    if (hasOneHierarchy()) writeFileSync(join(this.#directory, 'cgroup-v2'), '');
    writeNodeFiles({
      directory: this.#directory,
      programs: this.#plane.program(''),
      name: this.name,
      podNetwork: this.podNetwork,
      dns: PLANE_ADDRESS,
      clientCertificate: this.#plane.kubeletClientCertificate,
    });
    const config = (name: string): string => join(this.#directory, name);
    this.#plane.writeKubeconfig(config('kubelet.conf'), `system:node:${this.name}`);
    this.#plane.writeKubeconfig(config('kube-proxy.conf'), 'system:kube-proxy');
  }

  #spawn(): ChildProcess {
    // Starts no other process: for a moment that one would look like the node's first.
    const enter = 'for c in $CGROUPS; do echo $$ > "$c/cgroup.procs"; done; exec "$@"';
    const namespaces = ['--mount', '--net', '--uts', '--ipc', '--pid', '--cgroup'];
    const init = ['sh', join(import.meta.dirname, 'node-init.sh')];
    const unshare = ['unshare', ...namespaces, '--fork', '--kill-child', '--', ...init];
    const log = openSync(join(this.#directory, 'var', 'log', 'init.log'), 'a');
    const link = join(this.#directory, 'link');
    rmSync(link, { force: true });
    execFileSync('mkfifo', [link]);
    const child = spawn('sh', ['-c', enter, 'sh', ...unshare], {
      stdio: ['ignore', log, log],
      env: {
        ...process.env,
        CGROUPS: this.#cgroups.join(' '),
        OPENEBS_NODE_NAME: this.name,
        OPENEBS_NODE_NUMBER: String(this.#number),
        OPENEBS_NODE_ADDRESS: this.address,
        OPENEBS_NODE_GATEWAY: PLANE_ADDRESS,
        OPENEBS_NODE_DIRECTORY: this.#directory,
        OPENEBS_NODE_PROGRAMS: this.#plane.program(''),
      },
    });
    this.#process = child;
    child.once('exit', () => {
      this.#process = null;
    });
    return child;
  }

  /** The first process of the node, as this side numbers it: the only child of unshare. */
  #init(unshare: number): number | null {
    try {
      const [child] = readFileSync(`/proc/${unshare}/task/${unshare}/children`, 'utf8').split(' ');
      const command = readFileSync(`/proc/${child}/cmdline`, 'utf8');
      return command.includes('node-init.sh') ? Number(child) : null;
    } catch {
      return null;
    }
  }

  #checkOn(): boolean {
    if (this.#process === null) throw new Error(`${this.name} ended:\n${this.#log()}`);
    return true;
  }

  #log(): string {
    return readFileSync(join(this.disk, 'log', 'init.log'), 'utf8').slice(-4000);
  }

  /** A cable between the node and the others' bridge. */
  async #plugIn(init: number): Promise<void> {
    const peer = ['peer', 'name', 'eth0', 'netns', String(init)];
    await runTool('ip', ['link', 'add', this.#link, 'type', 'veth', ...peer]);
    await runTool('ip', ['link', 'set', this.#link, 'master', BRIDGE, 'up']);
    await runTool('ip', ['route', 'replace', this.podNetwork, 'via', this.address]);
    const link = join(this.#directory, 'link');
    await until(`${this.name} to see its cable`, () => this.#checkOn() && tell(link), START_MS);
  }
}

/** Through a FIFO, without waiting for ever for one who has died; false: nobody reads yet. */
const tell = (fifo: string): boolean => {
  try {
    const out = openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK);
    writeSync(out, 'plugged in\n');
    closeSync(out);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENXIO') throw error;
    return false;
  }
};

const inVar = (folder: string): string => join('var', folder);
