import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { runTool, tryTool } from '../support/tool.ts';
import { BRIDGE, ClusterNode, PLANE_ADDRESS } from './cluster-node.ts';
import { ControlPlane } from './control-plane.ts';
import { archiveImage } from './image.ts';
import { PAUSE_IMAGE } from './node-files.ts';
import { runProgram } from './run-program.ts';

const SERVICES = '10.96.0.0/16';
const READY_MS = 120_000;
/** So many may join; their tokens are made in advance. */
const MAX_NODES = 9;

/**
 * A whole Kubernetes: a control plane and nodes, in a network that has no way out, so that no
 * packet for an address of the cluster can leave this machine whatever of the cluster is gone. This
 * process has to be in such a network already (`unshare --net`), and root.
 */
export class Cluster {
  readonly plane: ControlPlane;
  readonly nodes: ClusterNode[] = [];
  readonly #archives: string[] = [];

  private constructor(plane: ControlPlane) {
    this.plane = plane;
  }

  static async start(count = 3): Promise<Cluster> {
    await refuseWayOut();
    await runTool('ip', ['link', 'set', 'lo', 'up']);
    await runTool('ip', ['link', 'add', BRIDGE, 'type', 'bridge']);
    await runTool('ip', ['address', 'add', `${PLANE_ADDRESS}/24`, 'dev', BRIDGE]);
    await runTool('ip', ['link', 'set', BRIDGE, 'up']);
    await runTool('sh', ['-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward']);
    const nodes = Array.from({ length: MAX_NODES }, (_, index) => `node${index + 1}`);
    const plane = await ControlPlane.start({ address: PLANE_ADDRESS, nodes });
    const cluster = new Cluster(plane);
    try {
      await cluster.#loadPause();
      await Promise.all(Array.from({ length: count }, () => cluster.addNode()));
      await cluster.reachServicesBy(cluster.node('node1'));
      await cluster.untilReady();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.powerOff()));
    await this.plane.stop();
    await tryTool('ip', ['link', 'delete', BRIDGE]);
  }

  /** One more, with all images that the others have. */
  async addNode(): Promise<ClusterNode> {
    const node = new ClusterNode(this.nodes.length + 1, this.plane);
    this.nodes.push(node);
    await node.powerOn();
    for (const archive of this.#archives) await node.load(archive);
    return node;
  }

  node(name: string): ClusterNode {
    const found = this.nodes.find((node) => node.name === name);
    if (found === undefined) throw new Error(`there is no ${name}`);
    return found;
  }

  /** Into all nodes, and those that come later. */
  async load(archive: string): Promise<void> {
    this.#archives.push(archive);
    await Promise.all(this.nodes.filter(({ isOn }) => isOn).map((node) => node.load(archive)));
  }

  /** This process reaches Services as that node does. */
  async reachServicesBy({ address }: ClusterNode): Promise<void> {
    await runTool('ip', ['route', 'replace', SERVICES, 'via', address]);
  }

  kubectl(args: readonly string[], input?: string): Promise<string> {
    return runProgram(this.plane, 'kubectl', args, input);
  }

  helm(args: readonly string[]): Promise<string> {
    return runProgram(this.plane, 'helm', args);
  }

  async untilReady(): Promise<void> {
    const every = this.nodes.map(({ name }) => `node/${name}`);
    const wait = `--timeout=${READY_MS / 1000}s`;
    await this.kubectl(['wait', '--for=create', ...every, wait]);
    await this.kubectl(['wait', '--for=condition=Ready', ...every, wait]);
  }

  /** What holds the namespaces of a pod. */
  async #loadPause(): Promise<void> {
    const root = join(this.plane.directory, 'pause');
    mkdirSync(root);
    copyFileSync(this.plane.program('pause'), join(root, 'pause'));
    const archive = join(this.plane.directory, 'pause.tar');
    await archiveImage(archive, { reference: PAUSE_IMAGE, root, entrypoint: ['/pause'] });
    this.#archives.push(archive);
  }
}

const refuseWayOut = async (): Promise<void> => {
  const { stdout } = await runTool('ip', ['-o', 'link', 'show']);
  const others = stdout.split('\n').filter((line) => line !== '' && !/^\d+: lo:/.test(line));
  if (others.length > 0)
    throw new Error(`a cluster needs a network of its own, start this by unshare --net: ${stdout}`);
};
