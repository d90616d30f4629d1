/** `npm run cluster`: a Kubernetes with real nodes on this machine, and OpenEBS installed in it. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, openSync } from 'node:fs';
import { connect } from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { Debian } from '../support/debian.ts';
import { REPOSITORY } from '../support/daemons.ts';
import { until } from '../support/until.ts';
import type { KeeperMessage } from './keeper.ts';
import { findKept, isKeeper, type KeptCluster } from './kept-cluster.ts';
import { missingPrograms } from './programs.ts';
import { missingForNodes, NODE_TOOLS } from './requirements.ts';

const HELP = `npm run cluster -- [COMMAND]

  up [NODES]          start Kubernetes with so many nodes (3), install OpenEBS, claim a volume
  exec COMMAND...     run a command in the cluster's network: kubectl, helm, iscsi-ls, sh ...
  power-off NODE      kill all that runs on it, at once; power-on NODE starts it again
  cut NODE            pull its network cable; heal NODE plugs it in again
  add-node            one more
  down                end it, and remove everything of it
`;

const LOG = join(homedir(), '.cache', 'openebs-test', 'cluster.log');
const STOP_MS = 180_000;

const write = (line: string): void => void process.stdout.write(`${line}\n`);

/** A message for the person; the process ends with 1. */
class Refusal extends Error {}

const running = (): KeptCluster => {
  const cluster = findKept();
  if (cluster === null) throw new Refusal('no cluster runs: npm run cluster starts one');
  return cluster;
};

const explain = ({ kubeconfig }: KeptCluster): void =>
  write(`
It has a network of its own without a way out, so everything that talks to it runs in there:

  npm run cluster -- exec sh                      a shell in it, KUBECONFIG=${kubeconfig}
  npm run cluster -- exec kubectl get nodes,pvc,pv
  npm run cluster -- exec kubectl -n openebs get ov,pods -o wide
  npm run cluster -- exec sh -c 'iscsi-ls -s iscsi://$(kubectl get pv -o jsonpath={.items[0].spec.iscsi.targetPortal})'
  npm run cluster -- power-off node3              and watch the target move
  npm run cluster -- down                         the end of it`);

const up = async (nodes: number): Promise<void> => {
  if (!(nodes >= 1 && nodes <= 9)) throw new Refusal('write a number of nodes from 1 to 9');
  const already = findKept();
  if (already !== null) {
    write('it runs already');
    explain(already);
    return;
  }
  const tools = new Debian(REPOSITORY, write).provide(NODE_TOOLS);
  const missing = [tools, missingForNodes(), missingPrograms()].filter((one) => one !== null);
  if (missing.length > 0) throw new Refusal(missing.join('\n'));
  mkdirSync(join(LOG, '..'), { recursive: true });
  const log = openSync(LOG, 'w');
  const keeper = ['--net', process.execPath, join(import.meta.dirname, 'keeper.ts'), String(nodes)];
  const child = spawn('unshare', keeper, {
    detached: true,
    stdio: ['ignore', log, log, 'ipc'],
  });
  await new Promise<void>((resolve, reject) => {
    child.once('exit', () => reject(new Refusal(`it ended; ${LOG} says why`)));
    child.on('message', (message: KeeperMessage) => {
      if (message.kind === 'progress') write(message.line);
      else if (message.kind === 'ready') resolve();
      else reject(new Refusal(`${message.message}\nThe cluster runs, to look what is wrong.`));
    });
  }).finally(() => {
    child.unref();
    if (child.connected) child.disconnect();
  });
  explain(running());
};

/** Ends with the command's own exit code. */
const exec = (command: readonly string[]): void => {
  const { pid, kubeconfig, programs } = running();
  const [shell = 'sh', ...rest] = command;
  const { status } = spawnSync('nsenter', [`--target=${pid}`, '--net', '--', shell, ...rest], {
    stdio: 'inherit',
    env: {
      ...process.env,
      KUBECONFIG: kubeconfig,
      PATH: `${programs}:/usr/sbin:/usr/bin:/sbin:/bin:${process.env['PATH'] ?? ''}`,
    },
  });
  process.exitCode = status ?? 1;
};

const order = async (words: readonly string[]): Promise<void> => {
  const socket = connect(running().orders);
  socket.write(`${words.join(' ')}\n`);
  process.stdout.write(await text(socket));
};

const down = async (): Promise<void> => {
  const { pid } = running();
  process.kill(pid, 'SIGTERM');
  await until('the end of the cluster', () => !isKeeper(pid), STOP_MS);
};

const main = async ([command = 'up', ...rest]: readonly string[]): Promise<void> => {
  switch (command) {
    case 'up':
      return up(Number(rest[0] ?? 3));
    case 'exec':
      exec(rest);
      return;
    case 'down':
      return down();
    case 'power-off':
    case 'power-on':
    case 'cut':
    case 'heal':
    case 'add-node':
      return order([command, ...rest]);
    default:
      process.stdout.write(HELP);
      process.exitCode = command === 'help' || command === '--help' ? 0 : 2;
  }
};

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof Refusal)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
