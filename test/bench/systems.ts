import type { ChildProcess } from 'node:child_process';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findCommand } from '../support/debian.ts';
import { freePort } from '../support/free-port.ts';
import type { ReplicaKind } from '../support/replicated-volume.ts';
import { ReplicatedVolume } from '../support/replicated-volume.ts';

/** What is compared: each serves one volume of the same size from the same file system. */
export interface System {
  readonly name: string;
  readonly description: string;
  /** All server processes. */
  pids(): number[];
  readonly port: number;
  readonly target: string;
  readonly lun: number;
  stop(): Promise<void>;
}

export interface SystemOptions {
  readonly directory: string;
  readonly sizeBytes: number;
  /** For our daemons, as --cpu-prof. */
  readonly nodeFlags: readonly string[];
}

export interface SystemKind {
  readonly name: string;
  readonly description: string;
  start(options: SystemOptions): Promise<System>;
}

export const BASELINE = 'tgt';

export const SYSTEMS: readonly SystemKind[] = [
  {
    name: BASELINE,
    description: "Debian's tgt, default settings, bs-type rdwr, one sparse file, no replication",
    start: startTgt,
  },
  ours('in-process', '1 replica in the target’s process', 'in-process', 1),
  ours('one-replica', '1 replica process on a unix socket', 'unix', 1),
  ours('three-replicas', '3 replica processes on unix sockets', 'unix', 3),
  ours(
    'null',
    'a target that stores nothing: what the client and the iSCSI layer can do',
    'null',
    0,
  ),
];

function ours(name: string, description: string, kind: ReplicaKind, replicas: number): SystemKind {
  return {
    name,
    description,
    async start({ directory, sizeBytes, nodeFlags }): Promise<System> {
      mkdirSync(directory, { recursive: true });
      const volume = new ReplicatedVolume({ directory, sizeBytes, kind, replicas, nodeFlags });
      await volume.start();
      return {
        name,
        description,
        pids: () => volume.pids(),
        port: volume.portal.port,
        target: volume.iqn,
        lun: 0,
        stop: () => volume.stop(),
      };
    },
  };
}

const TGT_TARGET = 'iqn.2016-09.com.openebs:tgt';
const TGT_START_TRIES = 50;

async function startTgt({ directory, sizeBytes }: SystemOptions): Promise<System> {
  mkdirSync(directory, { recursive: true });
  const image = join(directory, 'image');
  writeFileSync(image, '');
  truncateSync(image, sizeBytes);
  const port = await freePort();
  // Each tgtd has a control socket of its own number, below 32768.
  const control = String(port % 32_768);
  const child = spawn(
    findCommand('tgtd') ?? 'tgtd',
    ['-f', '-C', control, '--iscsi', `portal=127.0.0.1:${port}`],
    { stdio: 'ignore' },
  );
  process.on('exit', () => child.kill('SIGKILL'));
  const tgtadm = (...args: string[]): string[] => ['-C', control, '--lld', 'iscsi', ...args];
  const command = findCommand('tgtadm') ?? 'tgtadm';
  await untilTgtAnswers(() => {
    const args = tgtadm('--op', 'new', '--mode', 'target', '--tid', '1', '-T', TGT_TARGET);
    return spawnSync(command, args).status === 0;
  });
  const unit = ['--tid', '1', '--lun', '1', '-b', image, '--bstype', 'rdwr'];
  execFileSync(command, tgtadm('--op', 'new', '--mode', 'logicalunit', ...unit));
  execFileSync(command, tgtadm('--op', 'bind', '--mode', 'target', '--tid', '1', '-I', 'ALL'));
  return {
    name: BASELINE,
    description: '',
    pids: () => [child.pid!],
    port,
    target: TGT_TARGET,
    lun: 1,
    stop: () => killed(child),
  };
}

async function untilTgtAnswers(attempt: () => boolean): Promise<void> {
  for (let tries = 0; tries < TGT_START_TRIES; tries++) {
    if (attempt()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('tgtd does not answer tgtadm: try "tgtd -f" by hand to see why');
}

/** tgtd ignores SIGTERM while it has sessions; the file is thrown away anyhow. */
function killed(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.kill('SIGKILL');
  });
}
