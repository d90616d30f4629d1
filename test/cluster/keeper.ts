/**
 * The process that has a person's cluster, behind `npm run cluster`. It says what it does to the
 * process that started it, and takes orders at a socket: a line in, a line out.
 */
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Cluster } from './cluster.ts';
import type { ClusterNode } from './cluster-node.ts';
import { forgetKept, rememberKept } from './kept-cluster.ts';
import { claimOf, installOpenebs } from './openebs-system.ts';

export type KeeperMessage =
  | { readonly kind: 'progress'; readonly line: string }
  | { readonly kind: 'ready' }
  | { readonly kind: 'failed'; readonly message: string };

const BOUND_SECONDS = 120;

const ORDERS: Readonly<Record<string, (node: ClusterNode) => Promise<void>>> = {
  'power-off': (node) => node.powerOff(),
  'power-on': (node) => node.powerOn(),
  cut: (node) => node.cut(),
  heal: (node) => node.heal(),
};

const tell = (message: KeeperMessage): void => {
  if (process.connected) process.send?.(message);
};

const say = (line: string): void => tell({ kind: 'progress', line });

const obey = async (cluster: Cluster, line: string): Promise<string> => {
  const [order = '', name = ''] = line.split(' ');
  try {
    if (order === 'add-node') return (await cluster.addNode()).name;
    const run = ORDERS[order];
    if (run === undefined)
      return `there is no order ${order}: add-node, ${Object.keys(ORDERS).join(', ')}`;
    await run(cluster.node(name));
    return 'done';
  } catch (error) {
    return (error as Error).message;
  }
};

const takeOrders = (cluster: Cluster, path: string): void => {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    createInterface({ input: socket }).on('line', (line) => {
      void obey(cluster, line).then((answer) => socket.end(`${answer}\n`));
    });
  });
  server.listen(path);
};

const nodes = Number(process.argv[2]);
say(`starting Kubernetes with ${nodes} nodes`);
const cluster = await Cluster.start(nodes);
const { plane } = cluster;
const orders = join(plane.directory, 'orders');
takeOrders(cluster, orders);
rememberKept({
  pid: process.pid,
  kubeconfig: plane.kubeconfig,
  programs: plane.program(''),
  orders,
});

const stop = async (): Promise<void> => {
  forgetKept();
  await cluster.stop();
};
process.once('SIGTERM', () => void stop().then(() => process.exit(0)));

try {
  say('making the image and installing the chart');
  await installOpenebs(cluster);
  say('claiming a volume');
  await cluster.kubectl(['apply', '-f', '-'], claimOf('demo', '1Gi'));
  const bound = ['--for=jsonpath={.status.phase}=Bound', `--timeout=${BOUND_SECONDS}s`];
  await cluster.kubectl(['wait', ...bound, 'pvc/demo']);
  tell({ kind: 'ready' });
} catch (error) {
  tell({ kind: 'failed', message: (error as Error).message });
}
